//! The models on offer.

use integration_core::{Delivery, Error, ErrorKind, ModelId, Result};
use serde::Deserialize;
use serde_json::{Map, Value};

/// One model on offer.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ModelInfo {
    /// Its name in requests.
    pub id: ModelId,
    /// Who made or tuned it, in Acme's words.
    pub owned_by: Option<String>,
    /// When it was first offered, in seconds since the Unix epoch.
    pub created: Option<i64>,
    /// Fields this crate does not name, kept as they came.
    pub extra: Map<String, Value>,
}

/// The models on offer at the moment.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Models {
    /// Those that could be read, in Acme's order.
    pub models: Vec<ModelInfo>,
    /// How many entries could not be read: they name no model.
    pub unreadable: usize,
}

#[derive(Deserialize)]
struct List {
    data: Vec<Value>,
}

impl Models {
    /// Reads the answer of `GET /models`. One bad entry does not lose the others.
    ///
    /// # Errors
    /// [`ErrorKind::Protocol`] if it is no list.
    pub fn read(body: &[u8]) -> Result<Self> {
        let list: List = serde_json::from_slice(body).map_err(|error| {
            // The parser's message names a place, never the text there.
            Error::new(
                ErrorKind::Protocol,
                format!("the list of models cannot be read: {error}"),
            )
            .with_delivery(Delivery::Answered)
            .with_source(error)
        })?;
        let all = list.data.len();
        let models: Vec<ModelInfo> = list.data.into_iter().filter_map(read_one).collect();
        Ok(Self {
            unreadable: all - models.len(),
            models,
        })
    }
}

fn read_one(entry: Value) -> Option<ModelInfo> {
    let Value::Object(mut extra) = entry else {
        return None;
    };
    let id = ModelId::new(extra.shift_remove("id")?.as_str()?).ok()?;
    // `object` is `model` in every entry.
    extra.shift_remove("object");
    let owned_by = extra.shift_remove("owned_by");
    let created = extra.shift_remove("created");
    Some(ModelInfo {
        id,
        owned_by: owned_by.and_then(|name| name.as_str().map(str::to_owned)),
        created: created.and_then(|seconds| seconds.as_i64()),
        extra,
    })
}
