//! `POST /completions`: the older dialect, one text in and one text out.

use integration_core::chat::{Choice, FinishReason};
use integration_core::{
    CallContext, ChatResponse, ChatStream, Error, GenerationId, ModelId, RateLimitFacts, Result,
    UpstreamName, Usage,
};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::OpenRouterClient;
use crate::wire::fields::body_of;
use crate::wire::read_chat;

/// A text to be continued. OpenRouter still routes this dialect, though its OpenAPI document no longer has it; for anything new
/// use chat.
///
/// [`ChatOptions::fields`](super::ChatOptions::fields) go into `extra`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct CompletionRequest {
    /// The model asked.
    pub model: ModelId,
    /// The text.
    pub prompt: String,
    /// The most tokens the answer may have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
    /// How freely tokens are drawn, 0 to 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// The share of probability drawn from, over 0 up to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// A seed for repeatable sampling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,
    /// Texts that end the answer, at most four.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    /// Fields this crate does not name.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl CompletionRequest {
    /// A text to be continued, and nothing else set.
    pub fn new(model: ModelId, prompt: impl Into<String>) -> Self {
        Self {
            model,
            prompt: prompt.into(),
            max_tokens: None,
            temperature: None,
            top_p: None,
            seed: None,
            stop: Vec::new(),
            extra: Map::new(),
        }
    }

    fn body(&self, stream: bool) -> Result<Vec<u8>> {
        #[derive(Serialize)]
        struct Body<'a> {
            #[serde(flatten)]
            request: &'a CompletionRequest,
            stream: bool,
        }
        let mut request = self.clone();
        request.extra.remove("stream");
        body_of(&Body {
            request: &request,
            stream,
        })
    }
}

/// A continued text.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CompletionAnswer {
    /// OpenRouter's name for this generation.
    pub id: Option<GenerationId>,
    /// The model that answered, as it names itself.
    pub model: Option<String>,
    /// Who served it, by display name.
    pub upstream: Option<UpstreamName>,
    /// When, in seconds since the Unix epoch.
    pub created: Option<i64>,
    /// The texts.
    pub choices: Vec<CompletionChoice>,
    /// What it used.
    pub usage: Option<Usage>,
    /// What the head of the answer told about rate limits.
    pub rate_limits: Option<Box<RateLimitFacts>>,
    /// Fields this crate does not name.
    pub extra: Map<String, Value>,
}

impl CompletionAnswer {
    /// The first text.
    pub fn text(&self) -> &str {
        self.choices.first().map_or("", |choice| &choice.text)
    }
}

/// One text.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CompletionChoice {
    /// Which one, from 0.
    pub index: u32,
    /// The text, without the prompt.
    pub text: String,
    /// The model's thoughts, where it has any and tells them.
    pub reasoning: Option<String>,
    /// Why it ended.
    pub finish_reason: Option<FinishReason>,
    /// Why, in the upstream's own words.
    pub native_finish_reason: Option<String>,
    /// Log-probabilities, as they came.
    pub logprobs: Option<Value>,
    /// Fields this crate does not name.
    pub extra: Map<String, Value>,
}

impl From<ChatResponse> for CompletionAnswer {
    /// A completion is read as a chat answer is: the two differ in where the text stands.
    fn from(answer: ChatResponse) -> Self {
        Self {
            id: answer.id,
            model: answer.model,
            upstream: answer.upstream,
            created: answer.created,
            choices: answer.choices.into_iter().map(CompletionChoice::from).collect(),
            usage: answer.usage,
            rate_limits: answer.rate_limits,
            extra: answer.extra,
        }
    }
}

impl From<Choice> for CompletionChoice {
    fn from(choice: Choice) -> Self {
        Self {
            index: choice.index,
            text: choice
                .message
                .content
                .map(|content| content.text())
                .unwrap_or_default(),
            reasoning: choice.message.reasoning,
            finish_reason: choice.finish_reason,
            native_finish_reason: choice.native_finish_reason,
            logprobs: choice.logprobs,
            extra: choice.extra,
        }
    }
}

impl OpenRouterClient {
    /// `POST /completions`: continues a text.
    ///
    /// # Errors
    /// As for chat.
    ///
    /// # Cancellation
    /// Dropping the future closes the connection; what is billed then is the upstream's affair.
    pub async fn completions(
        &self,
        cx: &CallContext,
        request: &CompletionRequest,
    ) -> Result<CompletionAnswer> {
        self.infer_with(
            cx,
            "completions",
            request.body(false)?,
            &request.model,
            |head, body| read_chat(body, head.clone(), &self.inner.errors).map(CompletionAnswer::from),
        )
        .await
    }

    /// `POST /completions`, piece by piece, in the same grammar as chat:
    /// [`fold_stream`](integration_core::chat::fold_stream) makes one answer of it.
    /// [`ChatStreamDecoder`](crate::wire::ChatStreamDecoder) reads the same from bytes.
    ///
    /// # Errors
    /// Before the first piece, as the result; afterwards, as the stream's last item.
    ///
    /// # Cancellation
    /// Dropping the future or the stream closes the connection.
    pub async fn completions_stream(
        &self,
        cx: &CallContext,
        request: &CompletionRequest,
    ) -> Result<ChatStream> {
        let (inner, model) = (&*self.inner, &request.model);
        let named = |error: Error| inner.named(error).with_model(model.clone());
        let call = self.stream_call(cx, "completions", request.body(true).map_err(named)?);
        inner
            .attempt(&call, |response| inner.begin(response, model))
            .await
            .map_err(named)
    }
}
