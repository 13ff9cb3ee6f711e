//! How a request was routed, for those who ask: `openrouter_metadata`.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::simulation::SimulatedRequest;

/// Where the service runs.
const REGION: &str = "sim";

/// Whether a request asks for it.
pub(crate) fn is_wanted(request: &SimulatedRequest<'_>) -> bool {
    ["x-openrouter-metadata", "x-openrouter-experimental-metadata"]
        .into_iter()
        .find_map(|name| request.header(name))
        .is_some_and(|value| value.trim().eq_ignore_ascii_case("enabled"))
}

/// One endpoint that was considered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Considered {
    pub(crate) provider: &'static str,
    pub(crate) model: String,
    /// The tag of the endpoint, which is not shown.
    pub(crate) tag: String,
}

/// One attempt, with the status it ended in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tried {
    pub(crate) provider: &'static str,
    pub(crate) model: String,
    pub(crate) tag: String,
    pub(crate) status: u16,
    /// The dated name of the model.
    pub(crate) permaslug: String,
    /// Whether the account has a key of its own there.
    pub(crate) own_key: bool,
}

/// Something that was done to the request or the answer on the way.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stage {
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    pub(crate) data: Option<Value>,
    pub(crate) cost: Option<Value>,
}

/// How one request was routed.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Routing {
    /// The model as the request names it.
    pub(crate) requested: String,
    pub(crate) strategy: &'static str,
    pub(crate) is_byok: bool,
    /// How many endpoints the models have in all.
    pub(crate) total: usize,
    pub(crate) available: Vec<Considered>,
    pub(crate) attempts: Vec<Tried>,
    pub(crate) pipeline: Vec<Stage>,
}

impl Routing {
    /// The object. `took` is how long the upstream took, where one was asked.
    pub(crate) fn value(&self, took: Option<Duration>) -> Value {
        let selected = self.attempts.last().filter(|last| last.status == 200);
        let is_selected = |one: &Considered| {
            selected.is_some_and(|last| (&last.tag, &last.model) == (&one.tag, &one.model))
        };
        let available: Vec<Value> = self
            .available
            .iter()
            .map(|one| json!({ "provider": one.provider, "model": one.model, "selected": is_selected(one) }))
            .collect();
        let chosen = selected.map_or("none", |last| last.provider);
        let mut fields = Map::new();
        let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
        put("requested", json!(self.requested));
        put("strategy", json!(self.strategy));
        put("region", json!(REGION));
        put(
            "summary",
            json!(format!("available={}, selected={chosen}", available.len())),
        );
        put("attempt", json!(self.attempts.len().max(1)));
        put("is_byok", json!(self.is_byok));
        put(
            "endpoints",
            json!({ "total": self.total, "available": available }),
        );
        if !self.attempts.is_empty() {
            let attempt =
                |one: &Tried| json!({ "provider": one.provider, "model": one.model, "status": one.status });
            put("attempts", self.attempts.iter().map(attempt).collect());
        }
        if !self.pipeline.is_empty() {
            put("pipeline", self.pipeline.iter().map(Stage::value).collect());
        }
        if let Some(took) = took {
            put(
                "generation_time",
                json!(u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
            );
        }
        Value::Object(fields)
    }
}

impl Stage {
    fn value(&self) -> Value {
        let mut stage = json!({ "type": self.kind, "name": self.name });
        if let Some(fields) = stage.as_object_mut() {
            let more = [("data", &self.data), ("cost_usd", &self.cost)];
            fields.extend(
                more.into_iter()
                    .filter_map(|(name, value)| Some((name.to_owned(), value.clone()?))),
            );
        }
        stage
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_has_two_names_and_one_value() {
        let wanted = |name, value| is_wanted(&SimulatedRequest::new("POST", "/").with_header(name, value));
        assert!(wanted("X-OpenRouter-Metadata", "Enabled"));
        assert!(wanted("x-openrouter-experimental-metadata", "enabled"));
        assert!(!wanted("X-OpenRouter-Metadata", "true") && !wanted("x-other", "enabled"));
    }

    #[test]
    fn the_object_says_who_was_tried_and_who_answered() {
        let considered = |provider, tag: &str| Considered {
            provider,
            model: "a/b".to_owned(),
            tag: tag.to_owned(),
        };
        let tried = |provider, tag: &str, status| Tried {
            provider,
            model: "a/b".to_owned(),
            tag: tag.to_owned(),
            status,
            permaslug: "a/b-20260101".to_owned(),
            own_key: false,
        };
        let mut routing = Routing {
            requested: "a/b".to_owned(),
            strategy: "direct",
            available: vec![considered("X", "x"), considered("X", "x/region")],
            attempts: vec![tried("X", "x", 503), tried("X", "x/region", 200)],
            ..Routing::default()
        };
        let value = routing.value(Some(Duration::from_millis(12)));
        assert_eq!(
            (&value["attempt"], &value["generation_time"]),
            (&json!(2), &json!(12))
        );
        assert_eq!(value["endpoints"]["available"][0]["selected"], false);
        assert_eq!(value["endpoints"]["available"][1]["selected"], true);
        assert_eq!(value["summary"], "available=2, selected=X");
        routing.attempts.pop();
        let value = routing.value(None);
        assert_eq!(value["summary"], "available=2, selected=none");
        assert!(value.get("generation_time").is_none() && value.get("pipeline").is_none());
    }
}
