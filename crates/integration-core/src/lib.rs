#![doc = include_str!("../README.md")]

mod billing;
mod capability;
pub mod chat;
mod client;
mod clock;
mod embedding;
mod error;
mod health;
mod id;
mod model_pattern;
mod open_enum;
mod rate_limit;
mod secret;
#[cfg(feature = "testing")]
pub mod testing;
mod text;
mod usage;

pub use billing::{BillingClient, DaySpending};
pub use capability::{Capability, CapabilitySet, UnknownCapability};
pub use chat::{ChatRequest, ChatResponse, ChatStream, StreamEvent};
pub use client::{CallContext, ChatClient, EmbeddingClient, IntegrationClient};
pub use clock::{BoxFuture, Clock, ManualClock};
pub use embedding::{Embedding, EmbeddingRequest, EmbeddingResponse};
pub use error::{Delivery, Error, ErrorKind, Result, RetryClass};
pub use health::{HealthAggregate, HealthReport, HealthStatus};
pub use id::{GenerationId, InvalidId, ModelId, ProviderId, RequestId, UpstreamName};
pub use model_pattern::{InvalidModelPattern, ModelPattern};
pub use rate_limit::{RateLimitFacts, RatePeriod, RateWindow};
pub use secret::{InvalidSecret, Secret};
pub use text::{Html, is_invisible, printable};
pub use usage::{ReportedCost, ServerToolUse, Usage, UsageError};
