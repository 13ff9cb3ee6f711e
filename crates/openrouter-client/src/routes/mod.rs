//! Every route beside chat itself, and what chat requests can hold: one module per family.
//!
//! | family | methods of [`OpenRouterClient`](crate::OpenRouterClient) |
//! |---|---|
//! | chat requests | [`ChatOptions::apply`], [`parts`], [`tools`], [`headers`] |
//! | other dialects | `completions`, `completions_stream`, `responses`, `responses_stream`, `messages`, `messages_stream` |
//! | vectors and ranks | `embeddings` (and `EmbeddingClient::embed`), `rerank` |
//! | models | `list_models`, `list_all_models`, `user_models`, `model`, `models_count`, `model_endpoints`, `zdr_endpoints` |
//! | providers | `providers`, [`ProviderDirectory`] |
//! | generations | `generation`, `wait_for_generation`, `generation_content`, `generation_feedback` |
//! | the account | `credits`, `list_keys`, `list_all_keys`, `create_key`, `api_key`, `update_key`, `delete_key`, `activity` |
//! | sign-in | [`Pkce`], `exchange_code`, `create_auth_code` |
//! | everything else | `raw`, `raw_stream` |

mod account;
mod activity;
mod chat;
mod completions;
mod embeddings;
mod endpoints;
mod generation;
mod keys;
mod live;
mod messages;
mod models;
mod pkce;
mod providers;
mod query;
mod raw;
mod rerank;
mod responses;

pub use account::Credits;
pub use activity::{ActivityGroup, ActivityQuery, ActivityRow};
pub use chat::{
    CacheControl, CacheTtl, ChatOptions, DataCollection, Detail, Effort, InvalidSlug, MaxPrice, Modality,
    PdfEngine, Percentiles, Plugin, PluginId, ProviderPreferences, ProviderSlug, Quantization, Reasoning,
    ReasoningContext, ReasoningMode, ReasoningSummary, SearchEngine, ServiceTier, Sort, SortBy,
    SortPartition, StopWhen, Trace, Verbosity, WebSearch, headers, parts, response_format, tools,
};
pub use completions::{CompletionAnswer, CompletionChoice, CompletionRequest};
pub use embeddings::{EmbeddingFormat, EmbeddingInput, EmbeddingsAnswer, EmbeddingsRequest};
pub use endpoints::{Endpoint, EndpointPercentiles, ModelEndpoints, ToolChoiceSupport};
pub use generation::{
    FeedbackCategory, GenerationContent, GenerationInfo, GenerationLookup, GenerationNotYet, Patience,
    ProviderAttempt,
};
pub use keys::{ApiKey, CreatedKey, External, KeyPatch, KeysQuery, LimitReset, NewKey};
pub use live::RouteStream;
pub use messages::{
    ContentBlock, MessagesAnswer, MessagesEvent, MessagesRequest, MessagesStreamDecoder, MessagesUsage, Turn,
};
pub use models::{
    Architecture, Client as ModelsClient, Model, ModelSort, ModelsPage, ModelsQuery, Pricing,
    ReasoningAbility, Region, TopProvider, UserModelsQuery,
};
pub use pkce::{AuthCode, AuthUrl, ChallengeMethod, GrantedKey, InvalidVerifier, NewAuthCode, Pkce};
pub use providers::{Provider, ProviderDirectory};
pub use raw::{RawAnswer, RawEvent, RawMethod, RawRequest};
pub use rerank::{Document, RankedDocument, RerankAnswer, RerankRequest};
pub use responses::{ResponsesAnswer, ResponsesEvent, ResponsesRequest, ResponsesStreamDecoder};
