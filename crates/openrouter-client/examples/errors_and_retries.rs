//! What went wrong, what may be done about it, and what was tried already.
//!
//! `cargo run -p openrouter-client --example errors_and_retries`
#![allow(missing_docs, unreachable_pub)]

mod start;

use std::io::Write;

use std::time::Duration;

use integration_core::chat::Message;
use integration_core::{ChatClient, ChatRequest, Clock, Delivery, ErrorKind, RetryClass};
use openrouter_client::OpenRouterClient;

pub async fn run(client: &OpenRouterClient, out: &mut impl Write) -> Result<(), start::AnyError> {
    let question = vec![Message::user("Hello!")];

    // A model that does not exist.
    let request = ChatRequest::new(start::model("nobody/nothing")?, question.clone());
    match client.chat(&start::call()?, &request).await {
        Ok(answer) => writeln!(out, "answered: {}", answer.text())?,
        Err(error) => {
            // What happened …
            writeln!(out, "{}: {}", error.kind(), error.message())?;
            // … what may be done …
            match error.retry_class() {
                RetryClass::Never => writeln!(out, "mend the request")?,
                RetryClass::OtherDeployment => writeln!(out, "another model may answer")?,
                RetryClass::SameDeployment => writeln!(out, "later; wait {:?}", error.retry_after())?,
            }
            // … and whether it may have been billed.
            match error.delivery() {
                Delivery::NotSent | Delivery::Answered => writeln!(out, "not billed")?,
                Delivery::MaybeSent | Delivery::Partial => {
                    writeln!(out, "perhaps billed; ask for {:?}", error.generation())?;
                }
            }
        }
    }

    // A deadline for the call as a whole, retries and all, by the clock that the client was made with. This one has passed.
    let now = http_transport::SystemClock.now();
    let late = start::call()?.with_deadline(now - Duration::from_millis(1));
    let request = ChatRequest::new(start::model("openai/gpt-4o-mini")?, question);
    if let Err(error) = client.chat(&late, &request).await {
        writeln!(out, "{} after the deadline", error.kind())?;
        debug_assert_eq!(error.kind(), ErrorKind::Timeout);
    }
    // How often is the configuration's to say: `Config::with_retry(RetryPolicy::None)` for whoever retries by itself.
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), start::AnyError> {
    let started = start::client().await?;
    run(&started.client, &mut std::io::stdout()).await
}
