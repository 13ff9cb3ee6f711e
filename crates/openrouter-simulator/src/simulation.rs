//! The service without a socket: a request in, a reply out, nothing waited for.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use costing::{PriceBook, UtcTime};
use integration_core::Clock;
use model_catalogue::{Catalogue, ModelRecord};

use crate::account::Account;
use crate::cache::ResponseCache;
use crate::config::{SimulatorConfig, SimulatorError};
use crate::dice::{Dice, fingerprint};
use crate::endpoint::{self, Endpoint};
use crate::fault::{Fault, RetryForm};
use crate::generations::Memory;
use crate::moment::Moment;
use crate::problem::Problem;
use crate::routes::accounts::Accounts;
use crate::routes::models::Listing;
use crate::scenario::Route;
use crate::sessions::{Health, PromptCache, Sessions};
use crate::underway::Calls;
use crate::wire::{Step, duration};

/// A request, as it came.
#[derive(Clone)]
pub struct SimulatedRequest<'a> {
    method: &'a str,
    path: &'a str,
    headers: Vec<(&'a str, &'a str)>,
    body: &'a [u8],
}

/// Without the values of headers, which hold the key, and without the body, which holds the prompt.
impl fmt::Debug for SimulatedRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| *name).collect();
        f.debug_struct("SimulatedRequest")
            .field("method", &self.method)
            .field("path", &self.path.split('?').next())
            .field("headers", &names)
            .field("body_bytes", &self.body.len())
            .finish()
    }
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

    pub(crate) fn method(&self) -> &'a str {
        self.method
    }

    pub(crate) fn path(&self) -> &'a str {
        self.path
    }

    pub(crate) fn header(&self, name: &str) -> Option<&'a str> {
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
    /// The number of the call that is to be entered into the books when the answer has been read.
    pub(crate) call: Option<u64>,
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

    /// The tokens that the answer brings, and whether it can be read to its end at all.
    pub(crate) fn played(&self) -> (u64, bool) {
        let Outcome::Answer(answer) = &self.outcome else {
            return (0, false);
        };
        let mut made = 0;
        for step in &answer.steps {
            match step {
                Step::Made(tokens) => made = *tokens,
                Step::Break | Step::Stall => return (made, false),
                Step::Wait(_) | Step::Send(_) => {}
            }
        }
        (made, true)
    }

    /// How long it takes until everything has happened.
    pub(crate) fn lasts(&self) -> Duration {
        match &self.outcome {
            Outcome::Answer(answer) => self.delay.saturating_add(duration(&answer.steps)),
            Outcome::Hang | Outcome::Reset => self.delay,
        }
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
            call: None,
        }
    }
}

impl From<Outcome> for SimulatedReply {
    fn from(outcome: Outcome) -> Self {
        Self {
            delay: Duration::ZERO,
            outcome,
            call: None,
        }
    }
}

impl From<&Problem> for SimulatedReply {
    fn from(problem: &Problem) -> Self {
        let mut answer = SimulatedAnswer::json(problem.status, problem.body().to_string());
        answer.headers.extend(problem.headers());
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
    pub(crate) listing: Listing,
    started: Instant,
    endpoints: Mutex<BTreeMap<String, Arc<[Endpoint]>>>,
    pub(crate) state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    /// Chat requests so far.
    requests: u64,
    /// Look-ups so far that came too early, each of which is a second's wait where time passes by requests.
    waited: u64,
    /// Attempts so far that each rule was about.
    rules: Vec<u64>,
    pub(crate) memory: Memory,
    /// The calls whose answers are being read.
    pub(crate) underway: Calls,
    /// Keys that were made here, codes for them, and what was said about answers.
    pub(crate) accounts: Accounts,
    /// What the account may still do.
    pub(crate) account: Account,
    pub(crate) sessions: Sessions,
    pub(crate) prompts: PromptCache,
    pub(crate) health: Health,
    pub(crate) cache: ResponseCache,
}

/// What the rules of the scenario say to one attempt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Ruling {
    pub(crate) fault: Option<Fault>,
    pub(crate) retry_after: Option<u64>,
    /// The same, as it is to be written.
    pub(crate) retry_form: Option<RetryForm>,
    pub(crate) delay: Duration,
}

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
        let listing = Listing::new(config.seed, &catalogue);
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
            listing,
            started,
            endpoints: Mutex::default(),
            state,
        })
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.config.clock
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a request. Every request has an answer; none is an error of this function. For the books the answer has been
    /// read at once, to its end or to where it breaks or stalls; [`open`](Self::open) leaves that to the caller.
    pub fn reply(&self, request: &SimulatedRequest<'_>) -> SimulatedReply {
        let reply = self.dispatch(request);
        self.read_at_once(&reply);
        reply
    }

    /// What the scenario says to an attempt: on a model as a whole (`upstream` is `None`), or at one upstream.
    pub(crate) fn rule(&self, route: Route, models: &[&str], upstream: Option<[&str; 2]>) -> Ruling {
        let upstream = upstream.as_ref().map(|names| names.as_slice());
        self.rule_at(self.moment(), route, models, upstream)
    }

    /// The same for a request that was made at some time.
    pub(crate) fn rule_at(
        &self,
        now: Moment,
        route: Route,
        models: &[&str],
        upstream: Option<&[&str]>,
    ) -> Ruling {
        let mut state = self.state();
        let mut ruling = Ruling::default();
        let upstreams = upstream.unwrap_or_default();
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
            if !rule.is_in_force(number, now.since) || !dice.chance(rule.probability) {
                continue;
            }
            ruling.delay += rule.delay;
            // Later rules still count and delay, but the first fault is the one that happens.
            if ruling.fault.is_none() {
                ruling.fault = rule.draw(&mut dice);
                if ruling.fault.is_some() {
                    ruling.retry_after = rule.retry_after.and_then(RetryForm::seconds);
                    ruling.retry_form = rule.retry_after;
                }
            }
        }
        ruling
    }

    /// The number of a request that costs something, from 0, and when it is made.
    pub(crate) fn next_call(&self) -> (u64, Moment) {
        let (number, waited) = {
            let mut state = self.state();
            state.requests += 1;
            (state.requests - 1, state.waited)
        };
        (number, self.moment_of(number + waited))
    }

    /// When it is now, as [`next_call`](Self::next_call) would say, without counting a request.
    pub(crate) fn moment(&self) -> Moment {
        let passed = {
            let state = self.state();
            state.requests + state.waited
        };
        self.moment_of(passed)
    }

    /// Somebody has come too early for something. Where nothing but requests makes time pass, this one does, too: it could be
    /// waited for without end otherwise.
    pub(crate) fn wait(&self) {
        if self.config.start_time.is_some() && !self.config.clock_given {
            self.state().waited += 1;
        }
    }

    /// The second it is now.
    pub(crate) fn time(&self) -> UtcTime {
        self.moment().utc()
    }

    /// Where the time of day is fixed, time passes by the number of requests, a second each, so that two runs do the same; and by a clock
    /// that was given, which is there to be moved by hand.
    fn moment_of(&self, seconds: u64) -> Moment {
        let elapsed = self.clock().now().saturating_duration_since(self.started);
        match self.config.start_time {
            Some(start) => {
                let moved = if self.config.clock_given {
                    elapsed
                } else {
                    Duration::ZERO
                };
                let since = Duration::from_secs(seconds).saturating_add(moved);
                Moment::new(since, start.checked_add(since).unwrap_or(start))
            }
            None => Moment::new(elapsed, self.clock().wall()),
        }
    }

    /// The endpoints of a model, made once.
    pub(crate) fn endpoints(&self, record: &ModelRecord) -> Arc<[Endpoint]> {
        let mut made = self.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = made.get(record.id.as_str()) {
            return Arc::clone(found);
        }
        let all: Arc<[Endpoint]> = endpoint::endpoints(self.config.seed, record).into();
        made.insert(record.id.as_str().to_owned(), Arc::clone(&all));
        all
    }

    /// Whether an endpoint has been failing for the last half minute.
    pub(crate) fn is_down(&self, model: &str, endpoint: &Endpoint, now: Moment) -> bool {
        self.state()
            .health
            .is_down(health_name(model, &endpoint.tag), now.since)
    }
}

/// The name under which the health of an endpoint is remembered.
pub(crate) fn health_name(model: &str, tag: &str) -> u64 {
    fingerprint(&[model.as_bytes(), tag.as_bytes()])
}

/// What happens without the service having a say in it.
pub(crate) fn edge(fault: Fault) -> Option<Outcome> {
    match fault {
        Fault::Hang => Some(Outcome::Hang),
        Fault::Reset => Some(Outcome::Reset),
        Fault::Html => Some(html(502)),
        Fault::HtmlPage(status) => Some(html(status)),
        _ => None,
    }
}

/// A page of the edge in front of the service.
fn html(status: u16) -> Outcome {
    let title = match status {
        403 => "Attention Required! | Cloudflare",
        429 => "You are being rate limited",
        502 => "502 Bad gateway",
        503 => "503 Service unavailable",
        504 | 522 | 524 => "A timeout occurred",
        520 => "Web server is returning an unknown error",
        521 => "Web server is down",
        _ => "Error",
    };
    let page = format!(
        "<!DOCTYPE html>\n<html><head><title>{title}</title></head>\n\
         <body><h1>{title}</h1><p>A staged fault: the page that a proxy shows with status {status}.</p></body></html>\n"
    );
    let mut answer = SimulatedAnswer::new(status, "text/html; charset=UTF-8", vec![Step::Send(page.into())]);
    answer.headers.push(("server", "cloudflare".to_owned()));
    Outcome::Answer(answer)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use integration_core::ManualClock;

    use super::*;

    #[test]
    fn where_the_time_is_fixed_it_passes_by_requests_and_by_a_given_clock_only() {
        let start = UNIX_EPOCH + Duration::from_secs(1_787_000_000);
        let fixed = Simulation::new(SimulatorConfig::new(1).with_start_time(start)).unwrap();
        let seconds = |moment: Moment| (moment.since, moment.unix_ms - 1_787_000_000_000);
        // The machine's clock has moved by now, if only by some nanoseconds.
        assert_eq!(seconds(fixed.moment()), (Duration::ZERO, 0));
        assert_eq!(seconds(fixed.next_call().1), (Duration::ZERO, 0));
        assert_eq!(seconds(fixed.next_call().1), (Duration::from_secs(1), 1_000));
        let clock = ManualClock::new();
        let config = SimulatorConfig::new(1)
            .with_start_time(start)
            .with_clock(Arc::new(clock.clone()));
        let moved = Simulation::new(config).unwrap();
        clock.advance(Duration::from_millis(2_500));
        assert_eq!(seconds(moved.moment()), (Duration::from_millis(2_500), 2_500));
    }
}
