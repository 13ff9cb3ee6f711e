//! `waypost serve`.

use std::sync::Arc;

use integration_core::HealthStatus;
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
    overrides.serves_nobody = false;
    let settings = Settings::resolve(&overrides, env)?;
    settings.check_listen()?;
    let app = Arc::new(App::start(settings).await?);
    let server = Server::bind(Arc::clone(&app)).await?;
    let stop = CancellationToken::new();
    tokio::spawn(watch_signals(stop.clone(), app.kill.clone()));
    announce(&app, &server);
    tokio::spawn(look_at_upstreams(Arc::clone(&app)));
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
    let settings = &app.settings;
    let base_url = settings.base_url.as_deref();
    match app.mode() {
        Mode::Live => tracing::info!(
            "answers come from {} and are paid for",
            base_url.unwrap_or("OpenRouter")
        ),
        Mode::Simulated => {
            let why = match (settings.simulate, &settings.api_key) {
                (true, _) => "--simulate was given",
                (false, None) => "no OPENROUTER_API_KEY is set",
                (false, Some(_)) => "what answers at the base URL is a simulator",
            };
            tracing::warn!("answers are SIMULATED, at real prices, and nothing is paid: {why}");
            if let (None, Some(url)) = (&settings.api_key, base_url) {
                tracing::warn!("the base URL {url} is not used: it needs OPENROUTER_API_KEY");
            }
        }
    }
    tracing::info!(
        r#"try: curl -N http://{address}/v1/chat/completions -H 'content-type: application/json' -d '{{"model":"waypost/auto","stream":true,"messages":[{{"role":"user","content":"Hello"}}]}}'"#
    );
}

/// Says at once what would else be found out by the first call: a key that is refused, a limit that is used up. The account's
/// quota of free models is learnt by the way.
async fn look_at_upstreams(app: Arc<App>) {
    let simulated = match app.mode() {
        Mode::Live => "",
        Mode::Simulated => " (simulated)",
    };
    for report in app.upstreams.health_of_all().await.reports {
        let id = format!("{}{simulated}", report.id);
        match (report.status, &report.message) {
            (HealthStatus::Healthy, None) => tracing::info!("{id} is healthy"),
            (HealthStatus::Healthy, Some(message)) => tracing::info!("{id} is healthy: {message}"),
            (status, message) => {
                let status = status.as_str();
                tracing::warn!(
                    "{id} is {status}: {}",
                    message.as_deref().unwrap_or("no reason given")
                );
            }
        }
    }
}

/// The first signal lets running answers finish; the second ends them.
async fn watch_signals(stop: CancellationToken, kill: CancellationToken) {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        tracing::warn!("signals cannot be watched; the gateway stops only by force");
        return;
    };
    for (token, what) in [
        (
            stop,
            "stopping once running answers are done; a second signal ends them at once",
        ),
        (kill, "ending running answers"),
    ] {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("{what}");
        token.cancel();
    }
}
