//! One policy after the other through the same world, event by event.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use costing::{Charge, CostStatus, Pico, PicoSum, Quantities, UtcTime};
use integration_core::{ErrorKind, ModelId};
use routing::{BreakerConfig, Ending, LiveBook, Router, Standing, Ticket, View};

use super::limit::Limit;
use super::report::{Outcome, Prices, Report, Tally};
use super::world::{Fate, World};
use super::{Asked, Policy, PolicyReport};

/// How long it takes to be told that there is no room left, in nanoseconds.
const REFUSAL: u64 = 50_000_000;
const SECOND: u64 = 1_000_000_000;

/// Why a simulation has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SimulationError {
    /// There is nothing to simulate.
    #[error("there is no policy to be simulated")]
    NoPolicy,
    /// A policy named a model that the catalogue does not have.
    #[error("the policy '{policy}' chose '{model}', which is not in the catalogue")]
    UnknownModel {
        /// Which policy.
        policy: String,
        /// What it named.
        model: ModelId,
    },
}

/// Sends the traffic of a world through each policy, and says what came of it.
///
/// A request's models are asked in the order of the policy, until one answers, the scenario's attempts are used up, or its deadline
/// passes. One that is left alone, as the gateway does after failures, is passed over, unless all are that are
/// left. Answers are billed at the prices of the moment when the request came; one that the deadline cuts off, for the prompt and what had
/// come by then; attempts that fail cost nothing.
///
/// `origin` is any moment: only times after it count, and no clock is looked at. `progress` is called after each request.
///
/// # Errors
/// [`SimulationError`] without policies, or if one names a model that the catalogue does not have.
pub fn simulate(
    world: &World,
    policies: &mut [Box<dyn Policy>],
    origin: Instant,
    progress: &mut dyn FnMut(),
) -> Result<Report, SimulationError> {
    let mut first: Option<Vec<Outcome>> = None;
    let mut reports: Vec<PolicyReport> = Vec::with_capacity(policies.len());
    for policy in policies {
        let run = Run::new(world, policy.as_mut(), origin).ok_or(SimulationError::NoPolicy)?;
        let (tally, outcomes) = run.run(progress)?;
        reports.push(tally.report(policy.name(), &outcomes, first.as_deref()));
        first.get_or_insert(outcomes);
    }
    if reports.is_empty() {
        return Err(SimulationError::NoPolicy);
    }
    let seconds = |nanos: u64| nanos as f64 / SECOND as f64;
    Ok(Report {
        seed: world.seed,
        requests: world.arrivals.len() as u64,
        start_unix: world.start.unix(),
        last_request_s: world.arrivals.last().map_or(0.0, |arrival| seconds(arrival.at)),
        prices: world
            .snapshots
            .iter()
            .map(|(since, snapshot)| Prices {
                since_s: seconds(*since),
                snapshot: snapshot.id().to_owned(),
            })
            .collect(),
        policies: reports,
    })
}

/// What happens at a time. At the same time, what was put down first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// The prices with this number hold.
    Prices(usize),
    /// A request comes.
    Arrival(usize),
    /// The first token of a request's answer comes.
    First(usize),
    /// A request's attempt is over.
    End(usize),
}

/// How an attempt will end, which is known when it begins.
#[derive(Debug, Clone, Copy)]
enum End {
    Answers(Fate),
    Fails(&'static str),
    Limited(Duration),
    /// The deadline comes first. So many tokens had come, if any.
    CutOff(Option<u64>),
}

/// An attempt under way.
#[derive(Debug)]
struct Attempt {
    /// The place of its model.
    place: usize,
    ticket: Ticket,
    end: End,
}

/// A request under way.
#[derive(Debug)]
struct Call {
    view: Arc<View>,
    came: u64,
    deadline: u64,
    /// Who is to be asked, by place; those that were are taken out.
    left: Vec<usize>,
    /// How often each was asked.
    asked: HashMap<usize, u32>,
    attempts: u32,
    attempt: Option<Attempt>,
    outcome: Outcome,
}

struct Run<'w> {
    world: &'w World,
    policy: &'w mut dyn Policy,
    origin: Instant,
    router: Router,
    limits: Vec<Limit>,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    /// How many events were put down.
    count: u64,
    calls: HashMap<usize, Call>,
    outcomes: Vec<Outcome>,
    tally: Tally,
}

impl<'w> Run<'w> {
    fn new(world: &'w World, policy: &'w mut dyn Policy, origin: Instant) -> Option<Self> {
        let (_, snapshot) = world.snapshots.first()?;
        let book = Arc::new(LiveBook::new(BreakerConfig::default(), origin, world.seed));
        let limit =
            |model: &super::world::Model| Limit::new(model.requests_per_minute, model.tokens_per_minute);
        let mut run = Self {
            world,
            policy,
            origin,
            router: Router::new(snapshot.clone(), book),
            limits: world.models.iter().map(limit).collect(),
            events: BinaryHeap::new(),
            count: 0,
            calls: HashMap::new(),
            outcomes: vec![Outcome::default(); world.arrivals.len()],
            tally: Tally::default(),
        };
        // Put down first, so that they hold for what comes at the same time.
        for (number, (since, _)) in world.snapshots.iter().enumerate().skip(1) {
            run.put(*since, Event::Prices(number));
        }
        run.await_request(0);
        Some(run)
    }

    fn put(&mut self, at: u64, event: Event) {
        self.events.push(Reverse((at, self.count, event)));
        self.count += 1;
    }

    fn await_request(&mut self, number: usize) {
        if let Some(arrival) = self.world.arrivals.get(number) {
            self.put(arrival.at, Event::Arrival(number));
        }
    }

    fn instant(&self, at: u64) -> Instant {
        self.origin
            .checked_add(Duration::from_nanos(at))
            .unwrap_or(self.origin)
    }

    fn utc(&self, at: u64) -> UtcTime {
        let seconds = i64::try_from(at / SECOND).unwrap_or(i64::MAX);
        UtcTime::from_unix(self.world.start.unix().saturating_add(seconds))
    }

    fn run(mut self, progress: &mut dyn FnMut()) -> Result<(Tally, Vec<Outcome>), SimulationError> {
        while let Some(Reverse((at, _, event))) = self.events.pop() {
            match event {
                Event::Prices(number) => {
                    if let Some((_, snapshot)) = self.world.snapshots.get(number) {
                        self.router.replace(snapshot.clone());
                    }
                }
                Event::Arrival(number) => {
                    self.await_request(number + 1);
                    self.arrives(number, at)?;
                    self.ask(number, at, progress, "no_model");
                }
                Event::First(number) => self.first(number, at),
                Event::End(number) => self.ends(number, at, progress),
            }
        }
        Ok((self.tally, self.outcomes))
    }

    fn arrives(&mut self, number: usize, at: u64) -> Result<(), SimulationError> {
        let world = self.world;
        let Some((arrival, kind)) = world
            .arrivals
            .get(number)
            .and_then(|one| Some((one, world.kinds.get(one.kind)?)))
        else {
            return Ok(());
        };
        let view = self.router.view();
        let prompt = arrival.prompt.and_then(|place| kind.prompts.get(place));
        let chosen = self.policy.choose(&Asked {
            number: number as u64,
            task: kind.task,
            tag: kind.tag.as_deref(),
            prompt: prompt.map_or("", String::as_str),
            prompt_tokens: arrival.prompt_tokens,
            completion_tokens: kind.completion_tokens,
            at: self.utc(at),
            now: self.instant(at),
            view: &view,
            seed: world.policy_seed(number),
        });
        let place = |model: ModelId| {
            // The models are sorted as those of the snapshot are.
            let found = world
                .models
                .binary_search_by(|known| known.target.model.cmp(&model));
            found.map_err(|_| SimulationError::UnknownModel {
                policy: self.policy.name(),
                model,
            })
        };
        let call = Call {
            view,
            came: at,
            deadline: at.saturating_add(nanos(world.deadline)),
            left: chosen.into_iter().map(place).collect::<Result<_, _>>()?,
            asked: HashMap::new(),
            attempts: 0,
            attempt: None,
            outcome: Outcome::default(),
        };
        self.calls.insert(number, call);
        Ok(())
    }

    /// Asks the next model, or gives the request up for this reason.
    fn ask(&mut self, number: usize, at: u64, progress: &mut dyn FnMut(), reason: &'static str) {
        let (now, world) = (self.instant(at), self.world);
        let Some(call) = self.calls.get_mut(&number) else {
            return;
        };
        let lives = call.view.live().lives();
        let admits = |place: &usize| {
            let standing = lives.get(*place).map(|live| live.standing(now).0);
            matches!(standing, Some(Standing::Admits | Standing::ProbeDue))
        };
        // Where all are left alone the first is asked: somebody has to find out whether it is back.
        let next = call.left.iter().position(admits).unwrap_or_default();
        let may = call.attempts < world.attempts && at < call.deadline && next < call.left.len();
        let asked = may.then(|| call.left.remove(next)).and_then(|place| {
            let (model, limit) = (world.models.get(place)?, self.limits.get_mut(place)?);
            let before = call.asked.entry(place).or_default();
            let fate = world.fate(number, model, *before, at)?;
            *before += 1;
            Some((place, model, limit, fate, lives.get(place)?))
        });
        let Some((place, model, limit, fate, live)) = asked else {
            self.gives_up(number, progress, reason);
            return;
        };
        call.attempts += 1;
        self.tally.of(&model.target.model).attempts += 1;
        let prompt = world
            .arrivals
            .get(number)
            .map_or(0, |arrival| arrival.prompt_tokens);
        let taken = limit.take(prompt.saturating_add(fate.completion_tokens), at);
        if let Some(left) = limit.left() {
            live.set_told_headroom(left, now);
        }
        let first = at.saturating_add(nanos(fate.first));
        let last = first.saturating_add(nanos(fate.rest));
        let (end, over) = match (taken, fate.fails) {
            (Err(wait), _) => (End::Limited(wait), at.saturating_add(REFUSAL)),
            (Ok(()), Some(reason)) => (End::Fails(reason), first),
            (Ok(()), None) => (End::Answers(fate), last),
        };
        let streams = matches!(end, End::Answers(_)) && first <= call.deadline;
        let end = if over <= call.deadline {
            end
        } else {
            let time = call.deadline.saturating_sub(first) as f64 / (last - first).max(1) as f64;
            End::CutOff(streams.then_some((time * fate.completion_tokens as f64) as u64))
        };
        let over = over.min(call.deadline);
        let ticket = live.begin(true, now);
        call.attempt = Some(Attempt { place, ticket, end });
        if streams {
            self.put(first, Event::First(number));
        }
        self.put(over, Event::End(number));
    }

    fn first(&mut self, number: usize, at: u64) {
        let now = self.instant(at);
        let Some(call) = self.calls.get_mut(&number) else {
            return;
        };
        let Some(attempt) = &mut call.attempt else { return };
        if let Some(live) = call.view.live().lives().get(attempt.place) {
            live.first_content(&mut attempt.ticket, now);
        }
    }

    fn ends(&mut self, number: usize, at: u64, progress: &mut dyn FnMut()) {
        let now = self.instant(at);
        let Some(call) = self.calls.get_mut(&number) else {
            return;
        };
        let Some(attempt) = call.attempt.take() else {
            return;
        };
        let Attempt { place, ticket, end } = attempt;
        let (ending, used, reason) = match end {
            End::Answers(fate) => {
                let tokens = Some(fate.completion_tokens);
                (Ending::Answered { tokens }, tokens, "")
            }
            End::Fails(reason) => (failed(ErrorKind::Upstream, None), None, reason),
            End::Limited(wait) => (failed(ErrorKind::RateLimited, Some(wait)), None, "rate_limited"),
            End::CutOff(came) => (Ending::Cancelled, came, "deadline"),
        };
        if let Some(live) = call.view.live().lives().get(place) {
            live.end(ticket, ending, now);
        }
        if let Some(tokens) = used {
            self.bill(number, place, tokens);
        }
        if let End::Answers(fate) = end {
            self.answered(number, place, fate, at, progress);
        } else {
            *self.tally.failed_attempts.entry(reason).or_default() += 1;
            self.ask(number, at, progress, reason);
        }
    }

    /// Adds what an attempt costs.
    fn bill(&mut self, number: usize, place: usize, completion_tokens: u64) {
        let Some((model, arrival)) = self.world.models.get(place).zip(self.world.arrivals.get(number)) else {
            return;
        };
        let at = self.utc(arrival.at);
        let Some(call) = self.calls.get_mut(&number) else {
            return;
        };
        let quantities = Quantities::of_tokens(arrival.prompt_tokens, completion_tokens);
        let deployment = call.view.snapshot().deployments().get(place);
        let cost = deployment
            .and_then(|deployment| deployment.prices())
            .and_then(|sheet| sheet.cost(&quantities, at).ok())
            .and_then(|cost| Pico::from_decimal(cost.total()).ok());
        let charge = cost.and_then(|cost| Charge::known(cost, model.markup, CostStatus::Computed).ok());
        let share = self.tally.of(&model.target.model);
        if let Some((cost, charge)) = charge.and_then(|charge| charge.cost.zip(charge.charge)) {
            call.outcome.cost += PicoSum::from(cost);
            call.outcome.charge += PicoSum::from(charge);
            share.cost_usd = share.cost_usd.map(|sum| sum + PicoSum::from(cost));
        } else {
            call.outcome.cost_is_unknown = true;
            share.cost_usd = None;
        }
    }

    fn answered(&mut self, number: usize, place: usize, fate: Fate, at: u64, progress: &mut dyn FnMut()) {
        if let Some(model) = self.world.models.get(place) {
            self.tally.of(&model.target.model).answered += 1;
        }
        self.over(number, progress, |call| {
            call.outcome.latency = Some(at - call.came);
            call.outcome.good = fate.good;
        });
    }

    fn gives_up(&mut self, number: usize, progress: &mut dyn FnMut(), reason: &'static str) {
        *self.tally.failed_requests.entry(reason).or_default() += 1;
        self.over(number, progress, |_| {});
    }

    fn over(&mut self, number: usize, progress: &mut dyn FnMut(), last: impl FnOnce(&mut Call)) {
        if let Some(mut call) = self.calls.remove(&number) {
            last(&mut call);
            if let Some(place) = self.outcomes.get_mut(number) {
                *place = call.outcome;
            }
            progress();
        }
    }
}

const fn failed(kind: ErrorKind, retry_after: Option<Duration>) -> Ending {
    Ending::Failed { kind, retry_after }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
