//! The suite that every provider's client must pass, against this one.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use model_catalogue::ModelSource;
use openrouter_client::retry::RetryPolicy;
use openrouter_client::{Config, OpenRouterClient};
use provider_testkit::conformance::{Candidate, Place, Subject};
use serde_json::json;

struct OpenRouter;

impl Subject for OpenRouter {
    fn candidate(&self, place: &Place) -> Candidate {
        let config = Config::new(place.key.clone())
            .with_base_url(&format!("{}/api/v1", place.url))
            .with_retry(RetryPolicy::None);
        let client = OpenRouterClient::with_clock(config, Arc::clone(&place.clock)).unwrap();
        let lister = client.clone();
        Candidate::new(client.clone())
            .with_embeddings(client)
            .with_models(move || {
                let lister = lister.clone();
                async move {
                    let records = lister.models().await?.models();
                    Ok(records.into_iter().map(|record| record.id.to_string()).collect())
                }
            })
    }

    fn keep_alive(&self) -> String {
        ": OPENROUTER PROCESSING\n\n".to_owned()
    }

    /// What `GET /key` answers.
    fn health_body(&self) -> String {
        let data = json!({ "label": "a key", "limit": null, "limit_remaining": null, "usage": 0, "is_free_tier": false });
        json!({ "data": data }).to_string()
    }

    fn models_body(&self, ids: &[&str]) -> String {
        let model = |id: &&str| {
            json!({
                "id": id,
                "canonical_slug": id,
                "architecture": { "input_modalities": ["text"], "output_modalities": ["text"] },
                "pricing": { "prompt": "0.000001", "completion": "0.000002" },
            })
        };
        json!({ "data": ids.iter().map(model).collect::<Vec<_>>() }).to_string()
    }
}

provider_testkit::provider_conformance! { subject: OpenRouter }
