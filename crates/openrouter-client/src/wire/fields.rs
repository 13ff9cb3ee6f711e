//! What the readers and writers of all routes share: open words, amounts by their digits, answers that may be errors.

use integration_core::{Delivery, Error, ErrorKind, Result, Usage};
use rust_decimal::Decimal;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::error::{ErrorReader, ErrorSite};

pub(crate) use integration_core::open_enum;

/// An amount by its digits, never through a float. One that is no number is not known.
pub(crate) fn amount<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Decimal>, D::Error> {
    let raw: Box<RawValue> = Deserialize::deserialize(deserializer)?;
    Ok(decimal(raw.get().trim_matches('"')))
}

/// A number with its point anywhere and with or without an exponent.
pub(crate) fn decimal(digits: &str) -> Option<Decimal> {
    let exact = Decimal::from_str_exact(digits).or_else(|_| Decimal::from_scientific(digits));
    // More digits than a decimal holds: what a float of theirs leaves behind. The nearest one will do for a display.
    exact.or_else(|_| digits.parse()).ok()
}

/// Writes an amount as a JSON number with every digit of it.
pub(crate) fn number<S: Serializer>(
    amount: &Option<Decimal>,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    match amount {
        Some(amount) => RawValue::from_string(amount.normalize().to_string())
            .map_err(serde::ser::Error::custom)?
            .serialize(serializer),
        None => serializer.serialize_none(),
    }
}

/// Writes an amount as a string of its digits.
pub(crate) fn digits<S: Serializer>(
    amount: &Option<Decimal>,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    match amount {
        Some(amount) => serializer.collect_str(&amount.normalize()),
        None => serializer.serialize_none(),
    }
}

/// `null` is what an absent field is.
pub(crate) fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// What was used. A usage that cannot be read is not reported.
pub(crate) fn usage<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Usage>, D::Error> {
    let raw: Option<Box<RawValue>> = Deserialize::deserialize(deserializer)?;
    Ok(raw.and_then(|raw| Usage::from_json(raw.get()).ok()))
}

/// Whether a usage tells of anything that was done, and so may be billed.
pub(crate) fn used_anything(usage: &Usage) -> bool {
    let counts = [
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.total_tokens,
        usage.cached_tokens,
        usage.cache_write_tokens,
        usage.cache_write_1h_tokens,
        usage.prompt_audio_tokens,
        usage.prompt_image_tokens,
        usage.prompt_video_tokens,
        usage.reasoning_tokens,
        usage.completion_audio_tokens,
        usage.completion_image_tokens,
        usage.server_tools.tool_calls_executed,
        usage.server_tools.web_search_requests,
    ];
    let costs = [
        usage.reported.cost,
        usage.reported.upstream_cost,
        usage.reported.upstream_prompt_cost,
        usage.reported.upstream_completion_cost,
        usage.reported.server_tool_cost,
    ];
    counts.into_iter().flatten().any(|count| count > 0)
        || costs.into_iter().flatten().any(|cost| !cost.is_zero())
}

/// An error that tells of tokens or costs beside it is no refusal: what it used may be billed, and once more if it is made again.
pub(crate) fn billed_if_used(error: Error) -> Error {
    if error.delivery() == Delivery::Answered && error.usage().is_some_and(used_anything) {
        error.with_delivery(Delivery::Partial)
    } else {
        error
    }
}

/// Whether an event holds an error at its top: `null` is none.
pub(crate) fn holds_error(data: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Head<'a> {
        #[serde(default, borrow)]
        error: Option<&'a RawValue>,
    }
    // A list would be read as the fields in their order.
    data.trim_ascii_start().first() == Some(&b'{')
        && serde_json::from_slice::<Head<'_>>(data).is_ok_and(|head| head.error.is_some())
}

/// The error that a piece of a stream holds, or is.
pub(crate) fn error_of_event(data: &[u8], errors: &ErrorReader) -> Error {
    errors.read_value(&String::from_utf8_lossy(data), ErrorSite::Stream)
}

/// Reads an answer that is one JSON object. An error in it is a failure, even under status 200.
///
/// `what` is the answer's name in a message, such as "the list of providers".
pub(crate) fn read_answer<T: DeserializeOwned>(body: &[u8], what: &str, errors: &ErrorReader) -> Result<T> {
    if let Some(error) = errors.read_body(body) {
        return Err(error);
    }
    serde_json::from_slice(body).map_err(|error| unreadable(body, what, error))
}

/// What is wrong with JSON, and where. The parser's own message quotes the text it found, which may be an answer or a new key:
/// neither it nor the parser's error goes with an error of ours.
pub(crate) fn unfit(error: &serde_json::Error) -> String {
    let what = match error.classify() {
        Category::Syntax => "it is not JSON",
        Category::Data => "it is not of the form expected",
        Category::Eof => "it breaks off",
        Category::Io => "it cannot be read",
    };
    format!("{what} (line {}, column {})", error.line(), error.column())
}

/// Why an answer could not be read.
pub(crate) fn unreadable(body: &[u8], what: &str, error: serde_json::Error) -> Error {
    let start = body.trim_ascii_start();
    let out = if start.is_empty() {
        Error::new(ErrorKind::Truncated, format!("{what} came empty"))
    } else if start.first() == Some(&b'<') {
        Error::new(
            ErrorKind::Protocol,
            format!("{what} is a web page, not JSON; check the base URL and what lies between"),
        )
    } else if error.is_eof() {
        Error::new(
            ErrorKind::Truncated,
            format!("{what} ended before it was complete"),
        )
    } else {
        let why = unfit(&error);
        Error::new(ErrorKind::Protocol, format!("{what} cannot be read: {why}"))
    };
    out.with_delivery(Delivery::Partial)
}

/// A request as JSON.
pub(crate) fn body_of(request: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(request)
        .map_err(|_| Error::new(ErrorKind::InvalidRequest, "the request cannot be written as JSON"))
}

/// A request that is refused before it is sent.
pub(crate) fn refused(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidRequest, why)
}

#[cfg(test)]
mod tests {
    #![allow(unreachable_pub)]

    use std::time::SystemTime;

    use serde_json::Value;

    use super::*;

    #[test]
    fn errors_stand_anywhere() {
        let errors = ErrorReader::new(SystemTime::UNIX_EPOCH);
        for (body, kind) in [
            (
                r#"{"error":{"code":429,"message":"m"}}"#,
                Some(ErrorKind::RateLimited),
            ),
            (
                r#"{"error":{"code":"server_error","message":"m"},"error_type":"provider_overloaded"}"#,
                Some(ErrorKind::Overloaded),
            ),
            (
                r#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#,
                Some(ErrorKind::Overloaded),
            ),
            (r#"{"error":"broken"}"#, Some(ErrorKind::Upstream)),
            (r#"{"error":null,"data":1}"#, None),
            (r#"{"data":1}"#, None),
        ] {
            let read = read_answer::<Value>(body.as_bytes(), "it", &errors);
            assert_eq!(read.err().map(|error| error.kind()), kind, "{body}");
        }
        for (body, kind) in [
            ("", ErrorKind::Truncated),
            (" <html>", ErrorKind::Protocol),
            ("{\"data\":", ErrorKind::Truncated),
            ("[1}", ErrorKind::Protocol),
        ] {
            let error = read_answer::<Value>(body.as_bytes(), "it", &errors).unwrap_err();
            assert_eq!(error.kind(), kind, "{body}");
        }
    }

    #[test]
    fn amounts_are_written_digit_by_digit() {
        #[derive(Serialize)]
        struct Body {
            #[serde(serialize_with = "number")]
            limit: Option<Decimal>,
        }
        for digits in ["12.5", "0.1000000000000000055511151231", "0", "-3"] {
            let limit = Some(digits.parse().unwrap());
            assert_eq!(
                body_of(&Body { limit }).unwrap(),
                format!("{{\"limit\":{digits}}}").into_bytes()
            );
        }
        assert_eq!(body_of(&Body { limit: None }).unwrap(), b"{\"limit\":null}");
    }
}
