//! What the tests of the routes share.

use integration_core::{Error, ModelId};
use openrouter_client::OpenRouterClient;
use openrouter_client::routes::RouteStream;
use provider_testkit::upstream::{Received, Script, ScriptedUpstream};

/// The model that is asked.
pub(crate) fn model() -> ModelId {
    ModelId::new("a/b").unwrap()
}

/// An amount.
pub(crate) fn decimal(text: &str) -> Option<rust_decimal::Decimal> {
    Some(text.parse().unwrap())
}

/// Answers every call so, with a generation in the head.
pub(crate) async fn upstream(script: Script) -> ScriptedUpstream {
    ScriptedUpstream::always(script.with_header("x-generation-id", "gen-head-1")).await
}

/// Everything a stream gave.
pub(crate) async fn drain<T>(mut stream: RouteStream<T>) -> (Vec<T>, Option<Error>) {
    assert_eq!(stream.generation().unwrap().as_str(), "gen-head-1");
    let mut pieces = Vec::new();
    while let Some(piece) = stream.next().await {
        match piece {
            Ok(piece) => pieces.push(piece),
            Err(error) => {
                assert!(stream.next().await.is_none(), "nothing follows an error");
                assert_eq!(error.generation().unwrap().as_str(), "gen-head-1");
                assert_eq!(error.model(), Some(&model()));
                return (pieces, Some(error));
            }
        }
    }
    (pieces, None)
}

/// An upstream that answers every call so, and a client of it.
pub(crate) async fn serves(body: impl ToString) -> (ScriptedUpstream, OpenRouterClient) {
    let server = ScriptedUpstream::always(Script::json(200, body)).await;
    let client = super::client(&server);
    (server, client)
}

/// The next request, which carries the key.
pub(crate) async fn sent(server: &ScriptedUpstream) -> Received {
    let received = server.next_request().await;
    assert_eq!(
        received.header("authorization").unwrap(),
        format!("Bearer {}", super::KEY)
    );
    received
}
