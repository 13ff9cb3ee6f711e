//! A user of OpenRouter lets this program have a key of theirs.
//!
//! `cargo run -p openrouter-client --example pkce`
#![allow(missing_docs, unreachable_pub)]

mod start;

use std::io::Write;

use openrouter_client::OpenRouterClient;
use openrouter_client::routes::{AuthUrl, LimitReset, NewAuthCode, Pkce};

pub async fn run(client: &OpenRouterClient, out: &mut impl Write) -> Result<(), start::AnyError> {
    // 32 bytes of a cryptographic source: `rand::rng().fill_bytes` or `/dev/urandom`. Fixed here, so nobody must use this one.
    let pkce = Pkce::from_random([7; 32])?;
    let url = AuthUrl::new(&pkce, "http://localhost:3000/callback")
        .with_key_label("my program")
        .with_state("which-session-this-is");
    writeln!(out, "send the user to {}", url.url())?;

    // They come back to the callback with ?code=…; a server that has a key can make one for its own account instead.
    let new = NewAuthCode::new(&pkce, "http://localhost:3000/callback")
        .with_limit("1".parse()?, Some(LimitReset::Daily))
        .with_key_label("my program");
    let code = client.create_auth_code(&new).await?;

    let granted = client.exchange_code(&code.id, &pkce).await?;
    writeln!(out, "granted: {:?} of {:?}", granted.key, granted.user_id)?;
    // A code holds once.
    if let Err(error) = client.exchange_code(&code.id, &pkce).await {
        writeln!(out, "a second time: {}", error.kind())?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), start::AnyError> {
    let started = start::client().await?;
    run(&started.client, &mut std::io::stdout()).await
}
