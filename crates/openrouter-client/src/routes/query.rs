//! Paths and queries, encoded; and the two shapes nearly every route has.

use std::fmt::Display;
use std::time::Duration;

use http_transport::Method;
use integration_core::{CallContext, Error, GenerationId, ModelId, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::OpenRouterClient;
use crate::send::{Inner, Outgoing};
use crate::wire::AnswerHead;
use crate::wire::fields::{body_of, read_answer, refused};

/// How long a look-up may take in all, unless the configuration allows less.
pub(super) const LOOKUP_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a long list may take in all.
pub(super) const LIST_TIMEOUT: Duration = Duration::from_secs(60);

/// A query in the making. As text, because a serializer in it could not be taken to another thread while an answer is waited for.
#[derive(Default)]
pub(super) struct Query(String);

impl Query {
    pub(super) fn add(mut self, name: &str, value: Option<impl Display>) -> Self {
        if let Some(value) = value {
            let begun = std::mem::take(&mut self.0);
            let mut pairs = form_urlencoded::Serializer::new(begun);
            self.0 = pairs.append_pair(name, &value.to_string()).finish();
        }
        self
    }

    /// A list in one value, separated by commas; an empty one is not sent.
    pub(super) fn list<T: AsRef<str>>(self, name: &str, values: &[T]) -> Self {
        let values: Vec<&str> = values.iter().map(AsRef::as_ref).collect();
        let joined = values.join(",");
        self.add(name, (!joined.is_empty()).then_some(joined))
    }

    pub(super) fn finish(self) -> Option<String> {
        Some(self.0).filter(|query| !query.is_empty())
    }
}

/// One segment of a path, encoded so that it stays one.
///
/// # Errors
/// [`integration_core::ErrorKind::InvalidRequest`] if it is empty, or would be read as a step up.
pub(super) fn segment(text: &str) -> Result<String> {
    if matches!(text, "" | "." | "..") {
        return Err(refused("a name in the path is empty or made of dots"));
    }
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' | b'@' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    Ok(out)
}

/// `author/slug` as two segments of a path.
pub(super) fn model_path(model: &ModelId) -> Result<String> {
    match model.as_str().split('/').collect::<Vec<_>>().as_slice() {
        [author, slug] => Ok(format!("{}/{}", segment(author)?, segment(slug)?)),
        _ => Err(refused(format!(
            "the model {model} is not of the form author/slug"
        ))),
    }
}

impl Inner {
    /// Reads an answer of JSON and names this provider in whatever fails.
    pub(super) fn read<T: DeserializeOwned>(&self, body: &[u8], what: &str) -> Result<T> {
        read_answer(body, what, &self.errors).map_err(|error| self.named(error))
    }
}

impl OpenRouterClient {
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: Query,
        total: Duration,
        what: &str,
    ) -> Result<T> {
        let query = query.finish();
        let outgoing = Outgoing::get(self.inner.endpoint(path, query.as_deref())).with_total(total);
        let body = self.inner.whole(&outgoing).await?;
        self.inner.read(&body, what)
    }

    /// A change of the account: JSON in, JSON out.
    pub(super) async fn change<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        request: Option<&(impl Serialize + Sync)>,
        what: &str,
    ) -> Result<T> {
        // An error tells nothing of what was done before it. What makes something would make two of it, and what takes
        // something away would be told that there is no such thing.
        let once = matches!(method, Method::POST | Method::DELETE);
        let mut outgoing = Outgoing::new(method, self.inner.endpoint(path, None)).with_total(LOOKUP_TIMEOUT);
        if once {
            outgoing = outgoing.once();
        }
        if let Some(request) = request {
            outgoing = outgoing.with_body(body_of(request).map_err(|error| self.inner.named(error))?);
        }
        let body = self.inner.whole(&outgoing).await?;
        self.inner.read(&body, what)
    }

    /// A call of a model under the caller's deadline. `read` makes the answer of the body; what fails there fails the attempt,
    /// which is made again if the policy allows.
    pub(super) async fn infer_with<T>(
        &self,
        cx: &CallContext,
        path: &str,
        body: Vec<u8>,
        model: &ModelId,
        read: impl Fn(&AnswerHead, &[u8]) -> Result<T> + Send + Sync,
    ) -> Result<T> {
        let inner = &*self.inner;
        let read = &read;
        let outgoing = Outgoing::post(inner.endpoint(path, None), body).with_context(cx);
        inner
            .attempt(&outgoing, |response| async move {
                let head = inner.errors.read_head(response.headers());
                let told = |error| self.told(error, &head.generation, model);
                let body = response.bytes().await.map_err(|error| told(error.into()))?;
                let body = inner.errors.clean_body(body);
                read(&head, &body).map_err(told)
            })
            .await
            .map_err(|error| error.with_model(model.clone()))
    }

    /// The same, for an answer that is one JSON object.
    pub(super) async fn infer<T: DeserializeOwned>(
        &self,
        cx: &CallContext,
        path: &str,
        body: Vec<u8>,
        model: &ModelId,
    ) -> Result<(AnswerHead, T)> {
        self.infer_with(cx, path, body, model, |head, body| {
            Ok((head.clone(), read_answer(body, "the answer", &self.inner.errors)?))
        })
        .await
    }

    /// Names what is known of a failed call.
    pub(super) fn told(&self, error: Error, id: &Option<GenerationId>, model: &ModelId) -> Error {
        let error = self.inner.named(error).with_model(model.clone());
        // The id of the head is the reliable one, whatever the body says.
        match id {
            Some(id) => error.with_generation(id.clone()),
            None => error,
        }
    }
}

/// The answer of most routes: everything below `data`.
#[derive(Debug, serde::Deserialize)]
pub(super) struct Data<T> {
    pub(super) data: T,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_escapes_its_place() {
        assert_eq!(segment("a b/c?d#e%..é").unwrap(), "a%20b%2Fc%3Fd%23e%25..%C3%A9");
        assert_eq!(segment("gpt-4o:free").unwrap(), "gpt-4o:free");
        for bad in ["", ".", ".."] {
            assert!(segment(bad).is_err());
        }
        let path = |id: &str| model_path(&ModelId::new(id).unwrap());
        assert_eq!(path("~openai/gpt-latest").unwrap(), "~openai/gpt-latest");
        for bad in ["gpt-4o", "a/b/c", "../b", "a/.."] {
            assert!(path(bad).is_err(), "{bad}");
        }
        let query = Query::default()
            .add("q", Some("a&b=c d"))
            .add("none", None::<u32>)
            .list("empty", &[] as &[&str])
            .list("list", &["x", "y"]);
        assert_eq!(query.finish().unwrap(), "q=a%26b%3Dc+d&list=x%2Cy");
        assert_eq!(Query::default().finish(), None);
    }
}
