//! Who can be asked.

use integration_core::{ModelId, ProviderId};

/// A model at a provider.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Target {
    /// Whose client is called.
    pub provider: ProviderId,
    /// The model it is asked for.
    pub model: ModelId,
}

impl Target {
    /// A model at a provider.
    pub const fn new(provider: ProviderId, model: ModelId) -> Self {
        Self { provider, model }
    }
}
