//! Providers of models, and model names that imply their provider. The check of an orbit and the
//! worker share this list. The worker has the address and the protocol of each provider.

/// The providers that an agent can name, in the order of error messages.
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

/// Prefixes of model names that imply a provider.
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

/// Returns the provider that the name of a model implies, for example `claude-sonnet-4-5`.
pub fn told_by_name(model: &str) -> Option<&'static str> {
    let model = model.to_ascii_lowercase();
    let mut told = TOLD_BY_NAME.iter();
    let (_, provider) = told.find(|(begin, _)| model.starts_with(begin))?;
    PROVIDERS.contains(provider).then_some(*provider)
}

/// Returns true if the name of a model implies its provider, also with a namespace as in
/// `groq::llama-3.3-70b`.
pub fn tells_provider(model: &str) -> bool {
    let namespace = model.split_once("::").map(|(namespace, _)| namespace);
    namespace.is_some_and(|namespace| PROVIDERS.contains(&namespace))
        || told_by_name(model).is_some()
}
