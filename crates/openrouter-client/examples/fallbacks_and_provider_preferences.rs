//! Who may serve, in which order, at what price; and what happens if nobody does.
//!
//! `cargo run -p openrouter-client --example fallbacks_and_provider_preferences`
#![allow(missing_docs, unreachable_pub)]

mod start;

use std::io::Write;

use std::time::Duration;

use integration_core::chat::Message;
use integration_core::{ChatClient, ChatRequest, ErrorKind};
use openrouter_client::OpenRouterClient;
use openrouter_client::routes::{
    ChatOptions, DataCollection, MaxPrice, Percentiles, ProviderDirectory, ProviderPreferences, ProviderSlug,
    Sort, SortBy, headers,
};

pub async fn run(client: &OpenRouterClient, out: &mut impl Write) -> Result<(), start::AnyError> {
    let question = vec![Message::user("Hello!")];
    let mut request = ChatRequest::new(start::model("openai/gpt-4o-mini")?, question.clone());
    ChatOptions::new()
        // Tried in this order when the first does not answer, for whatever reason.
        .with_fallback_models([start::model("google/gemini-2.5-flash-lite")?])
        .with_provider(
            ProviderPreferences::new()
                .with_sort(Sort::new(SortBy::Price))
                .with_data_collection(DataCollection::Deny)
                // US dollars per million tokens; lists of models have them per token.
                .with_max_price(MaxPrice::per_million("1".parse()?, "5".parse()?))
                // A wish: who is slower comes last, but is not left out.
                .with_preferred_max_latency(Percentiles::median(Duration::from_millis(1_500))),
        )
        .with_session_id("conversation-7")
        .apply(&mut request)?;
    let call = start::call()?.with_headers(vec![headers::router_metadata()]);
    let answer = client.chat(&call, &request).await?;
    let upstream = answer.upstream.as_ref().map_or("not told", |name| name.as_str());
    writeln!(
        out,
        "answered by {} at {upstream}",
        answer.model.as_deref().unwrap_or("?")
    )?;
    if let Some(metadata) = answer.extra.get("openrouter_metadata") {
        writeln!(out, "routing: {}", metadata["summary"])?;
    }

    // That is a display name. Requests take slugs, and the directory leads from one to the other.
    let directory = ProviderDirectory::new(&client.providers().await?);
    if let Some(slug) = directory.slug(upstream) {
        writeln!(out, "to ask there again: provider.only = [{slug}]")?;
    }

    // A constraint that nobody meets is told as such, and asking again would not help.
    let mut request = ChatRequest::new(start::model("openai/gpt-4o-mini")?, question);
    ChatOptions::new()
        .with_provider(ProviderPreferences::new().with_only([ProviderSlug::new("nobody")?]))
        .apply(&mut request)?;
    match client.chat(&start::call()?, &request).await {
        Err(error) if error.kind() == ErrorKind::NoRoute => writeln!(out, "no route: {}", error.message())?,
        Err(error) => return Err(error.into()),
        Ok(answer) => writeln!(out, "answered all the same: {}", answer.text())?,
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), start::AnyError> {
    let started = start::client().await?;
    run(&started.client, &mut std::io::stdout()).await
}
