//! What the key may spend, what the account has left, and keys for others.
//!
//! `cargo run -p openrouter-client --example keys_and_credits`
#![allow(missing_docs, unreachable_pub)]

mod start;

use std::io::Write;

use openrouter_client::OpenRouterClient;
use openrouter_client::routes::{ActivityQuery, KeyPatch, KeysQuery, LimitReset, NewKey};

pub async fn run(client: &OpenRouterClient, out: &mut impl Write) -> Result<(), start::AnyError> {
    // Free, and the cheap way to see whether a key is good.
    let key = client.key().await?;
    writeln!(out, "spent: {:?} USD of {:?}", key.usage, key.limit)?;
    if let Some(free) = key.free_daily {
        writeln!(out, "free calls left today: {:?}", free.remaining)?;
    }
    for budget in &key.budgets {
        writeln!(
            out,
            "budget {:?}: {:?} USD left",
            budget.scope, budget.remaining_usd
        )?;
    }
    writeln!(out, "balance: {:?} USD", client.credits().await?.balance())?;

    if key.is_management_key != Some(true) {
        writeln!(out, "this key cannot administer; a management key can")?;
        return Ok(());
    }
    let new = NewKey::new("example").with_limit("5".parse()?, Some(LimitReset::Monthly));
    let created = client.create_key(&new).await?;
    // The key itself is in this answer only, and shows in no Debug: `created.key.expose()` is for where it is stored.
    writeln!(out, "made: {} ({:?})", created.info.hash, created.key)?;
    let patch = KeyPatch::new()
        .with_limit(Some("2.5".parse()?))
        .with_disabled(true);
    let changed = client.update_key(&created.info.hash, &patch).await?;
    writeln!(out, "its limit now: {:?} USD", changed.limit)?;
    writeln!(
        out,
        "{} keys",
        client.list_all_keys(&KeysQuery::new().with_all()).await?.len()
    )?;
    writeln!(out, "ended: {}", client.delete_key(&created.info.hash).await?)?;
    for row in client.activity(&ActivityQuery::new()).await?.iter().take(5) {
        writeln!(out, "{:?} {:?}: {:?} USD", row.date, row.model, row.usage)?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), start::AnyError> {
    let started = start::client().await?;
    run(&started.client, &mut std::io::stdout()).await
}
