//! Providers of models, and which model names tell their provider: one list for whoever accepts an orbit and for the
//! worker that runs it. Where a provider is and what it speaks is the worker's.

/// The providers that an agent may name, in the order in which errors list them.
pub const PROVIDERS: [&str; 32] = [
    "anthropic",
    "openai",
    "ollama",
    "ollama_cloud",
    "gemini",
    "mistral",
    "cohere",
    "deepseek",
    "xai",
    "groq",
    "together",
    "fireworks",
    "nebius",
    "open_router",
    "requesty",
    "github_copilot",
    "kimi",
    "moonshot",
    "minimax",
    "mimo",
    "zai",
    "bigmodel",
    "aliyun",
    "qwen_cloud",
    "baidu",
    "aihubmix",
    "atlascloud",
    "api_route",
    "heabsy",
    "runcrate",
    "cloudgpu",
    "omlx",
];

/// The providers that a model's name tells, by the beginning of the name.
pub const TOLD_BY_NAME: [(&str, &str); 17] = [
    ("claude", "anthropic"),
    ("gpt-oss", ""),
    ("gpt", "openai"),
    ("chatgpt", "openai"),
    ("codex", "openai"),
    ("o1", "openai"),
    ("o3", "openai"),
    ("o4", "openai"),
    ("gemini", "gemini"),
    ("grok", "xai"),
    ("command", "cohere"),
    ("deepseek-", "deepseek"),
    ("kimi-", "kimi"),
    ("moonshot-", "moonshot"),
    ("mimo-", "mimo"),
    ("glm", "zai"),
    ("minimax-", "minimax"),
];

/// The provider that the name of a model tells, as `claude-sonnet-4-5` does.
pub fn told_by_name(model: &str) -> Option<&'static str> {
    let model = model.to_ascii_lowercase();
    let mut told = TOLD_BY_NAME.iter();
    let (_, provider) = told.find(|(begin, _)| model.starts_with(begin))?;
    PROVIDERS.contains(provider).then_some(*provider)
}

/// True if the name of a model tells its provider, also as `groq::llama-3.3-70b` does.
pub fn tells_provider(model: &str) -> bool {
    let namespace = model.split_once("::").map(|(namespace, _)| namespace);
    namespace.is_some_and(|namespace| PROVIDERS.contains(&namespace))
        || told_by_name(model).is_some()
}
