//! The list of models, in OpenAI's shape.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::app::App;
use crate::config::AUTO;
use crate::report;

/// The gateway's own names first (`waypost/auto`, aliases), then the catalogue.
pub(super) async fn models(State(app): State<Arc<App>>) -> Json<Value> {
    let own = |id: &str, target: Option<&str>| json!({ "id": id, "object": "model", "created": 0, "owned_by": "waypost", "alias_of": target });
    let mut data = vec![own(AUTO, None)];
    data.extend(
        app.settings
            .aliases
            .iter()
            .map(|(alias, target)| own(alias, Some(target))),
    );
    data.extend(app.policies.iter().map(|policy| own(&policy.model(), None)));
    data.extend(app.catalogue.records().iter().map(|record| {
        let mut model = report::model(record);
        model["object"] = json!("model");
        model["created"] = json!(record.created.unwrap_or(0));
        model["owned_by"] = json!(record.id.author().unwrap_or("unknown"));
        model
    }));
    Json(json!({ "object": "list", "data": data, "snapshot": app.catalogue.id() }))
}
