//! The body of `POST /chat/completions`.

use integration_core::{ChatRequest, Error, ErrorKind};
use serde::Serialize;

#[derive(Serialize)]
struct Body<'a> {
    #[serde(flatten)]
    request: &'a ChatRequest,
    stream: bool,
}

/// The request as JSON, with `stream` as the method called demands, whatever the request's own fields say.
///
/// # Errors
/// [`ErrorKind::InvalidRequest`] if it cannot be written as JSON.
pub fn chat_body(request: &ChatRequest, stream: bool) -> Result<Vec<u8>, Error> {
    // A field given twice is read differently by different readers, so ours must be the only one.
    let foreign = |name: &str| name == "stream" || (name == "stream_options" && !stream);
    let cleaned = request.extra.keys().any(|name| foreign(name)).then(|| {
        let mut request = request.clone();
        request.extra.retain(|name, _| !foreign(name));
        request
    });
    let mut body = Vec::with_capacity(request.text_bytes() + 256);
    serde_json::to_writer(
        &mut body,
        &Body {
            request: cleaned.as_ref().unwrap_or(request),
            stream,
        },
    )
    .map_err(|_| Error::new(ErrorKind::InvalidRequest, "the request cannot be written as JSON"))?;
    Ok(body)
}

#[cfg(test)]
mod tests {
    use integration_core::ModelId;
    use integration_core::chat::Message;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn every_field_is_sent_and_stream_once() {
        let asked = json!({
            "model": "a/b", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5, "stop": ["x"],
            "provider": {"sort": "price"}, "models": ["c/d"], "stream": true, "stream_options": {"include_usage": true},
        });
        let request: ChatRequest = serde_json::from_value(asked.clone()).unwrap();
        for stream in [true, false] {
            let body = String::from_utf8(chat_body(&request, stream).unwrap()).unwrap();
            assert_eq!(body.matches("\"stream\"").count(), 1, "{body}");
            let sent: Value = serde_json::from_str(&body).unwrap();
            let mut expected = asked.clone();
            expected["stream"] = json!(stream);
            if !stream {
                expected.as_object_mut().unwrap().remove("stream_options");
            }
            assert_eq!(sent, expected);
        }
        let plain = ChatRequest::new(ModelId::new("a/b").unwrap(), vec![Message::user("hi")]);
        let body = chat_body(&plain, false).unwrap();
        assert_eq!(
            body,
            br#"{"model":"a/b","messages":[{"role":"user","content":"hi"}],"stream":false}"#
        );
    }
}
