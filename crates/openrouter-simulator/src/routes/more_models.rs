//! Models that write no text: the catalogue lists those that do, as the service does unless it is asked for others.

use model_catalogue::{ModelRecord, PriceStrings};

use crate::upstream::Upstream;

/// A model that gives vectors, or an order of documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OtherModel {
    pub(crate) id: &'static str,
    pub(crate) upstream: Upstream,
    output: &'static str,
    tokenizer: &'static str,
    context: u64,
    /// Numbers in a vector; 0 for a model that gives none.
    pub(crate) dimensions: u32,
    /// Whether a request may ask for fewer.
    pub(crate) shortens: bool,
    prompt: &'static str,
    /// For a request, where it has a price of its own.
    request: Option<&'static str>,
}

const fn upstream(name: &'static str, slug: &'static str) -> Upstream {
    Upstream { name, slug }
}

const fn vectors(
    id: &'static str,
    upstream: Upstream,
    tokenizer: &'static str,
    context: u64,
    (dimensions, shortens): (u32, bool),
    prompt: &'static str,
) -> OtherModel {
    OtherModel {
        id,
        upstream,
        output: "embeddings",
        tokenizer,
        context,
        dimensions,
        shortens,
        prompt,
        request: None,
    }
}

const fn order(
    id: &'static str,
    upstream: Upstream,
    tokenizer: &'static str,
    context: u64,
    prompt: &'static str,
    request: Option<&'static str>,
) -> OtherModel {
    OtherModel {
        id,
        upstream,
        output: "rerank",
        tokenizer,
        context,
        dimensions: 0,
        shortens: false,
        prompt,
        request,
    }
}

const OPENAI: Upstream = upstream("OpenAI", "openai");
const VOYAGE: Upstream = upstream("VoyageAI by MongoDB", "voyageai");

/// Figures of public price lists, in US dollars per token or per request.
pub(crate) const OTHERS: &[OtherModel] = &[
    vectors(
        "baai/bge-m3",
        upstream("DeepInfra", "deepinfra"),
        "Other",
        8_192,
        (1_024, false),
        "0.00000001",
    ),
    vectors(
        "google/gemini-embedding-001",
        upstream("Google AI Studio", "google-ai-studio"),
        "Gemini",
        20_000,
        (3_072, true),
        "0.00000015",
    ),
    vectors(
        "mistralai/mistral-embed-2312",
        upstream("Mistral", "mistral"),
        "Mistral",
        8_192,
        (1_024, false),
        "0.0000001",
    ),
    vectors(
        "openai/text-embedding-3-large",
        OPENAI,
        "GPT",
        8_192,
        (3_072, true),
        "0.00000013",
    ),
    vectors(
        "openai/text-embedding-3-small",
        OPENAI,
        "GPT",
        8_192,
        (1_536, true),
        "0.00000002",
    ),
    vectors(
        "openai/text-embedding-ada-002",
        OPENAI,
        "GPT",
        8_192,
        (1_536, false),
        "0.0000001",
    ),
    vectors(
        "qwen/qwen3-embedding-8b",
        upstream("DeepInfra", "deepinfra"),
        "Qwen3",
        32_000,
        (4_096, true),
        "0.00000001",
    ),
    order(
        "cohere/rerank-v3.5",
        upstream("Cohere", "cohere"),
        "Cohere",
        4_096,
        "0",
        Some("0.002"),
    ),
    order("voyageai/rerank-2.5", VOYAGE, "Other", 32_000, "0.00000005", None),
    order(
        "voyageai/rerank-2.5-lite",
        VOYAGE,
        "Other",
        32_000,
        "0.00000002",
        None,
    ),
];

/// What is known of such a model, by its id.
pub(crate) fn other(id: &str) -> Option<&'static OtherModel> {
    OTHERS.iter().find(|model| model.id == id)
}

impl OtherModel {
    /// Its record, in the shape of the catalogue's. `None` only for an id that is none.
    pub(crate) fn record(&self) -> Option<ModelRecord> {
        let mut record = ModelRecord::new(self.id.parse().ok()?);
        record.canonical_slug = self.id.to_owned();
        // 2025-10-30, when the service began to list such models.
        record.created = Some(1_761_782_400);
        record.context_length = Some(self.context);
        record.top_context_length = Some(self.context);
        record.input_modalities = vec!["text".to_owned()];
        record.output_modalities = vec![self.output.to_owned()];
        record.tokenizer = Some(self.tokenizer.to_owned());
        record.moderated = Some(false);
        let rates = [("prompt", self.prompt), ("completion", "0")];
        record.prices = PriceStrings::new(
            rates
                .into_iter()
                .chain(self.request.map(|price| ("request", price))),
        );
        Some(record)
    }
}

#[cfg(test)]
mod tests {
    use costing::PriceSheet;

    use super::*;

    #[test]
    fn every_model_has_a_record_and_a_price() {
        for model in OTHERS {
            let record = model.record().unwrap();
            assert!(PriceSheet::parse(&record.prices).is_ok());
            assert_eq!(model.dimensions > 0, model.output == "embeddings");
            assert_eq!(other(model.id), Some(model));
        }
        assert_eq!(other("a/b"), None);
    }
}
