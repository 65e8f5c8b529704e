//! The providers of language models: the address, the protocol and the key variable of each.

use std::fmt;

use shared::blueprint::orbit::models;

use crate::flow::error::FlowError;

/// The protocol of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// Anthropic Messages (`POST messages`).
    Anthropic,
    /// OpenAI chat completions (`POST chat/completions`), also the protocol of most other
    /// providers.
    OpenAi,
}

/// A provider.
#[derive(Debug)]
pub(super) struct Provider {
    /// The name in documents.
    pub(super) name: &'static str,
    /// The protocol.
    pub(super) protocol: Protocol,
    /// The default address, ending in `/`.
    pub(super) base_url: &'static str,
    /// The environment variable with the key; `None`: the provider requires no key.
    pub(super) key_variable: Option<&'static str>,
}

/// All providers, in the order of error messages.
static PROVIDERS: &[Provider] = &[
    anthropic(
        "anthropic",
        "https://api.anthropic.com/v1/",
        "ANTHROPIC_API_KEY",
    ),
    openai("openai", "https://api.openai.com/v1/", "OPENAI_API_KEY"),
    without_key("ollama", "http://localhost:11434/v1/"),
    openai("ollama_cloud", "https://ollama.com/v1/", "OLLAMA_API_KEY"),
    openai(
        "gemini",
        "https://generativelanguage.googleapis.com/v1beta/openai/",
        "GEMINI_API_KEY",
    ),
    openai("mistral", "https://api.mistral.ai/v1/", "MISTRAL_API_KEY"),
    openai(
        "cohere",
        "https://api.cohere.ai/compatibility/v1/",
        "COHERE_API_KEY",
    ),
    openai(
        "deepseek",
        "https://api.deepseek.com/v1/",
        "DEEPSEEK_API_KEY",
    ),
    openai("xai", "https://api.x.ai/v1/", "XAI_API_KEY"),
    openai("groq", "https://api.groq.com/openai/v1/", "GROQ_API_KEY"),
    openai(
        "together",
        "https://api.together.xyz/v1/",
        "TOGETHER_API_KEY",
    ),
    openai(
        "fireworks",
        "https://api.fireworks.ai/inference/v1/",
        "FIREWORKS_API_KEY",
    ),
    openai(
        "nebius",
        "https://api.studio.nebius.ai/v1/",
        "NEBIUS_API_KEY",
    ),
    openai(
        "open_router",
        "https://openrouter.ai/api/v1/",
        "OPEN_ROUTER_API_KEY",
    ),
    openai(
        "requesty",
        "https://router.requesty.ai/v1/",
        "REQUESTY_API_KEY",
    ),
    openai(
        "github_copilot",
        "https://models.github.ai/inference/",
        "GITHUB_TOKEN",
    ),
    openai("kimi", "https://api.moonshot.ai/v1/", "KIMI_API_KEY"),
    openai(
        "moonshot",
        "https://api.moonshot.cn/v1/",
        "MOONSHOT_API_KEY",
    ),
    anthropic(
        "minimax",
        "https://api.minimax.io/anthropic/v1/",
        "MINIMAX_API_KEY",
    ),
    openai("mimo", "https://api.mimo.com/openai/v1/", "MIMO_API_KEY"),
    openai("zai", "https://api.z.ai/api/paas/v4/", "ZAI_API_KEY"),
    openai(
        "bigmodel",
        "https://open.bigmodel.cn/api/paas/v4/",
        "BIGMODEL_API_KEY",
    ),
    openai(
        "aliyun",
        "https://dashscope.aliyuncs.com/compatible-mode/v1/",
        "ALIYUN_API_KEY",
    ),
    openai(
        "qwen_cloud",
        "https://dashscope-intl.aliyuncs.com/compatible-mode/v1/",
        "QWEN_CLOUD_API_KEY",
    ),
    openai("baidu", "https://qianfan.baidubce.com/v2/", "BAIDU_API_KEY"),
    openai("aihubmix", "https://aihubmix.com/v1/", "AIHUBMIX_API_KEY"),
    openai(
        "atlascloud",
        "https://api.atlascloud.ai/v1/",
        "ATLASCLOUD_API_KEY",
    ),
    openai(
        "api_route",
        "https://global.api-route.com/v1/",
        "API_ROUTE_API_KEY",
    ),
    openai("heabsy", "https://api.heabsy.com/v1/", "HEABSY_API_KEY"),
    openai(
        "runcrate",
        "https://api.runcrate.ai/v1/",
        "RUNCRATE_API_KEY",
    ),
    openai("cloudgpu", "https://cloudgpu.app/v1/", "CLOUDGPU_API_KEY"),
    without_key("omlx", "http://127.0.0.1:8000/v1/"),
];

const fn openai(name: &'static str, base_url: &'static str, key: &'static str) -> Provider {
    Provider {
        name,
        protocol: Protocol::OpenAi,
        base_url,
        key_variable: Some(key),
    }
}

const fn anthropic(name: &'static str, base_url: &'static str, key: &'static str) -> Provider {
    Provider {
        name,
        protocol: Protocol::Anthropic,
        base_url,
        key_variable: Some(key),
    }
}

const fn without_key(name: &'static str, base_url: &'static str) -> Provider {
    Provider {
        name,
        protocol: Protocol::OpenAi,
        base_url,
        key_variable: None,
    }
}

/// Returns the names of all providers.
pub fn providers() -> Vec<String> {
    PROVIDERS
        .iter()
        .map(|known| known.name.to_owned())
        .collect()
}

/// A model of a provider.
#[derive(Debug, Clone)]
pub(in crate::flow) struct Model {
    /// The provider.
    pub(super) provider: &'static Provider,
    /// The provider's name of the model.
    pub(super) name: String,
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.provider.name, self.name)
    }
}

impl Model {
    /// Returns the model `name` of `provider`. The provider is optional if the name determines it
    /// (`claude-…`, `groq::…`).
    ///
    /// # Errors
    /// [`FlowError`] that names the agent and lists the known providers.
    pub(in crate::flow) fn find(
        agent: &str,
        provider: Option<&str>,
        name: &str,
    ) -> Result<Model, FlowError> {
        let (provider, name) = match (provider, name.split_once("::")) {
            (None, Some((provider, name))) if named(provider).is_some() => (Some(provider), name),
            _ => (provider, name),
        };
        let found = match provider {
            Some(provider) => named(provider).ok_or_else(|| FlowError::UnknownProvider {
                agent: agent.to_owned(),
                provider: provider.to_owned(),
                known: providers(),
            }),
            None => told_by(name).ok_or_else(|| FlowError::AgentField {
                agent: agent.to_owned(),
                field: "spec.provider",
                problem: format!(
                    "is missing, and the model {name:?} does not determine it; providers are {}",
                    providers().join(", ")
                ),
            }),
        };
        Ok(Model {
            provider: found?,
            name: name.to_owned(),
        })
    }

    /// Returns the provider's key from the environment; `None` if it is unset or empty.
    pub(super) fn key(&self) -> Option<String> {
        let key = std::env::var(self.provider.key_variable?).ok()?;
        (!key.is_empty()).then_some(key)
    }

    /// Returns `text` with the provider's key replaced by `***`.
    pub(super) fn without_key(&self, text: &str) -> String {
        match self.key() {
            Some(key) => text.replace(&key, "***"),
            None => text.to_owned(),
        }
    }
}

fn named(name: &str) -> Option<&'static Provider> {
    PROVIDERS.iter().find(|known| known.name == name)
}

fn told_by(model: &str) -> Option<&'static Provider> {
    named(models::told_by_name(model)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_is_named_or_told_by_the_model() {
        let find = |provider, name| Model::find("a", provider, name).map(|m| m.to_string());
        for (name, found) in [
            ("claude-sonnet-4-5", "anthropic/claude-sonnet-4-5"),
            ("gpt-5-mini", "openai/gpt-5-mini"),
            ("gemini-2.5-pro", "gemini/gemini-2.5-pro"),
            ("MiniMax-M2", "minimax/MiniMax-M2"),
            ("groq::llama-3.3-70b", "groq/llama-3.3-70b"),
        ] {
            assert_eq!(find(None, name).unwrap(), found);
        }
        assert_eq!(find(Some("openai"), "my/model").unwrap(), "openai/my/model");
        assert_eq!(find(Some("ollama"), "llama3").unwrap(), "ollama/llama3");
        for (provider, name, words) in [
            (Some("opanai"), "gpt-4o", "unknown provider \"opanai\""),
            (None, "cluade", "\"cluade\" does not determine it"),
            (None, "gpt-oss-120b", "does not determine it"),
        ] {
            let problem = find(provider, name).unwrap_err().to_string();
            assert!(
                problem.contains(words) && problem.contains("anthropic"),
                "{problem}"
            );
        }
    }

    #[test]
    fn the_table_is_sound() {
        for (at, provider) in PROVIDERS.iter().enumerate() {
            let url: reqwest::Url = provider.base_url.parse().unwrap();
            assert!(url.path().ends_with('/'), "{}", provider.name);
            let needs_tls = provider.key_variable.is_some();
            assert_eq!(url.scheme() == "https", needs_tls, "{}", provider.name);
            let others = &PROVIDERS[at + 1..];
            assert!(others.iter().all(|other| other.name != provider.name));
        }
        for (begin, name) in models::TOLD_BY_NAME {
            assert!(name.is_empty() || named(name).is_some(), "{begin}");
        }
    }

    /// The documentation page lists every provider with its key variable.
    #[test]
    fn the_documentation_lists_every_provider() {
        let page = include_str!("../../../../../docs/models.md");
        for provider in PROVIDERS {
            let key = provider.key_variable.map(|key| format!("`{key}`"));
            let key = key.unwrap_or_else(|| "none".to_owned());
            let row = format!("| `{}` | {key} |", provider.name);
            assert!(page.contains(&row), "docs/models.md has no row {row}");
        }
    }
}
