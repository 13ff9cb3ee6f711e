//! Vectors for texts.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{ModelId, Usage};

/// A request for vectors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EmbeddingRequest {
    /// The model asked.
    pub model: ModelId,
    /// The texts.
    pub input: Vec<String>,
    /// How long each vector shall be; the model's own length if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dimensions: Option<u32>,
    /// Fields this crate does not name, passed on as they are.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl EmbeddingRequest {
    /// A request with the model's own vector length.
    pub fn new(model: ModelId, input: Vec<String>) -> Self {
        Self {
            model,
            input,
            dimensions: None,
            extra: Map::new(),
        }
    }
}

/// One vector.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Embedding {
    /// Which input it belongs to, from 0.
    pub index: usize,
    /// The vector.
    pub vector: Vec<f32>,
}

impl Embedding {
    /// The vector of input `index`.
    pub fn new(index: usize, vector: Vec<f32>) -> Self {
        Self { index, vector }
    }
}

/// The vectors of all inputs.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct EmbeddingResponse {
    /// The model that answered, as it names itself.
    pub model: String,
    /// In the order of the inputs.
    pub embeddings: Vec<Embedding>,
    /// What it used; `None` if the provider did not say.
    pub usage: Option<Usage>,
}

impl EmbeddingResponse {
    /// An answer whose use is not reported.
    pub fn new(model: impl Into<String>, embeddings: Vec<Embedding>) -> Self {
        Self {
            model: model.into(),
            embeddings,
            usage: None,
        }
    }
}
