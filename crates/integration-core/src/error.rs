//! One error for every integration. It answers three questions: what happened ([`Error::kind`]), what the caller may
//! do ([`Error::retry_class`]), and whether the call may have been billed ([`Error::delivery`]).

use std::fmt;
use std::time::Duration;

use crate::text::printable;
use crate::{GenerationId, ModelId, ProviderId, RateLimitFacts, UpstreamName, Usage};

/// The result of a call to an integration.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What happened. Not exhaustive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The credential is missing or wrong.
    Auth,
    /// The account has no money left, or too little for this request.
    Billing,
    /// The caller gave up.
    Cancelled,
    /// The client is set up wrongly.
    Config,
    /// A content policy refused the prompt or the answer.
    ContentFiltered,
    /// The prompt, or prompt and answer together, do not fit the model.
    ContextLength,
    /// The provider refuses the request as it stands.
    InvalidRequest,
    /// No such model.
    ModelNotFound,
    /// No upstream satisfies the routing constraints of the request.
    NoRoute,
    /// The provider has no capacity at the moment.
    Overloaded,
    /// The request is larger than the provider, or a cap of ours, takes.
    PayloadTooLarge,
    /// The credential is known but may not do this, or its budget is spent.
    PermissionDenied,
    /// The answer does not follow the protocol.
    Protocol,
    /// Too many requests.
    RateLimited,
    /// A deadline passed.
    Timeout,
    /// The connection could not be made, or broke.
    Transport,
    /// The answer ended before it was complete.
    Truncated,
    /// The integration has no such ability.
    Unsupported,
    /// The provider failed.
    Upstream,
    /// None of the above.
    Unknown,
}

impl ErrorKind {
    /// Every kind of this release.
    pub const ALL: [Self; 20] = [
        Self::Auth,
        Self::Billing,
        Self::Cancelled,
        Self::Config,
        Self::ContentFiltered,
        Self::ContextLength,
        Self::InvalidRequest,
        Self::ModelNotFound,
        Self::NoRoute,
        Self::Overloaded,
        Self::PayloadTooLarge,
        Self::PermissionDenied,
        Self::Protocol,
        Self::RateLimited,
        Self::Timeout,
        Self::Transport,
        Self::Truncated,
        Self::Unsupported,
        Self::Upstream,
        Self::Unknown,
    ];

    /// A stable word for logs, metrics and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Billing => "billing",
            Self::Cancelled => "cancelled",
            Self::Config => "config",
            Self::ContentFiltered => "content_filtered",
            Self::ContextLength => "context_length",
            Self::InvalidRequest => "invalid_request",
            Self::ModelNotFound => "model_not_found",
            Self::NoRoute => "no_route",
            Self::Overloaded => "overloaded",
            Self::PayloadTooLarge => "payload_too_large",
            Self::PermissionDenied => "permission_denied",
            Self::Protocol => "protocol",
            Self::RateLimited => "rate_limited",
            Self::Timeout => "timeout",
            Self::Transport => "transport",
            Self::Truncated => "truncated",
            Self::Unsupported => "unsupported",
            Self::Upstream => "upstream",
            Self::Unknown => "unknown",
        }
    }

    /// What the caller may do when nothing more is known than the kind.
    pub const fn retry_class(self) -> RetryClass {
        match self {
            Self::Overloaded
            | Self::RateLimited
            | Self::Timeout
            | Self::Transport
            | Self::Truncated
            | Self::Upstream => RetryClass::SameDeployment,
            Self::Billing
            | Self::ContentFiltered
            | Self::ContextLength
            | Self::ModelNotFound
            | Self::NoRoute
            | Self::PayloadTooLarge
            | Self::PermissionDenied
            | Self::Protocol
            | Self::Unknown
            | Self::Unsupported => RetryClass::OtherDeployment,
            Self::Auth | Self::Cancelled | Self::Config | Self::InvalidRequest => RetryClass::Never,
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What the caller may do. Exhaustive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RetryClass {
    /// The same request will fail the same way everywhere.
    Never,
    /// Another deployment may answer; this one will not.
    OtherDeployment,
    /// This deployment may answer later; another one may answer now.
    SameDeployment,
}

/// Whether the request left, and so whether it may have been billed. Exhaustive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// Nothing left the machine.
    NotSent,
    /// It may have arrived; no answer came.
    MaybeSent,
    /// The provider answered with a refusal.
    Answered,
    /// Part of an answer arrived. What it used so far may be in [`Error::usage`].
    Partial,
}

/// A failed call. One word in size; built up with the `with_` methods.
///
/// `Display` is the kind and the message, on one line, bounded in length. Whoever builds the error sees to it that the
/// message holds no key, no prompt and no URL query. `Debug` shows the other facts too, and of the cause its bounded
/// `Display`; the cause itself is behind [`std::error::Error::source`].
pub struct Error(Box<Inner>);

#[derive(Default)]
struct Inner {
    kind: Option<ErrorKind>,
    message: String,
    retry_class: Option<RetryClass>,
    delivery: Option<Delivery>,
    retry_after: Option<Duration>,
    status: Option<u16>,
    code: Option<String>,
    provider: Option<ProviderId>,
    model: Option<ModelId>,
    upstream: Option<UpstreamName>,
    generation: Option<GenerationId>,
    usage: Option<Box<Usage>>,
    rate_limits: Option<Box<RateLimitFacts>>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The most of a message kept, in bytes before the ellipsis: a provider's HTML page must not fill a log.
const MAX_MESSAGE_BYTES: usize = 512;

fn bounded(text: String) -> String {
    printable(text, MAX_MESSAGE_BYTES)
}

impl Error {
    /// An error with the kind's own retry class. `delivery` starts as [`Delivery::NotSent`].
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind: Some(kind),
            message: bounded(message.into()),
            ..Inner::default()
        }))
    }

    /// The answer of an integration that lacks an ability.
    pub fn unsupported(provider: &ProviderId, ability: &str) -> Self {
        Self::new(
            ErrorKind::Unsupported,
            format!("{provider} does not offer {ability}"),
        )
        .with_provider(provider.clone())
    }

    /// What happened.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind.unwrap_or(ErrorKind::Unknown)
    }

    /// What the caller may do.
    pub fn retry_class(&self) -> RetryClass {
        self.0.retry_class.unwrap_or_else(|| self.kind().retry_class())
    }

    /// Whether the request left, and so whether it may have been billed.
    pub fn delivery(&self) -> Delivery {
        self.0.delivery.unwrap_or(Delivery::NotSent)
    }

    /// How long the provider asks to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The HTTP status of the answer.
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// The provider's own word for what happened.
    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// The message, without the kind: one line of at most 512 bytes and an ellipsis.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Which integration failed.
    pub fn provider(&self) -> Option<&ProviderId> {
        self.0.provider.as_ref()
    }

    /// The model that was asked.
    pub fn model(&self) -> Option<&ModelId> {
        self.0.model.as_ref()
    }

    /// Who failed behind an aggregator.
    pub fn upstream(&self) -> Option<&UpstreamName> {
        self.0.upstream.as_ref()
    }

    /// The provider's name for the generation, by which its cost can be asked for.
    pub fn generation(&self) -> Option<&GenerationId> {
        self.0.generation.as_ref()
    }

    /// What was used before the failure.
    pub fn usage(&self) -> Option<&Usage> {
        self.0.usage.as_deref()
    }

    /// What the refusal told about the provider's rate limits.
    pub fn rate_limits(&self) -> Option<&RateLimitFacts> {
        self.0.rate_limits.as_deref()
    }

    /// Sets what the caller may do.
    #[must_use]
    pub fn with_retry_class(mut self, class: RetryClass) -> Self {
        self.0.retry_class = Some(class);
        self
    }

    /// Sets whether the request left.
    #[must_use]
    pub fn with_delivery(mut self, delivery: Delivery) -> Self {
        self.0.delivery = Some(delivery);
        self
    }

    /// Sets how long the provider asks to wait.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    /// Sets the HTTP status.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.0.status = Some(status);
        self
    }

    /// Sets the provider's own word for what happened; it is bounded like the message.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.0.code = Some(bounded(code.into()));
        self
    }

    /// Sets which integration failed.
    #[must_use]
    pub fn with_provider(mut self, provider: ProviderId) -> Self {
        self.0.provider = Some(provider);
        self
    }

    /// Sets the model that was asked.
    #[must_use]
    pub fn with_model(mut self, model: ModelId) -> Self {
        self.0.model = Some(model);
        self
    }

    /// Sets who failed behind an aggregator.
    #[must_use]
    pub fn with_upstream(mut self, upstream: UpstreamName) -> Self {
        self.0.upstream = Some(upstream);
        self
    }

    /// Sets the provider's name for the generation.
    #[must_use]
    pub fn with_generation(mut self, generation: GenerationId) -> Self {
        self.0.generation = Some(generation);
        self
    }

    /// Sets what was used before the failure.
    #[must_use]
    pub fn with_usage(mut self, usage: Usage) -> Self {
        self.0.usage = Some(Box::new(usage));
        self
    }

    /// Sets what the refusal told about the provider's rate limits.
    #[must_use]
    pub fn with_rate_limits(mut self, facts: RateLimitFacts) -> Self {
        self.0.rate_limits = Some(Box::new(facts));
        self
    }

    /// Sets the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind(), self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        let mut out = f.debug_struct("Error");
        out.field("kind", &self.kind()).field("message", &inner.message);
        out.field("retry_class", &self.retry_class())
            .field("delivery", &self.delivery());
        if let Some(wait) = inner.retry_after {
            out.field("retry_after", &wait);
        }
        if let Some(status) = inner.status {
            out.field("status", &status);
        }
        if let Some(code) = &inner.code {
            out.field("code", code);
        }
        if let Some(provider) = &inner.provider {
            out.field("provider", provider);
        }
        if let Some(model) = &inner.model {
            out.field("model", model);
        }
        if let Some(upstream) = &inner.upstream {
            out.field("upstream", upstream);
        }
        if let Some(generation) = &inner.generation {
            out.field("generation", generation);
        }
        if let Some(source) = &inner.source {
            // Not its `Debug`: that of a foreign error may show a whole request.
            out.field("source", &bounded(source.to_string()));
        }
        out.finish_non_exhaustive()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}
