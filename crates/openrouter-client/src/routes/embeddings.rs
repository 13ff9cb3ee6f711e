//! `POST /embeddings`: vectors for texts.

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use integration_core::chat::ContentPart;
use integration_core::{
    CallContext, Delivery, Embedding, EmbeddingClient, EmbeddingRequest, EmbeddingResponse, Error, ErrorKind,
    GenerationId, ModelId, Result, Usage,
};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};

use super::chat::{ProviderPreferences, Trace};
use crate::OpenRouterClient;
use crate::wire::fields::{body_of, null_as_default, open_enum, read_answer, refused, usage};

open_enum! {
    /// How vectors are written on the wire. They are read either way.
    pub enum EmbeddingFormat {
        /// As numbers.
        Float = "float",
        /// As the bytes of 32-bit floats, which is a third of the size.
        Base64 = "base64",
    }
}

/// What vectors are wanted for.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum EmbeddingInput {
    /// One text.
    Text(String),
    /// Several texts, a vector each.
    Texts(Vec<String>),
    /// One text, as the numbers of its tokens.
    Tokens(Vec<u32>),
    /// Several texts, as the numbers of their tokens.
    TokenLists(Vec<Vec<u32>>),
    /// Several inputs of several parts each: texts, images, sound, files.
    Parts(Vec<Vec<ContentPart>>),
}

impl EmbeddingInput {
    /// How many vectors are to come.
    pub fn count(&self) -> usize {
        match self {
            Self::Text(_) | Self::Tokens(_) => 1,
            Self::Texts(texts) => texts.len(),
            Self::TokenLists(lists) => lists.len(),
            Self::Parts(inputs) => inputs.len(),
        }
    }

    fn has_gap(&self) -> bool {
        self.count() == 0
            || match self {
                Self::Text(text) => text.is_empty(),
                Self::Texts(texts) => texts.iter().any(String::is_empty),
                Self::Tokens(tokens) => tokens.is_empty(),
                Self::TokenLists(lists) => lists.iter().any(Vec::is_empty),
                Self::Parts(inputs) => inputs.iter().any(Vec::is_empty),
            }
    }
}

impl Serialize for EmbeddingInput {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Texts(texts) => texts.serialize(serializer),
            Self::Tokens(tokens) => tokens.serialize(serializer),
            Self::TokenLists(lists) => lists.serialize(serializer),
            Self::Parts(inputs) => {
                serializer.collect_seq(inputs.iter().map(|parts| json!({ "content": parts })))
            }
        }
    }
}

/// A request for vectors, with everything OpenRouter takes. [`EmbeddingClient::embed`] is the plain form.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct EmbeddingsRequest {
    /// The model asked.
    pub model: ModelId,
    /// What vectors are wanted for.
    pub input: EmbeddingInput,
    /// How long each vector shall be; the model's own length if `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dimensions: Option<u32>,
    /// How vectors are written on the wire.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding_format: Option<EmbeddingFormat>,
    /// What the vectors are for, by the model's own word, such as `search_query` or `search_document`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_type: Option<String>,
    /// Which upstreams may serve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<ProviderPreferences>,
    /// What belongs together, at most 256 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// What the call is filed under.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<Trace>,
    /// The caller's stable name for its end user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Fields this crate does not name.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl EmbeddingsRequest {
    /// A request with nothing set but the input. Vectors travel as bytes, which changes no digit of them.
    pub fn new(model: ModelId, input: EmbeddingInput) -> Self {
        Self {
            model,
            input,
            dimensions: None,
            encoding_format: Some(EmbeddingFormat::Base64),
            input_type: None,
            provider: None,
            session_id: None,
            trace: None,
            user: None,
            extra: Map::new(),
        }
    }
}

/// Vectors, with everything OpenRouter tells.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct EmbeddingsAnswer {
    /// OpenRouter's name for this generation.
    pub id: Option<GenerationId>,
    /// The model that answered, as it names itself: without the author (`text-embedding-3-small`).
    pub model: Option<String>,
    /// The vectors, in the order of the inputs.
    pub embeddings: Vec<Embedding>,
    /// What it used.
    pub usage: Option<Usage>,
    /// Fields this crate does not name.
    pub extra: Map<String, Value>,
}

#[derive(Deserialize)]
struct Wire {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    model: Option<String>,
    #[serde(deserialize_with = "null_as_default")]
    data: Vec<WireVector>,
    #[serde(default, deserialize_with = "usage")]
    usage: Option<Usage>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

#[derive(Deserialize)]
struct WireVector {
    #[serde(default)]
    index: Option<usize>,
    #[serde(deserialize_with = "vector")]
    embedding: Vec<f32>,
}

/// A vector as numbers or as bytes.
fn vector<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Vec<f32>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Numbers(Vec<f32>),
        Bytes(String),
    }
    match Either::deserialize(deserializer)? {
        Either::Numbers(numbers) => Ok(numbers),
        Either::Bytes(text) => {
            let bytes = STANDARD
                .decode(text)
                .map_err(|_| serde::de::Error::custom("a vector is no base64"))?;
            let (words, rest) = bytes.as_chunks::<4>();
            if !rest.is_empty() {
                return Err(serde::de::Error::custom(
                    "a vector has a part of a number at its end",
                ));
            }
            Ok(words.iter().map(|word| f32::from_le_bytes(*word)).collect())
        }
    }
}

/// Puts the vectors into the order of the inputs.
fn in_order(data: Vec<WireVector>, expected: usize) -> Result<Vec<Embedding>> {
    let wrong = |said: String| Error::new(ErrorKind::Protocol, said).with_delivery(Delivery::Partial);
    if data.len() != expected {
        return Err(wrong(format!(
            "{} vectors came for {expected} inputs",
            data.len()
        )));
    }
    let mut out: Vec<Option<Vec<f32>>> = vec![None; expected];
    for (place, wire) in data.into_iter().enumerate() {
        let index = wire.index.unwrap_or(place);
        match out.get_mut(index) {
            Some(free @ None) => *free = Some(wire.embedding),
            _ => {
                return Err(wrong(format!(
                    "the vectors' numbers do not fit: {index} twice or too great"
                )));
            }
        }
    }
    Ok(out
        .into_iter()
        .enumerate()
        .filter_map(|(index, vector)| Some(Embedding::new(index, vector?)))
        .collect())
}

impl Wire {
    fn answer(self, generation: Option<GenerationId>, expected: usize) -> Result<EmbeddingsAnswer> {
        let mut extra = self.extra;
        extra.remove("object");
        Ok(EmbeddingsAnswer {
            id: generation.or_else(|| GenerationId::new(self.id?).ok()),
            model: self.model,
            embeddings: in_order(self.data, expected)?,
            usage: self.usage,
            extra,
        })
    }
}

impl OpenRouterClient {
    /// `POST /embeddings`: vectors for texts, tokens, or inputs of several parts.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] for an empty input, without anything being sent; [`ErrorKind::Protocol`] if there is not one
    /// vector for each input; otherwise as for every call.
    ///
    /// # Cancellation
    /// Dropping the future closes the connection.
    pub async fn embeddings(
        &self,
        cx: &CallContext,
        request: &EmbeddingsRequest,
    ) -> Result<EmbeddingsAnswer> {
        if request.input.has_gap() {
            let error = self.inner.named(refused("an input of the embeddings is empty"));
            return Err(error.with_model(request.model.clone()));
        }
        self.vectors(cx, body_of(request)?, &request.model, request.input.count())
            .await
    }

    async fn vectors(
        &self,
        cx: &CallContext,
        body: Vec<u8>,
        model: &ModelId,
        expected: usize,
    ) -> Result<EmbeddingsAnswer> {
        self.infer_with(cx, "embeddings", body, model, |head, body| {
            let mut wire: Wire = read_answer(body, "the answer", &self.inner.errors)?;
            wire.usage = head.complete(wire.usage);
            let used = wire.usage.clone();
            wire.answer(head.generation.clone(), expected)
                .map_err(|error| match used {
                    Some(used) => error.with_usage(used),
                    None => error,
                })
        })
        .await
    }
}

#[async_trait]
impl EmbeddingClient for OpenRouterClient {
    async fn embed(&self, cx: &CallContext, request: &EmbeddingRequest) -> Result<EmbeddingResponse> {
        if request.input.is_empty() || request.input.iter().any(String::is_empty) {
            let error = self.inner.named(refused("an input of the embeddings is empty"));
            return Err(error.with_model(request.model.clone()));
        }
        let answer = self
            .vectors(cx, body_of(request)?, &request.model, request.input.len())
            .await?;
        let model = answer.model.unwrap_or_else(|| request.model.as_str().to_owned());
        let mut response = EmbeddingResponse::new(model, answer.embeddings);
        response.usage = answer.usage;
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_bytes_are_the_same_vector() {
        let numbers = [0.1_f32, -2.5, f32::MIN_POSITIVE, 3.0e8];
        let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        let json = json!({"data": [
            {"index": 1, "embedding": numbers}, {"index": 0, "embedding": STANDARD.encode(&bytes)},
        ]});
        let wire: Wire = serde_json::from_value(json).unwrap();
        let answer = wire.answer(None, 2).unwrap();
        assert_eq!(
            answer.embeddings,
            [
                Embedding::new(0, numbers.to_vec()),
                Embedding::new(1, numbers.to_vec())
            ]
        );
    }

    #[test]
    fn a_vector_too_few_or_twice_is_an_error() {
        let wire = |json: Value| serde_json::from_value::<Wire>(json);
        let one = |index: usize| json!({"index": index, "embedding": [1.0]});
        for data in [
            json!([]),
            json!([one(0)]),
            json!([one(0), one(0)]),
            json!([one(0), one(2)]),
        ] {
            let error = wire(json!({ "data": data }))
                .unwrap()
                .answer(None, 2)
                .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Protocol, "{data}");
        }
        assert!(wire(json!({"data": [{"embedding": "AAAAAAA="}]})).is_err());
        assert!(wire(json!({"data": [{"embedding": "%"}]})).is_err());
        // Without numbers, the order counts.
        let wire = wire(json!({"data": [{"embedding": [1.0]}, {"embedding": [2.0]}]})).unwrap();
        assert_eq!(wire.answer(None, 2).unwrap().embeddings[1].vector, [2.0]);
    }
}
