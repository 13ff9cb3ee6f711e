//! The providers behind the gateway, or the simulator in their place.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use http_transport::retry::RetryPolicy;
use integration_core::{
    BillingClient, ChatClient, ChatRequest, Clock, EmbeddingClient, HealthAggregate, HealthReport,
    ProviderId, Secret,
};
use openrouter_client::OpenRouterClient;
use openrouter_simulator::{Scenario, Simulator, SimulatorConfig, Timing};
use rate_limits::RateLimiter;
use routing::DataPolicy;
use serde_json::{Map, Value};
use tokio::sync::Mutex;

use crate::call::Refused;
use crate::config::Settings;

/// Whether answers come from a provider or from the simulator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// From the provider.
    Live,
    /// From the simulator: nothing leaves the machine and nothing is paid.
    Simulated,
}

impl Mode {
    /// The word in headers and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Simulated => "simulated",
        }
    }
}

/// The strictest data policy that OpenRouter holds a single request to: `provider.data_collection` and `provider.zdr` leave it only
/// upstreams that keep to it, or none.
pub const OPENROUTER_ENFORCES: DataPolicy = DataPolicy::NoRetention;

/// Makes a request ask OpenRouter for a data policy, whatever else it says there itself. All attempts of a call send the same
/// request, so fallbacks ask for it too.
///
/// # Errors
/// [`Refused`] if the request's own `provider` is no object.
pub fn demand(request: &mut ChatRequest, policy: DataPolicy) -> Result<(), Refused> {
    let wishes = request.extra.entry("provider").or_insert(Value::Null);
    if wishes.is_null() {
        *wishes = Value::Object(Map::new());
    }
    let Value::Object(wishes) = wishes else {
        return Err(Refused::invalid("provider", "`provider` must be an object"));
    };
    wishes.insert("data_collection".to_owned(), Value::from("deny"));
    if policy >= DataPolicy::NoRetention {
        wishes.insert("zdr".to_owned(), Value::from(true));
    }
    Ok(())
}

/// Whether a base URL is one of OpenRouter's own. What speaks like it may not know `provider`, and pass it over.
fn is_openrouter(base_url: &str) -> bool {
    let host = base_url
        .strip_prefix("https://")
        .and_then(|rest| rest.split('/').next());
    host.is_some_and(|host| {
        let plain = host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'));
        plain && (host == "openrouter.ai" || host.ends_with(".openrouter.ai"))
    })
}

/// The strictest data policy that what is behind these settings holds single requests to; `None` if it is not known to do so.
pub(crate) fn enforced(simulated: bool, settings: &Settings) -> Option<DataPolicy> {
    // The simulator does as OpenRouter does; nothing leaves the machine anyway.
    let enforces = simulated || settings.base_url.as_deref().is_none_or(is_openrouter);
    enforces.then_some(OPENROUTER_ENFORCES)
}

/// How long a health check of an integration is good for.
const HEALTH_TTL: Duration = Duration::from_secs(10);

/// Every integration, and what runs in this process in place of one.
#[derive(Debug)]
pub struct Upstreams {
    mode: Mode,
    integrations: Vec<Integration>,
    clock: Arc<dyn Clock>,
    simulator: Option<Simulator>,
}

#[derive(Debug)]
struct Integration {
    client: Arc<dyn ChatClient>,
    /// Makes vectors of texts.
    embeddings: Arc<dyn EmbeddingClient>,
    /// Tells what generations cost.
    billing: Arc<dyn BillingClient>,
    /// Tells what was spent by day, where there is a key for that.
    by_day: Option<Arc<dyn BillingClient>>,
    limiter: RateLimiter,
    /// Held while a check runs, so that many callers cause one.
    last: Mutex<Option<(Instant, HealthReport)>>,
}

impl Upstreams {
    /// Sets up the clients; starts the simulator where there is no key. Sends nothing, but to a base URL of the operator's
    /// own, which is asked whether it is a simulator.
    ///
    /// # Errors
    /// One sentence about the setting, the scenario or the port that failed.
    pub async fn connect(settings: &Settings, clock: &Arc<dyn Clock>) -> anyhow::Result<Self> {
        let (mode, client, by_day, simulator) = open(settings, clock).await?;
        let limiter = RateLimiter::new(settings.rate_limits.clone(), Arc::clone(clock))
            .with_max_wait(Duration::from_secs(settings.limits.wait_seconds));
        let client = Arc::new(client);
        let integrations = vec![Integration {
            client: Arc::clone(&client) as _,
            embeddings: Arc::clone(&client) as _,
            billing: client,
            by_day: by_day.map(|client| Arc::new(client) as _),
            limiter,
            last: Mutex::new(None),
        }];
        let mut upstreams = Self {
            mode,
            integrations,
            clock: Arc::clone(clock),
            simulator,
        };
        if mode == Mode::Live && settings.base_url.is_some() && upstreams.is_simulator().await {
            upstreams.mode = Mode::Simulated;
        }
        Ok(upstreams)
    }

    /// Whether what answers at a base URL of the operator's own says of itself that it is a simulator.
    async fn is_simulator(&self) -> bool {
        let aggregate = self.health_of_all().await;
        aggregate
            .reports
            .iter()
            .any(|report| report.details.get("simulated").and_then(Value::as_bool) == Some(true))
    }

    /// Where answers come from.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The strictest data policy that each provider holds single requests to; one that is not known to do so is left out.
    pub fn enforced(&self, settings: &Settings) -> impl Iterator<Item = (ProviderId, DataPolicy)> {
        let policy = enforced(self.mode == Mode::Simulated, settings);
        let ids = self.ids().cloned().collect::<Vec<_>>();
        ids.into_iter().filter_map(move |id| Some((id, policy?)))
    }

    /// Whether answers come from a simulation in this very process, which ends with it.
    pub fn simulates(&self) -> bool {
        self.simulator.is_some()
    }

    /// The clients.
    pub fn clients(&self) -> impl Iterator<Item = Arc<dyn ChatClient>> {
        self.integrations
            .iter()
            .map(|integration| Arc::clone(&integration.client))
    }

    /// Who makes vectors of texts, by integration.
    pub fn embeddings(&self) -> impl Iterator<Item = (ProviderId, Arc<dyn EmbeddingClient>)> {
        self.integrations.iter().map(|integration| {
            let client = Arc::clone(&integration.embeddings);
            (integration.client.id().clone(), client)
        })
    }

    /// Who tells what generations cost, by integration.
    pub fn billing(&self) -> impl Iterator<Item = (ProviderId, Arc<dyn BillingClient>)> {
        self.integrations.iter().map(|integration| {
            let client = Arc::clone(&integration.billing);
            (integration.client.id().clone(), client)
        })
    }

    /// Who tells what was spent by day, by integration. Without a management key the ordinary one is tried, which some accounts
    /// let in.
    pub fn by_day(&self) -> impl Iterator<Item = (ProviderId, Arc<dyn BillingClient>)> {
        self.integrations.iter().map(|integration| {
            let client = integration.by_day.as_ref().unwrap_or(&integration.billing);
            (integration.client.id().clone(), Arc::clone(client))
        })
    }

    /// Whether there is a key of which it is known that it may see what was spent by day.
    pub fn has_management_key(&self) -> bool {
        self.integrations
            .iter()
            .any(|integration| integration.by_day.is_some())
    }

    /// The limiter of each integration.
    pub fn limiters(&self) -> impl Iterator<Item = (ProviderId, RateLimiter)> {
        self.integrations
            .iter()
            .map(|integration| (integration.client.id().clone(), integration.limiter.clone()))
    }

    /// The names of the integrations.
    pub fn ids(&self) -> impl Iterator<Item = &ProviderId> {
        self.integrations
            .iter()
            .map(|integration| integration.client.id())
    }

    /// How an integration is, looked at now or at most ten seconds ago; `None` if there is no such integration.
    pub async fn health(&self, id: &str) -> Option<HealthReport> {
        let integration = self
            .integrations
            .iter()
            .find(|integration| integration.client.id().as_str() == id)?;
        Some(self.look(integration).await)
    }

    /// How all integrations are.
    pub async fn health_of_all(&self) -> HealthAggregate {
        let reports = self.integrations.iter().map(|integration| self.look(integration));
        HealthAggregate::new(futures_util::future::join_all(reports).await)
    }

    async fn look(&self, integration: &Integration) -> HealthReport {
        let mut last = integration.last.lock().await;
        let now = self.clock.now();
        match &*last {
            Some((at, report)) if now.duration_since(*at) < HEALTH_TTL => report.clone(),
            _ => {
                let report = integration.client.health().await;
                learn_free_daily(&integration.limiter, &report);
                *last = Some((now, report.clone()));
                report
            }
        }
    }

    /// Whether a request header goes on to the upstream: the simulator's own ones, and those only to the simulator.
    pub fn passes_on(&self, header: &str) -> bool {
        self.mode == Mode::Simulated && header.starts_with("x-simulator-")
    }

    /// Stops the simulator, if one runs.
    pub async fn shutdown(self) {
        if let Some(simulator) = self.simulator {
            simulator.shutdown().await;
        }
    }
}

/// Takes over what the account may ask of free models today, where a check has told it.
fn learn_free_daily(limiter: &RateLimiter, report: &HealthReport) {
    let number = |name: &str| u32::try_from(report.details.get(name)?.as_u64()?).ok();
    if let (Some(limit), Some(left)) = (
        number(openrouter_client::FREE_REQUESTS_A_DAY),
        number(openrouter_client::FREE_REQUESTS_LEFT_TODAY),
    ) {
        limiter.set_openrouter_free_daily(limit, limit.saturating_sub(left));
    }
}

async fn open(
    settings: &Settings,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<(
    Mode,
    OpenRouterClient,
    Option<OpenRouterClient>,
    Option<Simulator>,
)> {
    let (mode, mut config, simulator) = match &settings.api_key {
        Some(key) => {
            let mut config = openrouter_client::Config::new(key.clone());
            if let Some(url) = &settings.base_url {
                config = config.with_base_url(url);
            }
            (Mode::Live, config, None)
        }
        None => {
            let simulator = start_simulator(settings).await?;
            let key = Secret::new("sk-or-v1-simulated").context("the simulator's key is not usable")?;
            let config = openrouter_client::Config::new(key).with_base_url(&simulator.base_url());
            (Mode::Simulated, config, Some(simulator))
        }
    };
    let (name, site) = &settings.app;
    config = config.with_app(
        name.as_deref().unwrap_or_default(),
        site.as_deref().unwrap_or_default(),
    );
    // The executor decides what is tried again, of whom, and under one budget; a client that repeats by itself would multiply it.
    config = config
        .with_retry(RetryPolicy::None)
        .with_timeouts(settings.timeouts);
    let client = OpenRouterClient::with_clock(config, Arc::clone(clock))?;
    let by_day = match &settings.management_key {
        None => None,
        Some(key) => {
            let mut config = openrouter_client::Config::new(key.clone());
            if let Some(url) = &settings.base_url {
                config = config.with_base_url(url);
            }
            Some(OpenRouterClient::with_clock(config, Arc::clone(clock))?)
        }
    };
    Ok((mode, client, by_day, simulator))
}

async fn start_simulator(settings: &Settings) -> anyhow::Result<Simulator> {
    let chosen = &settings.simulator;
    let timing = if chosen.instant {
        Timing::Instant
    } else {
        Timing::Realistic
    };
    let mut config = SimulatorConfig::new(chosen.seed).with_timing(timing);
    if let Some(path) = &chosen.scenario {
        config = config.with_scenario(Scenario::open(path)?);
    }
    Simulator::start(config)
        .await
        .context("the simulated upstream cannot be started")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_openrouter_itself_is_trusted_to_know_its_own_fields() {
        for own in [
            "https://openrouter.ai/api/v1",
            "https://eu.openrouter.ai/api/v1",
            "https://openrouter.ai",
        ] {
            assert!(is_openrouter(own), "{own}");
        }
        for other in [
            "http://openrouter.ai/api/v1",
            "https://notopenrouter.ai/api/v1",
            "https://openrouter.ai.example.com/api/v1",
            "https://example.com?.openrouter.ai",
            "https://openrouter.ai@example.com/",
            "http://127.0.0.1:9000/api/v1",
            "",
        ] {
            assert!(!is_openrouter(other), "{other}");
        }
    }
}
