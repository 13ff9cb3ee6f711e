//! Parts of a message that are no plain text, and caching marks on them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use integration_core::chat::ContentPart;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::wire::fields::open_enum;

open_enum! {
    /// How closely a model looks at an image. More detail is more tokens.
    pub enum Detail {
        /// As the model sees fit.
        Auto = "auto",
        /// A glance.
        Low = "low",
        /// Closely.
        High = "high",
        /// In its own resolution.
        Original = "original",
    }
}

open_enum! {
    /// How long a prompt stays in the cache.
    pub enum CacheTtl {
        /// Five minutes.
        FiveMinutes = "5m",
        /// An hour. Writing costs more.
        OneHour = "1h",
    }
}

/// Asks for a prompt to be cached up to here (on a part), or wherever it pays (on the request).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CacheControl {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<CacheTtl>,
}

impl CacheControl {
    /// For as long as the upstream keeps it: five minutes mostly.
    pub fn ephemeral() -> Self {
        Self {
            kind: "ephemeral",
            ttl: None,
        }
    }

    /// For this long.
    pub fn with_ttl(ttl: CacheTtl) -> Self {
        Self {
            kind: "ephemeral",
            ttl: Some(ttl),
        }
    }
}

fn part(kind: &str, content: Value) -> ContentPart {
    ContentPart::new(kind, Map::from_iter([(kind.to_owned(), content)]))
}

/// Bytes as a URL that holds them. `media_type` is such as `image/png`.
pub fn data_url(media_type: &str, bytes: &[u8]) -> String {
    format!("data:{media_type};base64,{}", STANDARD.encode(bytes))
}

/// An image by its URL or data URL.
pub fn image(url: impl Into<String>, detail: Option<Detail>) -> ContentPart {
    let mut image = json!({ "url": url.into() });
    if let Some(detail) = detail {
        image["detail"] = json!(detail);
    }
    part("image_url", image)
}

/// Sound. `format` is such as `wav` or `mp3`.
pub fn audio(bytes: &[u8], format: &str) -> ContentPart {
    part(
        "input_audio",
        json!({ "data": STANDARD.encode(bytes), "format": format }),
    )
}

/// A video by its URL or data URL.
pub fn video(url: impl Into<String>) -> ContentPart {
    part("video_url", json!({ "url": url.into() }))
}

/// A file by its URL or data URL (a PDF, for instance), and the name the model knows it by.
pub fn file(name: &str, url: impl Into<String>) -> ContentPart {
    part("file", json!({ "filename": name, "file_data": url.into() }))
}

/// A file that was uploaded before, by its id.
pub fn uploaded_file(id: &str) -> ContentPart {
    part("file", json!({ "file_id": id }))
}

/// A part up to which the prompt is to be cached. At most four a request for some upstreams; a prompt of under 1,024 to 4,096
/// tokens, by model, is not cached at all.
pub fn cached(mut part: ContentPart, control: &CacheControl) -> ContentPart {
    part.fields.insert("cache_control".to_owned(), json!(control));
    part
}
