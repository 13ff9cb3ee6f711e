//! Who serves which model, and in which words.

use crate::dice::Dice;

/// A company that serves models behind the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Upstream {
    /// The name that answers carry.
    pub(crate) name: &'static str,
    /// The name that a request's `provider` preferences use.
    pub(crate) slug: &'static str,
}

const fn upstream(name: &'static str, slug: &'static str) -> Upstream {
    Upstream { name, slug }
}

/// Who serves the models of an author that do not publish their weights, or that serves its own as well as others do.
const BY_AUTHOR: &[(&str, &[Upstream])] = &[
    (
        "openai",
        &[upstream("OpenAI", "openai"), upstream("Azure", "azure")],
    ),
    (
        "anthropic",
        &[
            upstream("Anthropic", "anthropic"),
            upstream("Amazon Bedrock", "amazon-bedrock"),
            upstream("Google", "google-vertex"),
        ],
    ),
    (
        "google",
        &[
            upstream("Google AI Studio", "google-ai-studio"),
            upstream("Google", "google-vertex"),
        ],
    ),
    ("x-ai", &[upstream("xAI", "xai")]),
    ("mistralai", &[upstream("Mistral", "mistral")]),
    ("amazon", &[upstream("Amazon Bedrock", "amazon-bedrock")]),
    ("cohere", &[upstream("Cohere", "cohere")]),
    ("perplexity", &[upstream("Perplexity", "perplexity")]),
    ("minimax", &[upstream("Minimax", "minimax")]),
    (
        "moonshotai",
        &[
            upstream("Moonshot AI", "moonshotai"),
            upstream("Fireworks", "fireworks"),
        ],
    ),
    ("z-ai", &[upstream("Z.AI", "z-ai"), upstream("Novita", "novita")]),
    (
        "deepseek",
        &[
            upstream("DeepSeek", "deepseek"),
            upstream("DeepInfra", "deepinfra"),
        ],
    ),
    (
        "qwen",
        &[upstream("Alibaba", "alibaba"), upstream("DeepInfra", "deepinfra")],
    ),
    ("nvidia", &[upstream("Nvidia", "nvidia")]),
    ("meta", &[upstream("Meta", "meta")]),
];

/// Who serves everything else.
const HOSTS: &[Upstream] = &[
    upstream("DeepInfra", "deepinfra"),
    upstream("Fireworks", "fireworks"),
    upstream("Novita", "novita"),
    upstream("Parasail", "parasail"),
    upstream("Together", "together"),
];

fn author(model: &str) -> &str {
    model
        .split_once('/')
        .map_or(model, |(author, _)| author)
        .trim_start_matches('~')
}

/// Authors that let anybody serve their models. The models of every author that is not in the list above are open, too.
const OPEN: &[&str] = &[
    "deepseek",
    "meta",
    "minimax",
    "moonshotai",
    "nvidia",
    "qwen",
    "z-ai",
];

/// Whether several companies serve a model, each in its own way.
pub(crate) fn has_open_weights(model: &str) -> bool {
    let author = author(model);
    OPEN.contains(&author) || BY_AUTHOR.iter().all(|(name, _)| *name != author)
}

/// Who serves a model, in a seeded order that stays the same for a seed.
pub(crate) fn upstreams(seed: u64, model: &str) -> Vec<Upstream> {
    if let Some((_, known)) = BY_AUTHOR.iter().find(|(name, _)| *name == author(model)) {
        return known.to_vec();
    }
    let mut dice = Dice::new(seed, "upstreams", &[model.as_bytes()]);
    let mut pool = HOSTS.to_vec();
    let count = dice.between(1, 3) as usize;
    let mut chosen = Vec::with_capacity(count);
    while chosen.len() < count && !pool.is_empty() {
        chosen.push(pool.swap_remove(dice.below(pool.len() as u32) as usize));
    }
    chosen
}

/// Every upstream there is, by slug, each once.
pub(crate) fn all() -> Vec<Upstream> {
    let mut all: Vec<Upstream> = BY_AUTHOR
        .iter()
        .flat_map(|(_, known)| *known)
        .chain(HOSTS)
        .copied()
        .collect();
    all.sort_by_key(|upstream| upstream.slug);
    all.dedup();
    all
}

/// The words of the upstream's own interface, which come through in some fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dialect {
    /// `native_finish_reason` of an answer that is complete.
    pub(crate) stop: &'static str,
    /// Of one that reached the limit of tokens.
    pub(crate) length: &'static str,
    /// Of one that calls tools.
    pub(crate) tool_calls: &'static str,
    /// What a tool call's id starts with.
    pub(crate) call_prefix: &'static str,
    /// `format` of the reasoning details; `None` is written as null.
    pub(crate) reasoning_format: Option<&'static str>,
    /// How the reasoning comes.
    pub(crate) reasoning: ReasoningStyle,
}

/// In which kinds of detail reasoning comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReasoningStyle {
    /// Plain text.
    Text,
    /// Plain text, then its signature.
    Signed,
    /// Plain text, then an encrypted block.
    TextAndEncrypted,
    /// A summary, then an encrypted block.
    SummaryAndEncrypted,
}

/// The dialect of a model's author.
pub(crate) fn dialect(model: &str) -> Dialect {
    let plain = Dialect {
        stop: "stop",
        length: "length",
        tool_calls: "tool_calls",
        call_prefix: "call_",
        reasoning_format: None,
        reasoning: ReasoningStyle::Text,
    };
    match author(model) {
        "openai" => Dialect {
            stop: "completed",
            length: "max_output_tokens",
            tool_calls: "completed",
            reasoning_format: Some("openai-responses-v1"),
            reasoning: ReasoningStyle::SummaryAndEncrypted,
            ..plain
        },
        "anthropic" => Dialect {
            stop: "end_turn",
            length: "max_tokens",
            tool_calls: "tool_use",
            call_prefix: "toolu_",
            reasoning_format: Some("anthropic-claude-v1"),
            reasoning: ReasoningStyle::Signed,
        },
        "google" => Dialect {
            stop: "STOP",
            length: "MAX_TOKENS",
            tool_calls: "STOP",
            call_prefix: "tool_",
            reasoning_format: Some("google-gemini-v1"),
            reasoning: ReasoningStyle::TextAndEncrypted,
        },
        "x-ai" => Dialect {
            stop: "completed",
            tool_calls: "completed",
            reasoning_format: Some("xai-responses-v1"),
            reasoning: ReasoningStyle::SummaryAndEncrypted,
            ..plain
        },
        _ => plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_model_has_upstreams_and_they_stay_for_a_seed() {
        for model in [
            "openai/gpt-x",
            "~openai/gpt-latest",
            "somebody/thing",
            "nothing",
            "",
        ] {
            let list = upstreams(5, model);
            assert!(!list.is_empty());
            assert_eq!(list, upstreams(5, model));
        }
        assert_eq!(upstreams(1, "~openai/a"), upstreams(2, "openai/b"));
        let orders: std::collections::BTreeSet<String> = (0..50)
            .map(|seed| format!("{:?}", upstreams(seed, "somebody/thing")))
            .collect();
        assert!(orders.len() > 5);
    }

    #[test]
    fn the_list_of_all_has_each_slug_once() {
        let all = all();
        let slugs: std::collections::BTreeSet<_> = all.iter().map(|upstream| upstream.slug).collect();
        assert_eq!(slugs.len(), all.len());
        assert!(all.contains(&upstream("Azure", "azure")) && all.contains(&upstream("Together", "together")));
    }

    #[test]
    fn authors_differ_in_their_words() {
        let stops: std::collections::BTreeSet<_> =
            ["openai/a", "anthropic/a", "google/a", "x-ai/a", "qwen/a"]
                .map(|model| dialect(model).stop)
                .into();
        assert_eq!(stops.len(), 4);
    }
}
