//! What can be asked, who serves it, and at what price.
//!
//! `cargo run -p openrouter-client --example models_and_prices`
#![allow(missing_docs, unreachable_pub)]

mod start;

use std::io::Write;

use openrouter_client::OpenRouterClient;
use openrouter_client::routes::{ModelSort, ModelsQuery, ProviderDirectory};

pub async fn run(client: &OpenRouterClient, out: &mut impl Write) -> Result<(), start::AnyError> {
    // Of every kind of output; OpenRouter by itself lists only models that write text.
    writeln!(out, "{} models in all", client.models_count(&[]).await?)?;
    let query = ModelsQuery::new()
        .with_output_modalities(["text"])
        .with_supported_parameters(["tools"])
        // US dollars per million tokens.
        .with_max_price("0.5".parse()?)
        .with_sort(ModelSort::PriceUp);
    let page = client.list_models(&query).await?;
    for model in page.models.iter().take(5) {
        // US dollars per token, to the last digit. `None` for a router, whose price depends on the request.
        writeln!(out, "{} {:?}", model.id, model.pricing.rate("prompt"))?;
    }

    let model = client.model(&start::model("openai/gpt-4o-mini")?).await?;
    writeln!(out, "{}: {:?} tokens of context", model.id, model.context_length)?;
    let served = client.model_endpoints(&model.id).await?;
    for endpoint in &served.endpoints {
        let name = endpoint.provider_name.as_deref().unwrap_or("?");
        let tag = endpoint.tag.as_deref().unwrap_or("?");
        writeln!(
            out,
            "served by {name} as {tag}, {:?} to the first token",
            endpoint.latency()
        )?;
    }
    let directory = ProviderDirectory::new(&client.providers().await?).with_endpoints(&served.endpoints);
    writeln!(out, "{} providers", directory.len())?;

    // The same list as records of a catalogue, which price answers.
    let catalogue = client.models().await?;
    writeln!(
        out,
        "{} records, {} things not understood",
        catalogue.records.len(),
        catalogue.unknown.len()
    )?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), start::AnyError> {
    let started = start::client().await?;
    run(&started.client, &mut std::io::stdout()).await
}
