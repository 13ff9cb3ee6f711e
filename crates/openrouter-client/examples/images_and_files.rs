//! Images, sound and files in a question, and a cached prompt.
//!
//! `cargo run -p openrouter-client --example images_and_files`
#![allow(missing_docs, unreachable_pub)]

mod start;

use std::io::Write;

use integration_core::chat::{Content, ContentPart, Message};
use integration_core::{ChatClient, ChatRequest};
use openrouter_client::OpenRouterClient;
use openrouter_client::routes::{CacheControl, ChatOptions, Detail, PdfEngine, Plugin, parts};

pub async fn run(client: &OpenRouterClient, out: &mut impl Write) -> Result<(), start::AnyError> {
    // A PNG of one pixel.
    const PIXEL: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\0\0\0\nIDATx\x9cc\0\x01\0\0\x05\0\x01\r\n-\xb4\0\0\0\0IEND\xaeB`\x82";
    let question = vec![
        // A long text that many questions share is cached up to its mark, where it is long enough to pay.
        parts::cached(
            ContentPart::text("The house rules: be brief."),
            &CacheControl::ephemeral(),
        ),
        ContentPart::text("What do these have in common?"),
        parts::image(parts::data_url("image/png", PIXEL), Some(Detail::Low)),
        parts::file("paper.pdf", parts::data_url("application/pdf", b"%PDF-1.4")),
    ];
    let messages = vec![Message::user(Content::Parts(question))];
    let mut request = ChatRequest::new(start::model("google/gemini-2.5-flash")?, messages);
    ChatOptions::new()
        // Text as it stands in the file, which is free; `MistralOcr` reads scans, at a price a page.
        .with_plugins([Plugin::file_parser(PdfEngine::CloudflareAi)])
        .apply(&mut request)?;
    // What the model must be able to do is read off the request.
    writeln!(out, "needs: {}", request.needs())?;
    let answer = client.chat(&start::call()?, &request).await?;
    writeln!(out, "{}", answer.text())?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), start::AnyError> {
    let started = start::client().await?;
    run(&started.client, &mut std::io::stdout()).await
}
