//! `plugins`: what OpenRouter does to a request or an answer on the way.

use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::wire::fields::open_enum;

open_enum! {
    /// A plugin by its id.
    pub enum PluginId {
        /// Settings of the model `openrouter/auto`.
        AutoRouter = "auto-router",
        /// Settings of the model `openrouter/auto-beta`.
        AutoBetaRouter = "auto-beta-router",
        /// Moderation of the prompt.
        Moderation = "moderation",
        /// Search of the web, for models that have none. The tool `openrouter:web_search` replaces it.
        Web = "web",
        /// Fetching of pages.
        WebFetch = "web-fetch",
        /// Text out of files.
        FileParser = "file-parser",
        /// Repair of JSON that is not quite.
        ResponseHealing = "response-healing",
        /// Shortening of prompts that are too long.
        ContextCompression = "context-compression",
        /// Settings of the model `openrouter/pareto-code`.
        ParetoRouter = "pareto-router",
        /// Settings of the model `openrouter/fusion`.
        Fusion = "fusion",
        /// Settings of the model `nvidia/switchyard`.
        SwitchyardRouter = "switchyard-router",
        /// Settings of the model `typesafe/jev-router`.
        JevRouter = "jev-router",
        /// Rules that answers must keep.
        Alignment = "alignment",
        /// Defence against injected instructions.
        Armor = "armor",
    }
}

open_enum! {
    /// Who searches the web.
    pub enum SearchEngine {
        /// The upstream itself.
        Native = "native",
        /// Exa.
        Exa = "exa",
        /// Firecrawl.
        Firecrawl = "firecrawl",
        /// Parallel.
        Parallel = "parallel",
        /// Perplexity.
        Perplexity = "perplexity",
    }
}

open_enum! {
    /// What makes text of a PDF.
    pub enum PdfEngine {
        /// Recognition of characters in scans; billed by the page.
        MistralOcr = "mistral-ocr",
        /// Text as it stands in the file; free.
        CloudflareAi = "cloudflare-ai",
        /// The model itself.
        Native = "native",
    }
}

/// How the web is searched.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[non_exhaustive]
pub struct WebSearch {
    /// By whom; the upstream itself where it can, if `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<SearchEngine>,
    /// The engine's own mode, such as `fast` or `deep`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Results a search; 5 if `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_results: Option<u32>,
    /// Searches a request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_uses: Option<u32>,
    /// Only these domains.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub include_domains: Vec<String>,
    /// Not these domains.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude_domains: Vec<String>,
    /// What the model is told about the results.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search_prompt: Option<String>,
}

impl WebSearch {
    /// As OpenRouter does by itself.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets who searches.
    #[must_use]
    pub fn with_engine(mut self, engine: SearchEngine) -> Self {
        self.engine = Some(engine);
        self
    }

    /// Sets the results a search.
    #[must_use]
    pub fn with_max_results(mut self, results: u32) -> Self {
        self.max_results = Some(results);
        self
    }

    /// Sets the searches a request.
    #[must_use]
    pub fn with_max_uses(mut self, uses: u32) -> Self {
        self.max_uses = Some(uses);
        self
    }

    /// Sets the only domains searched.
    #[must_use]
    pub fn with_include_domains(mut self, domains: Vec<String>) -> Self {
        self.include_domains = domains;
        self
    }

    /// Sets the domains left out.
    #[must_use]
    pub fn with_exclude_domains(mut self, domains: Vec<String>) -> Self {
        self.exclude_domains = domains;
        self
    }
}

/// A plugin and its settings.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Plugin {
    /// Which.
    pub id: PluginId,
    /// Its settings, by the names of OpenRouter's documentation.
    #[serde(flatten)]
    pub settings: Map<String, Value>,
}

impl Plugin {
    /// A plugin without settings.
    pub fn new(id: PluginId) -> Self {
        Self {
            id,
            settings: Map::new(),
        }
    }

    /// Adds a setting.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.settings.insert(name.to_owned(), value.into());
        self
    }

    /// Switches off what the account has on. Moderation, web fetch, the routers Switchyard and Jev, and alignment cannot be
    /// switched off by a request.
    pub fn off(id: PluginId) -> Self {
        Self::new(id).with("enabled", false)
    }

    /// Search of the web.
    pub fn web(search: &WebSearch) -> Self {
        let settings = match json!(search) {
            Value::Object(settings) => settings,
            _ => Map::new(),
        };
        Self {
            id: PluginId::Web,
            settings,
        }
    }

    /// Text out of PDF files.
    pub fn file_parser(pdf: PdfEngine) -> Self {
        Self::new(PluginId::FileParser).with("pdf", json!({ "engine": pdf }))
    }

    /// Repair of JSON. For answers in one piece with a JSON response format only.
    pub fn response_healing() -> Self {
        Self::new(PluginId::ResponseHealing)
    }

    /// Shortening of prompts that are too long, from their middle. On by default for endpoints of up to 8,192 tokens.
    pub fn context_compression() -> Self {
        Self::new(PluginId::ContextCompression)
    }

    /// The models that `openrouter/auto` may choose, as patterns such as `anthropic/*`.
    pub fn auto_router(allowed_models: Vec<String>) -> Self {
        Self::new(PluginId::AutoRouter).with("allowed_models", allowed_models)
    }

    /// How good at programming `openrouter/pareto-code` must be, 0 to 1, and what it may cost: US dollars per million tokens.
    pub fn pareto_router(min_coding_score: f64, max_price: Option<Decimal>) -> Self {
        let plugin = Self::new(PluginId::ParetoRouter).with("min_coding_score", min_coding_score);
        match max_price.and_then(plain_number) {
            Some(price) => plugin.with("max_price", price),
            None => plugin,
        }
    }

    /// What is wrong with it, if anything.
    pub(super) fn problem(&self) -> Option<&'static str> {
        use PluginId as P;
        let fixed = matches!(
            self.id,
            P::Moderation | P::WebFetch | P::SwitchyardRouter | P::JevRouter | P::Alignment
        );
        if fixed && self.settings.contains_key("enabled") {
            return Some("this plugin cannot be switched on or off by a request");
        }
        let score = self.settings.get("min_coding_score").and_then(Value::as_f64);
        (score.is_some_and(|score| !(0.0..=1.0).contains(&score))
            || self.settings.get("min_coding_score") == Some(&Value::Null))
        .then_some("min_coding_score is not between 0 and 1")
    }
}

/// A decimal as a JSON number. Up to 15 digits go through unchanged; of more, the nearest number is sent.
pub(super) fn plain_number(amount: Decimal) -> Option<Value> {
    serde_json::from_str(&amount.normalize().to_string()).ok()
}
