//! An answer as it is written.
//!
//! `cargo run -p openrouter-client --example streaming`
#![allow(missing_docs, unreachable_pub)]

mod start;

use std::io::Write;

use futures_util::StreamExt;
use integration_core::chat::{ChatFold, Message};
use integration_core::{ChatClient, ChatRequest, StreamEvent};
use openrouter_client::OpenRouterClient;

pub async fn run(client: &OpenRouterClient, out: &mut impl Write) -> Result<(), start::AnyError> {
    let question = vec![Message::user("Count to five.")];
    let request = ChatRequest::new(start::model("openai/gpt-4o-mini")?, question);
    // An error before the first piece is an error here; a later one is the last item of the stream.
    let mut stream = client.chat_stream(&start::call()?, &request).await?;
    let mut fold = ChatFold::new();
    while let Some(event) = stream.next().await {
        let event = event?;
        match &event {
            // Keep the id at once: what a stream cost that broke off can be asked for by it.
            StreamEvent::Start(start) => writeln!(out, "[generation {:?}]", start.id)?,
            StreamEvent::Content { text, .. } => write!(out, "{text}")?,
            StreamEvent::Finish { reason, .. } => writeln!(out, "\n[finished: {reason}]")?,
            // Comes once, at the end.
            StreamEvent::Usage(usage) => writeln!(out, "[cost in USD: {:?}]", usage.reported.total())?,
            _ => {}
        }
        fold.push(event)?;
    }
    // The pieces together are the same as an answer in one piece. Dropping the stream early would close its connection.
    let answer = fold.finish();
    writeln!(
        out,
        "[{} characters]",
        answer.map_or(0, |answer| answer.text().chars().count())
    )?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), start::AnyError> {
    let started = start::client().await?;
    run(&started.client, &mut std::io::stdout()).await
}
