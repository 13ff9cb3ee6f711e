//! Vectors for texts, and the best of several documents.
//!
//! `cargo run -p openrouter-client --example embeddings_and_rerank`
#![allow(missing_docs, unreachable_pub)]

mod start;

use std::io::Write;

use integration_core::{EmbeddingClient, EmbeddingRequest};
use openrouter_client::OpenRouterClient;
use openrouter_client::routes::{EmbeddingInput, EmbeddingsRequest, RerankRequest};

pub async fn run(client: &OpenRouterClient, out: &mut impl Write) -> Result<(), start::AnyError> {
    let texts = ["a cat", "a kitten", "a tax return"].map(str::to_owned).to_vec();
    // As every provider has it …
    let request = EmbeddingRequest::new(start::model("openai/text-embedding-3-small")?, texts.clone());
    let answer = client.embed(&start::call()?, &request).await?;
    let [cat, kitten, tax] = &answer.embeddings[..] else {
        return Err("not one vector for each text".into());
    };
    let likeness = |a: &[f32], b: &[f32]| -> f32 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
    writeln!(
        out,
        "cat and kitten: {:.3}",
        likeness(&cat.vector, &kitten.vector)
    )?;
    writeln!(out, "cat and tax: {:.3}", likeness(&cat.vector, &tax.vector))?;

    // … and with everything OpenRouter takes: other kinds of input, and what the vectors are for.
    let input = EmbeddingInput::Text("furry animals".to_owned());
    let mut request = EmbeddingsRequest::new(start::model("openai/text-embedding-3-small")?, input);
    request.dimensions = Some(64);
    request.input_type = Some("search_query".to_owned());
    let answer = client.embeddings(&start::call()?, &request).await?;
    writeln!(
        out,
        "{} numbers, {:?}",
        answer.embeddings[0].vector.len(),
        answer.usage.and_then(|u| u.reported.cost)
    )?;

    let request = RerankRequest::new(
        start::model("cohere/rerank-v3.5")?,
        "furry animals",
        texts.clone(),
    )
    .with_top_n(2);
    let answer = client.rerank(&start::call()?, &request).await?;
    for result in &answer.results {
        writeln!(out, "{:.3} {}", result.relevance_score, texts[result.index])?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), start::AnyError> {
    let started = start::client().await?;
    run(&started.client, &mut std::io::stdout()).await
}
