//! The suite every provider passes: what is declared is tested, what is not must be refused.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use acme_client::{AcmeClient, Config};
use http_transport::retry::RetryPolicy;
use provider_testkit::conformance::{Candidate, Place, Subject};

struct AcmeSubject;

impl Subject for AcmeSubject {
    fn candidate(&self, place: &Place) -> Candidate {
        // The suite counts requests, so each call must be one.
        let config = Config::new(place.key.clone())
            .with_base_url(&place.url)
            .with_retry(RetryPolicy::None);
        let client = AcmeClient::with_clock(config, place.clock.clone()).unwrap();
        let lister = client.clone();
        Candidate::new(client).with_models(move || {
            let client = lister.clone();
            async move {
                let list = client.models().await?;
                Ok(list.models.iter().map(|model| model.id.to_string()).collect())
            }
        })
    }

    fn model(&self) -> &str {
        "acme-small"
    }
}

provider_testkit::provider_conformance! {
    subject: AcmeSubject,
}
