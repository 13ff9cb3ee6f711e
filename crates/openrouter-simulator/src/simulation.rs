//! The service without a socket: a request in, a reply out, nothing waited for.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, UNIX_EPOCH};

use bytes::Bytes;
use costing::{PriceBook, UtcTime};
use integration_core::Clock;
use model_catalogue::Catalogue;
use serde_json::Value;

use crate::config::{SimulatorConfig, SimulatorError};
use crate::dice::{Dice, fingerprint};
use crate::fault::{Fault, FaultPlan};
use crate::generations::{Memory, key_page};
use crate::pages;
use crate::problem::{About, Problem, staged};
use crate::scenario::Route;
use crate::wire::Step;

/// A request, as it came.
#[derive(Debug, Clone)]
pub struct SimulatedRequest<'a> {
    method: &'a str,
    path: &'a str,
    headers: Vec<(&'a str, &'a str)>,
    body: &'a [u8],
}

impl<'a> SimulatedRequest<'a> {
    /// A request without headers and body. The path starts with `/api/v1/` and may end in a query.
    pub fn new(method: &'a str, path: &'a str) -> Self {
        Self {
            method,
            path,
            headers: Vec::new(),
            body: &[],
        }
    }

    /// Adds a header. Names are compared without regard to case.
    #[must_use]
    pub fn with_header(mut self, name: &'a str, value: &'a str) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn with_body(self, body: &'a [u8]) -> Self {
        Self { body, ..self }
    }

    pub(crate) fn body(&self) -> &'a [u8] {
        self.body
    }

    fn header(&self, name: &str) -> Option<&'a str> {
        self.headers
            .iter()
            .find(|(one, _)| one.eq_ignore_ascii_case(name))
            .map(|(_, value)| *value)
    }
}

/// What the service does with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SimulatedReply {
    /// The wait before anything happens.
    pub delay: Duration,
    /// What happens then.
    pub outcome: Outcome,
}

/// What the service does with a request in the end.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It answers.
    Answer(SimulatedAnswer),
    /// It says nothing and keeps the connection open.
    Hang,
    /// It resets the connection.
    Reset,
}

/// An HTTP answer, as a script.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SimulatedAnswer {
    /// The HTTP status.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(&'static str, String)>,
    /// What happens to the body, in order. After the last step the body is complete.
    pub steps: Vec<Step>,
}

impl SimulatedReply {
    /// The bytes of the body, up to where the connection breaks if it does.
    pub fn body(&self) -> Vec<u8> {
        let Outcome::Answer(answer) = &self.outcome else {
            return Vec::new();
        };
        let mut body = Vec::new();
        for step in &answer.steps {
            if let Step::Send(bytes) = step {
                body.extend_from_slice(bytes);
            }
        }
        body
    }
}

impl SimulatedAnswer {
    pub(crate) fn new(status: u16, content_type: &str, steps: Vec<Step>) -> Self {
        let headers = vec![
            ("content-type", content_type.to_owned()),
            (
                "access-control-expose-headers",
                "X-Generation-Id,X-Provider-Name".to_owned(),
            ),
            ("x-simulated", "true".to_owned()),
        ];
        Self {
            status,
            headers,
            steps,
        }
    }

    pub(crate) fn json(status: u16, body: impl Into<Bytes>) -> Self {
        Self::new(status, "application/json", vec![Step::Send(body.into())])
    }
}

impl From<SimulatedAnswer> for SimulatedReply {
    fn from(answer: SimulatedAnswer) -> Self {
        Self {
            delay: Duration::ZERO,
            outcome: Outcome::Answer(answer),
        }
    }
}

impl From<Outcome> for SimulatedReply {
    fn from(outcome: Outcome) -> Self {
        Self {
            delay: Duration::ZERO,
            outcome,
        }
    }
}

impl From<&Problem> for SimulatedReply {
    fn from(problem: &Problem) -> Self {
        let mut answer = SimulatedAnswer::json(problem.status, problem.body().to_string());
        if let Some(seconds) = problem.retry_after {
            answer.headers.push(("retry-after", seconds.to_string()));
        }
        answer.into()
    }
}

/// The simulated service in memory: what the server serves, for whoever needs no socket. It is shared by reference; the
/// requests are numbered in the order in which they come.
#[derive(Debug)]
pub struct Simulation {
    pub(crate) config: SimulatorConfig,
    pub(crate) catalogue: Catalogue,
    pub(crate) prices: PriceBook,
    models: Vec<Value>,
    started: Instant,
    pub(crate) state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    /// Chat requests so far.
    requests: u64,
    /// Attempts so far that each rule was about.
    rules: Vec<u64>,
    pub(crate) memory: Memory,
}

/// What the rules of the scenario say to one attempt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Ruling {
    pub(crate) fault: Option<Fault>,
    pub(crate) retry_after: Option<u64>,
    pub(crate) delay: Duration,
}

const HTML: &str = "<!DOCTYPE html>\n<html><head><title>502 Bad gateway</title></head>\n\
    <body><h1>Bad gateway</h1><p>A staged fault: the page that a proxy shows.</p></body></html>\n";

impl Simulation {
    /// Sets the service up.
    ///
    /// # Errors
    /// [`SimulatorError::Catalogue`] if the bundled catalogue cannot be read.
    pub fn new(mut config: SimulatorConfig) -> Result<Self, SimulatorError> {
        let catalogue = match config.catalogue.take() {
            Some(catalogue) => catalogue,
            None => Catalogue::bundled()?,
        };
        // A model whose prices cannot be read is served all the same, and costs nothing that could be said.
        let (prices, _) = PriceBook::from_catalogue(&catalogue);
        let models = pages::models(&catalogue);
        let started = config.clock.now();
        let rules = vec![0; config.scenario.rules.len()];
        let state = Mutex::new(State {
            rules,
            ..State::default()
        });
        Ok(Self {
            config,
            catalogue,
            prices,
            models,
            started,
            state,
        })
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.config.clock
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a request. Every request has an answer; none is an error of this function.
    pub fn reply(&self, request: &SimulatedRequest<'_>) -> SimulatedReply {
        let (path, query) = request.path.split_once('?').unwrap_or((request.path, ""));
        let (route, method) = match path.strip_prefix("/api/v1") {
            Some("/chat/completions") => (Route::Chat, "POST"),
            Some("/models") => (Route::Models, "GET"),
            Some("/key") => (Route::Key, "GET"),
            Some("/generation") => (Route::Generation, "GET"),
            Some("/providers") => (Route::Providers, "GET"),
            _ => return (&Problem::new(404, "Not Found").with("error_type", "not_found")).into(),
        };
        if request.method != method {
            return (&Problem::new(405, format!("Method Not Allowed: use {method}"))).into();
        }
        let keyed = matches!(route, Route::Chat | Route::Key | Route::Generation);
        let key = match self.authorize(request) {
            Err(problem) if keyed => return (&problem).into(),
            key => key.unwrap_or_default(),
        };
        let plan = match request
            .header("x-simulator-fault")
            .map(str::parse::<FaultPlan>)
            .transpose()
        {
            Ok(plan) => plan.unwrap_or_default(),
            Err(error) => return (&Problem::invalid(format!("x-simulator-fault: {error}"))).into(),
        };
        if route == Route::Chat {
            return self.chat(request, &plan, key);
        }
        let asked = plan.bare().filter(|fault| fault.fits_pages());
        let ruling = match asked {
            Some(fault) => Ruling {
                fault: Some(fault),
                ..Ruling::default()
            },
            None => self.rule(route, &[], None),
        };
        let mut reply = self.page(route, query, key, ruling);
        reply.delay += ruling.delay;
        reply
    }

    /// A name for the key, if it is one.
    fn authorize(&self, request: &SimulatedRequest<'_>) -> Result<u64, Problem> {
        let Some(header) = request.header("authorization") else {
            return Err(Problem::new(401, "Missing Authentication header"));
        };
        let key = match header.split_once(' ') {
            Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer") => key.trim(),
            _ => return Err(Problem::new(401, "No auth credentials found")),
        };
        let refused =
            key == "sk-or-v1-invalid" || self.config.scenario.keys.invalid.iter().any(|one| one == key);
        let known = key.strip_prefix("sk-or-v1-").is_some_and(|rest| !rest.is_empty()) && !refused;
        if known {
            Ok(fingerprint(&[key.as_bytes()]))
        } else {
            Err(Problem::new(401, "User not found."))
        }
    }

    /// What the scenario says to an attempt: on a model as a whole (`upstream` is `None`), or at one upstream.
    pub(crate) fn rule(&self, route: Route, models: &[&str], upstream: Option<[&str; 2]>) -> Ruling {
        let elapsed = self.clock().now().duration_since(self.started);
        let mut state = self.state();
        let mut ruling = Ruling::default();
        let upstreams: &[&str] = upstream.as_ref().map_or(&[], |names| names);
        for (at, rule) in self.config.scenario.rules.iter().enumerate() {
            if rule.names_upstream() != upstream.is_some() || !rule.is_about(route, models, upstreams) {
                continue;
            }
            let Some(count) = state.rules.get_mut(at) else {
                continue;
            };
            *count += 1;
            let number = *count;
            let mut dice = Dice::new(
                self.config.seed,
                "rule",
                &[&(at as u64).to_le_bytes(), &number.to_le_bytes()],
            );
            if !rule.is_in_force(number, elapsed) || !dice.chance(rule.probability) {
                continue;
            }
            ruling.delay += rule.delay;
            // Later rules still count and delay, but the first fault is the one that happens.
            if ruling.fault.is_none() && rule.fault.is_some() {
                ruling.fault = rule.fault;
                ruling.retry_after = rule.retry_after;
            }
        }
        ruling
    }

    fn page(&self, route: Route, query: &str, key: u64, ruling: Ruling) -> SimulatedReply {
        let about = About {
            model: "the request",
            upstream: "OpenRouter",
            flagged: "",
            max_tokens: 0,
        };
        let mut answer = match ruling.fault {
            Some(Fault::Status(status)) => return (&staged(status, about, ruling.retry_after)).into(),
            Some(fault) if edge(fault).is_some() => return edge(fault).unwrap_or(Outcome::Hang).into(),
            Some(Fault::Error200) => SimulatedAnswer::json(200, staged(502, about, None).body().to_string()),
            Some(Fault::Empty) => SimulatedAnswer::new(200, "application/json", Vec::new()),
            _ => match self.page_body(route, query, key) {
                Ok(body) => SimulatedAnswer::json(200, body),
                Err(problem) => return (&problem).into(),
            },
        };
        if let (Some(Fault::Cut), Some(Step::Send(body))) = (ruling.fault, answer.steps.first_mut()) {
            body.truncate(body.len() / 2);
            answer.steps.push(Step::Break);
        }
        if route == Route::Models {
            let cache = "public, max-age=300, stale-while-revalidate=3600, stale-if-error=3600";
            answer.headers.push(("cache-control", cache.to_owned()));
        }
        answer.into()
    }

    fn page_body(&self, route: Route, query: &str, key: u64) -> Result<String, Problem> {
        match route {
            Route::Models => pages::models_page(&self.models, query).map(|page| page.to_string()),
            Route::Key => Ok(key_page(key, self.state().memory.spent(key))),
            Route::Providers => Ok(pages::providers().to_string()),
            Route::Generation => {
                let id = query
                    .split('&')
                    .find_map(|pair| pair.strip_prefix("id="))
                    .unwrap_or_default();
                if id.is_empty() {
                    return Err(Problem::invalid(
                        "id: Invalid input: expected string, received undefined",
                    ));
                }
                let now = self.clock().now();
                let found = self
                    .state()
                    .memory
                    .find(id, now)
                    .map(|generation| generation.page(id));
                found.ok_or_else(|| {
                    let id: String = id.chars().take(128).collect();
                    Problem::new(404, format!("Generation {id} not found")).with("error_type", "not_found")
                })
            }
            Route::Chat => Err(Problem::new(404, "Not Found")),
        }
    }

    /// The number of a chat request, from 0, and the second it is made in.
    pub(crate) fn next_request(&self) -> (u64, UtcTime) {
        let mut state = self.state();
        let number = state.requests;
        state.requests += 1;
        let at = match self.config.start_time {
            Some(start) => start.checked_add(Duration::from_secs(number)).unwrap_or(start),
            None => self.clock().wall(),
        };
        (number, UtcTime::from(at.max(UNIX_EPOCH)))
    }
}

/// What happens without the service having a say in it.
pub(crate) fn edge(fault: Fault) -> Option<Outcome> {
    match fault {
        Fault::Hang => Some(Outcome::Hang),
        Fault::Reset => Some(Outcome::Reset),
        Fault::Html => {
            let steps = vec![Step::Send(Bytes::from_static(HTML.as_bytes()))];
            Some(Outcome::Answer(SimulatedAnswer::new(
                502,
                "text/html; charset=UTF-8",
                steps,
            )))
        }
        _ => None,
    }
}
