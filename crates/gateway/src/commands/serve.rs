//! `waypost serve`.

use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::Outcome;
use crate::app::App;
use crate::cli::ServeArgs;
use crate::config::Settings;
use crate::environment::Environment;
use crate::http::Server;
use crate::upstream::Mode;

pub(super) async fn run(args: &ServeArgs, env: &Environment) -> anyhow::Result<Outcome> {
    let mut overrides = args.place.overrides();
    overrides.listen.clone_from(&args.listen);
    let settings = Settings::resolve(&overrides, env)?;
    let app = Arc::new(App::start(settings).await?);
    let server = Server::bind(Arc::clone(&app)).await?;
    let stop = CancellationToken::new();
    tokio::spawn(watch_signals(stop.clone(), app.kill.clone()));
    announce(&app, &server);
    server.run(stop).await;
    tracing::info!("stopped");
    Ok(Outcome::Done)
}

fn announce(app: &App, server: &Server) {
    let address = server.address();
    tracing::info!(
        "waypost listens on http://{address} ({} models of {}, ledger in {})",
        app.catalogue.records().len(),
        app.catalogue.captured(),
        app.settings.data_dir.display(),
    );
    match app.mode() {
        Mode::Live => tracing::info!("answers come from OpenRouter and are paid for"),
        Mode::Simulated => tracing::warn!(
            "answers are SIMULATED: no OPENROUTER_API_KEY is set, so a simulator in this process answers, at real prices, \
             and nothing is paid"
        ),
    }
    tracing::info!(
        r#"try: curl -N http://{address}/v1/chat/completions -H 'content-type: application/json' -d '{{"model":"waypost/auto","stream":true,"messages":[{{"role":"user","content":"Hello"}}]}}'"#
    );
}

/// The first signal lets running answers finish; the second ends them.
async fn watch_signals(stop: CancellationToken, kill: CancellationToken) {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        tracing::warn!("signals cannot be watched; the gateway stops only by force");
        return;
    };
    for token in [stop, kill] {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("stopping; a second signal ends running answers at once");
        token.cancel();
    }
}
