//! What is known of one model.

use integration_core::{Capability, CapabilitySet, ModelId};
use serde::{Deserialize, Serialize};

use crate::day::Day;
use crate::price::PriceStrings;

/// One entry of a provider's list of models: facts and figures, no prose.
///
/// Every `None` means "the provider does not say". The serialised form is a line of the catalogue file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ModelRecord {
    /// The name to call it by, unique in a catalogue, such as `openai/gpt-4o` or `openai/gpt-4o:batch`.
    pub id: ModelId,
    /// The dated permanent name, which answers carry. Not unique: the variants of a model share it.
    pub canonical_slug: String,
    /// When the provider listed it, seconds since 1970-01-01 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<i64>,
    /// Prompt and completion together, in tokens, over all who serve it: the most that one of them takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_length: Option<u64>,
    /// The same, in tokens, of the upstream that the provider prefers; it can be smaller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_context_length: Option<u64>,
    /// The longest answer, in tokens, of the upstream that the provider prefers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_completion_tokens: Option<u64>,
    /// What it takes: `text`, `image`, `audio`, `video`, `file`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub input_modalities: Vec<String>,
    /// What it gives: `text`, `image`, `audio`, `embeddings`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub output_modalities: Vec<String>,
    /// The request fields it honours, by the provider's names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub supported_parameters: Vec<String>,
    /// Every price, verbatim.
    pub prices: PriceStrings,
    /// How well it does, by public benchmarks.
    #[serde(default, skip_serializing_if = "Benchmarks::is_empty")]
    pub benchmarks: Benchmarks,
    /// How it reasons; `None` for a model that does not, or of which it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<ReasoningSupport>,
    /// The family of its tokenizer, such as `GPT`, by the provider's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<String>,
    /// Whether the preferred upstream refuses what its moderation objects to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moderated: Option<bool>,
    /// The last day its training data covers, as the provider writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub knowledge_cutoff: Option<String>,
    /// The day after which it may be gone, `YYYY-MM-DD`. `2098-12-31` is written for "never".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiration_date: Option<String>,
    /// The model an alias stands for today.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias_target: Option<ModelId>,
}

impl ModelRecord {
    /// A record of which nothing but the name is known. The canonical slug is the id; set the public fields as needed.
    pub fn new(id: ModelId) -> Self {
        Self {
            canonical_slug: id.as_str().to_owned(),
            id,
            created: None,
            context_length: None,
            top_context_length: None,
            max_completion_tokens: None,
            input_modalities: Vec::new(),
            output_modalities: Vec::new(),
            supported_parameters: Vec::new(),
            prices: PriceStrings::default(),
            benchmarks: Benchmarks::default(),
            reasoning: None,
            tokenizer: None,
            moderated: None,
            knowledge_cutoff: None,
            expiration_date: None,
            alias_target: None,
        }
    }

    /// What a caller can ask of it, from its modalities and supported parameters.
    ///
    /// A word that this release does not know adds nothing: a model never claims an ability by accident.
    pub fn capabilities(&self) -> CapabilitySet {
        let inputs = self
            .input_modalities
            .iter()
            .filter_map(|modality| match modality.as_str() {
                "audio" => Some(Capability::AudioInput),
                "file" => Some(Capability::FileInput),
                "image" => Some(Capability::Vision),
                "video" => Some(Capability::VideoInput),
                _ => None,
            });
        let outputs = self
            .output_modalities
            .iter()
            .filter_map(|modality| match modality.as_str() {
                "audio" => Some(Capability::AudioOutput),
                "embeddings" => Some(Capability::Embeddings),
                "image" => Some(Capability::ImageOutput),
                "text" => Some(Capability::TextOutput),
                _ => None,
            });
        let parameters = self
            .supported_parameters
            .iter()
            .filter_map(|parameter| match parameter.as_str() {
                "logprobs" => Some(Capability::Logprobs),
                "reasoning" | "reasoning_effort" => Some(Capability::Reasoning),
                "response_format" => Some(Capability::JsonMode),
                "seed" => Some(Capability::Seed),
                "structured_outputs" => Some(Capability::JsonSchema),
                "tools" => Some(Capability::Tools),
                "web_search_options" => Some(Capability::WebSearch),
                _ => None,
            });
        let mut set: CapabilitySet = inputs.chain(outputs).chain(parameters).collect();
        // Text, pictures and sound all come out of the chat endpoint, whole or piece by piece.
        let chats = [
            Capability::TextOutput,
            Capability::ImageOutput,
            Capability::AudioOutput,
        ];
        if chats.into_iter().any(|output| set.contains(output)) {
            set = set.with(Capability::Chat).with(Capability::Streaming);
        }
        if self.prices.rates.contains_key("web_search") {
            set = set.with(Capability::WebSearch);
        }
        set
    }

    /// Whether it answers in batches only, hours later (`:batch`).
    pub fn is_batch(&self) -> bool {
        self.has_variant("batch")
    }

    /// Whether it is the free, strongly limited variant of a model (`:free`).
    pub fn is_free_variant(&self) -> bool {
        self.has_variant("free")
    }

    /// Whether it is another name for a model (`~author/family-latest`) whose target moves.
    pub fn is_alias(&self) -> bool {
        self.id.as_str().starts_with('~')
    }

    /// Whether it may be gone on that day: the day is after the expiration date. Without a date it never is.
    pub fn is_expired(&self, today: Day) -> bool {
        let last = self
            .expiration_date
            .as_deref()
            .filter(|date| *date != NEVER)
            .and_then(Day::parse);
        last.is_some_and(|last| today > last)
    }

    fn has_variant(&self, name: &str) -> bool {
        self.id.as_str().split(':').skip(1).any(|variant| variant == name)
    }
}

/// The date that providers write for "no end".
const NEVER: &str = "2098-12-31";

/// Indices of public benchmarks, as published: higher is better, the scale is 0 to 100.
///
/// `None` is "not measured", which is not a low score.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Benchmarks {
    /// Knowledge and reasoning (Artificial Analysis Intelligence Index).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intelligence_index: Option<f64>,
    /// Programming (Artificial Analysis Coding Index).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coding_index: Option<f64>,
    /// Work with tools over many steps (Artificial Analysis Agentic Index).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agentic_index: Option<f64>,
}

impl Benchmarks {
    /// The three indices, in the order of the fields.
    pub fn new(intelligence: Option<f64>, coding: Option<f64>, agentic: Option<f64>) -> Self {
        Self {
            intelligence_index: intelligence,
            coding_index: coding,
            agentic_index: agentic,
        }
    }

    /// Whether nothing was measured.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How a model reasons before it answers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ReasoningSupport {
    /// Whether it cannot be switched off; reasoning tokens are then part of every bill.
    pub mandatory: bool,
    /// The efforts it takes, by the provider's names; `None` where it takes none or it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supported_efforts: Option<Vec<String>>,
    /// The effort used where the request names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_effort: Option<String>,
    /// Whether it reasons where the request does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_enabled: Option<bool>,
    /// Whether the reasoning can be limited by a number of tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supports_max_tokens: Option<bool>,
}
