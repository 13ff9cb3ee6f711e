//! The limiter's core: a state machine without a clock, a lock or a wait of its own.

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU32;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use integration_core::ModelId;

use crate::estimate::TokenEstimate;
use crate::learn::{LearnRules, Lesson};
use crate::limits::Limits;
use crate::pace::Pace;
use crate::rules::Scope;
use crate::told::{Kind, Taken, ToldLimits};
use crate::window::{EntryId, Window};

/// The name of one reservation. It is made by whoever asks, before asking: so a question whose answer was lost can be asked
/// again, and a reservation that may have been made can be given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReservationId {
    node: u64,
    number: u64,
}

impl ReservationId {
    /// The `number`th reservation of a limiter that has the number `node` among those that share a store.
    pub const fn new(node: u64, number: u64) -> Self {
        Self { node, number }
    }
}

/// What a call asks for before it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Claim {
    /// The reservation's name.
    pub id: ReservationId,
    /// Whose calls it is counted with.
    pub scope: Scope,
    /// The model asked.
    pub model: ModelId,
    /// The limits that are configured for the scope.
    pub limits: Limits,
    /// Tokens the call is taken to need.
    pub estimate: TokenEstimate,
}

impl Claim {
    /// A claim for one request.
    pub fn new(
        id: ReservationId,
        scope: Scope,
        model: ModelId,
        limits: Limits,
        estimate: impl Into<TokenEstimate>,
    ) -> Self {
        Self {
            id,
            scope,
            model,
            limits,
            estimate: estimate.into(),
        }
    }
}

/// Which limit stands in the way. Not exhaustive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LimitKind {
    /// Requests of the last 60 seconds.
    RequestsPerMinute,
    /// Tokens of the last 60 seconds.
    TokensPerMinute,
    /// Requests of this UTC day.
    RequestsPerDay,
    /// Calls under way.
    Concurrency,
    /// The spacing of requests.
    Burst,
    /// What the provider said is left.
    Told,
    /// The provider asked all calls of the scope to wait.
    Pause,
    /// The provider asked the calls of this model to wait.
    ModelPause,
    /// Others wait already, and were here before.
    Queue,
}

impl fmt::Display for LimitKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::RequestsPerMinute => "the limit of requests per minute",
            Self::TokensPerMinute => "the limit of tokens per minute",
            Self::RequestsPerDay => "the limit of requests per day",
            Self::Concurrency => "the limit of calls at once",
            Self::Burst => "the spacing of requests",
            Self::Told => "what the provider says is left",
            Self::Pause => "a pause that the provider asked for",
            Self::ModelPause => "a pause that the provider asked for this model",
            Self::Queue => "calls that wait already",
        })
    }
}

/// The answer to a claim. Exhaustive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The call may be made now; everything it needs is taken.
    Granted,
    /// Not now; nothing is taken.
    Wait {
        /// What takes longest.
        limit: LimitKind,
        /// How long until it may be, as far as is known now: others may be faster. `None`: until a call ends.
        wait: Option<Duration>,
    },
    /// Never, under these limits: it needs more than a whole minute, day, or all calls at once give.
    Never {
        /// Which limit.
        limit: LimitKind,
    },
}

/// How a reservation ends. Exhaustive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// Nothing was sent: everything is given back, as if it had never been taken. Only a place in the spacing is not.
    Unsent,
    /// The call is over. Its request and its tokens stay counted, the place among the calls under way is free.
    Ended,
}

#[derive(Debug)]
struct Held {
    tokens: u64,
    settled: bool,
    request: Option<EntryId>,
    token: Option<EntryId>,
    day: Option<u64>,
    told_request: Taken,
    told_tokens: Taken,
}

#[derive(Debug, Default)]
struct Day {
    number: u64,
    used: u64,
}

const DAY: u64 = 86_400;

/// Time of day since 1970; before it there is none.
fn since_epoch(wall: SystemTime) -> Duration {
    wall.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// How long until the given UTC day ends.
fn to_end_of(day: u64, wall: SystemTime) -> Duration {
    Duration::from_secs((day + 1) * DAY).saturating_sub(since_epoch(wall))
}

fn day_of(wall: SystemTime) -> u64 {
    since_epoch(wall).as_secs() / DAY
}

impl Day {
    /// Begins a new day. A time of day that goes back over midnight, as clocks that are set do, does not give the day's
    /// quota twice; one that goes back by more than a day was wrong before.
    fn roll(&mut self, wall: SystemTime) {
        let today = day_of(wall);
        if today > self.number || today + 1 < self.number {
            *self = Self {
                number: today,
                used: 0,
            };
        }
    }
}

/// The longest of several waits.
#[derive(Default)]
struct Longest(Option<(LimitKind, Option<Duration>)>);

impl Longest {
    fn add(&mut self, limit: LimitKind, wait: Option<Duration>) {
        // An unknown wait yields to a known one: only that can be waited for by the clock.
        if self.0.is_none_or(|(_, longest)| wait > longest) {
            self.0 = Some((limit, wait));
        }
    }
}

/// The limits that hold now, those configured and those told together.
struct InForce {
    /// Requests of a minute, and for how long that holds where the provider told it.
    requests: Option<(u64, Option<Duration>)>,
    /// Tokens of a minute, alike.
    tokens: Option<(u64, Option<Duration>)>,
    per_day: Option<u64>,
}

/// Everything that is counted in one scope. Time is an argument: `now` for the minutes, `wall` for the days. `now` must not go
/// back from one call to the next.
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// use integration_core::{Clock, ManualClock};
/// use rate_limits::{Claim, Decision, LimitKind, LimitState, Limits, ReservationId, Scope};
///
/// let model: integration_core::ModelId = "acme/swift".parse()?;
/// let claim = |number| Claim::new(ReservationId::new(0, number), Scope::Model(model.clone()), model.clone(),
///     Limits::none().with_requests_per_minute(1), 100);
/// let (mut state, now) = (LimitState::new(), ManualClock::new().now());
/// assert_eq!(state.reserve(now, UNIX_EPOCH, &claim(1)), Decision::Granted);
/// let refused = state.reserve(now + Duration::from_secs(20), UNIX_EPOCH, &claim(2));
/// assert_eq!(refused, Decision::Wait { limit: LimitKind::RequestsPerMinute, wait: Some(Duration::from_secs(40)) });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct LimitState {
    held: HashMap<ReservationId, Held>,
    requests: Window,
    tokens: Window,
    day: Day,
    pace: Option<Pace>,
    told: ToldLimits,
    paused: Option<Instant>,
    paused_models: HashMap<ModelId, Instant>,
}

impl LimitState {
    /// Nothing counted and nothing learnt.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes everything a call needs, or nothing. A claim that is granted already is granted again, and counted once.
    ///
    /// The completion it is taken to need is cut to what the limit of tokens per minute gives beside the prompt
    /// ([`TokenEstimate::fitting`]), be that limit configured or told, whichever is lower.
    pub fn reserve(&mut self, now: Instant, wall: SystemTime, claim: &Claim) -> Decision {
        if self.held.contains_key(&claim.id) {
            return Decision::Granted;
        }
        let limits = &claim.limits;
        if let Some(limit) = impossible(limits, claim.estimate) {
            return Decision::Never { limit };
        }
        self.requests.expire(now);
        self.tokens.expire(now);
        self.day.roll(wall);

        let in_force = InForce {
            requests: self.per_minute(limits.requests_per_minute.map(u64::from), Kind::Requests, now),
            tokens: self.per_minute(limits.tokens_per_minute, Kind::Tokens, now),
            per_day: least(limits.requests_per_day.map(u64::from), self.told.per_day(now)),
        };
        let needed = claim.estimate.fitting(in_force.tokens.map(|(limit, _)| limit));
        if let Some((limit, wait)) = self.blocked(now, wall, claim, needed, &in_force) {
            return Decision::Wait { limit, wait };
        }
        // Asked last: what it gives it does not take back.
        if let Err(wait) = self.take_pace(now, limits) {
            return Decision::Wait {
                limit: LimitKind::Burst,
                wait: Some(wait),
            };
        }
        let held = Held {
            tokens: needed,
            settled: false,
            request: in_force.requests.is_some().then(|| self.requests.add(now, 1)),
            token: in_force.tokens.is_some().then(|| self.tokens.add(now, needed)),
            day: in_force.per_day.is_some().then_some(self.day.number),
            told_request: self.told.take(now, Kind::Requests, 1),
            told_tokens: self.told.take(now, Kind::Tokens, needed),
        };
        if held.day.is_some() {
            self.day.used += 1;
        }
        self.held.insert(claim.id, held);
        Decision::Granted
    }

    /// The limit of a minute, and how long it holds where the provider told it.
    fn per_minute(
        &self,
        configured: Option<u64>,
        kind: Kind,
        now: Instant,
    ) -> Option<(u64, Option<Duration>)> {
        match (configured, self.told.per_minute(kind, now)) {
            (Some(ours), Some((told, holds))) if told < ours => Some((told, Some(holds))),
            (Some(ours), _) => Some((ours, None)),
            (None, told) => told.map(|(told, holds)| (told, Some(holds))),
        }
    }

    fn blocked(
        &self,
        now: Instant,
        wall: SystemTime,
        claim: &Claim,
        needed: u64,
        in_force: &InForce,
    ) -> Option<(LimitKind, Option<Duration>)> {
        let mut longest = Longest::default();
        if claim
            .limits
            .concurrency
            .is_some_and(|most| self.held.len() >= most as usize)
        {
            longest.add(LimitKind::Concurrency, None);
        }
        for (kind, window, amount, limit) in [
            (LimitKind::RequestsPerMinute, &self.requests, 1, in_force.requests),
            (LimitKind::TokensPerMinute, &self.tokens, needed, in_force.tokens),
        ] {
            let Some((limit, holds)) = limit else { continue };
            let wait = match holds {
                // More than the provider gives in a minute, by what it said lately.
                Some(holds) if amount > limit => Some(holds),
                _ => window.wait(now, amount, limit),
            };
            if wait.is_some() {
                longest.add(kind, wait);
            }
        }
        if in_force.per_day.is_some_and(|most| self.day.used >= most) {
            longest.add(LimitKind::RequestsPerDay, Some(to_end_of(self.day.number, wall)));
        }
        for wait in [
            self.told.wait(now, Kind::Requests, 1),
            self.told.wait(now, Kind::Tokens, needed),
        ] {
            if wait.is_some() {
                longest.add(LimitKind::Told, wait);
            }
        }
        let pauses = [
            (
                LimitKind::ModelPause,
                self.paused_models.get(&claim.model).copied(),
            ),
            (LimitKind::Pause, self.paused),
        ];
        for (kind, until) in pauses {
            if let Some(until) = until.filter(|until| *until > now) {
                longest.add(kind, Some(until - now));
            }
        }
        longest.0
    }

    fn take_pace(&mut self, now: Instant, limits: &Limits) -> Result<(), Duration> {
        let rate = limits.requests_per_minute.and_then(NonZeroU32::new);
        let Some((rate, burst)) = rate.zip(limits.burst) else {
            self.pace = None;
            return Ok(());
        };
        let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
        let pace = match self.pace.take() {
            Some(pace) if pace.is(rate, burst) => pace,
            _ => Pace::new(now, rate, burst),
        };
        self.pace.insert(pace).take(now)
    }

    /// Replaces the tokens a call was taken to need by those it used. What was too much is given back at the time it was
    /// taken; what was too little is a debt, taken now. A debt may go over the limit; then nothing is granted until it is a
    /// minute old, and never longer. What the provider said is left is corrected alike, unless it has said something newer
    /// since the call was let through. Only the first settlement of a reservation counts.
    pub fn settle(&mut self, now: Instant, id: ReservationId, tokens: u64) {
        let Some(held) = self.held.get_mut(&id).filter(|held| !held.settled) else {
            return;
        };
        held.settled = true;
        let reserved = std::mem::replace(&mut held.tokens, tokens);
        self.told
            .correct(Kind::Tokens, held.told_tokens, reserved, tokens);
        let Some(entry) = held.token else { return };
        self.tokens.expire(now);
        match tokens.checked_sub(reserved) {
            None => self.tokens.give_back(entry, reserved - tokens),
            Some(0) => {}
            Some(debt) => {
                self.tokens.add(now, debt);
            }
        }
    }

    /// Ends a reservation. An unknown one, or one that has ended, is nothing to do.
    pub fn release(&mut self, id: ReservationId, release: Release) {
        let Some(held) = self.held.remove(&id) else { return };
        if release == Release::Ended {
            return;
        }
        self.told.correct(Kind::Requests, held.told_request, 1, 0);
        if let Some(entry) = held.request {
            self.requests.give_back(entry, 1);
        }
        if !held.settled {
            self.told.correct(Kind::Tokens, held.told_tokens, held.tokens, 0);
            if let Some(entry) = held.token {
                self.tokens.give_back(entry, held.tokens);
            }
        }
        if held.day == Some(self.day.number) {
            self.day.used = self.day.used.saturating_sub(1);
        }
    }

    /// Takes note of what an answer taught.
    ///
    /// - What the provider says is left of a minute or a day is all there is until it says it starts anew. Another answer
    ///   replaces it; but after a refusal nothing reopens it before its time.
    /// - A limit it names holds where it is lower than the configured one, or where none is configured: one per minute for
    ///   ten minutes, one per day until the day ends, unless it is named again.
    /// - A refusal closes for the time it asks for, or for the window it says is used up: the whole scope if it tells of
    ///   limits (they are those of the account), else only this model (it may be the upstream's own limit). An error that is
    ///   no refusal but asks for time closes for this model, whatever else it tells.
    /// - A refusal that asks for no time at all is believed where it tells of no limits. Beside limits, a time that is zero is
    ///   a reset that has passed: it closes for [`LearnRules::pause_without_hint`].
    /// - Nothing is closed for longer than [`LearnRules::longest_pause`], but for a day's quota that is used up: that opens
    ///   at the reset that was told, and at the latest at 00:00 UTC.
    pub fn learn(
        &mut self,
        now: Instant,
        wall: SystemTime,
        model: &ModelId,
        lesson: &Lesson,
        rules: &LearnRules,
    ) {
        let closed = self.told.learn(
            now,
            to_end_of(day_of(wall), wall),
            &lesson.facts,
            lesson.refused,
            rules.longest_pause,
        );
        // Only a refusal speaks of the account's limits: a model that is overloaded is no matter of theirs.
        let of_account = lesson.refused && !lesson.facts.is_empty();
        let pause = match lesson.retry_after {
            Some(wait) if !wait.is_zero() => wait,
            Some(_) if of_account && !closed => rules.pause_without_hint,
            None if lesson.refused && !closed => {
                let resets = [&lesson.facts.requests, &lesson.facts.tokens]
                    .into_iter()
                    .flatten()
                    .filter_map(|window| window.resets_in)
                    .filter(|reset| !reset.is_zero());
                resets.min().unwrap_or(rules.pause_without_hint)
            }
            _ => return,
        };
        let until = later(now, pause.min(rules.longest_pause));
        if until <= now {
            return;
        }
        let place = if of_account {
            self.paused.get_or_insert(until)
        } else {
            self.paused_models.retain(|_, until| *until > now);
            self.paused_models.entry(model.clone()).or_insert(until)
        };
        *place = until.max(*place);
    }

    /// What is left of the tightest limit, 0 to 1: of those configured, and of those per minute or day that the provider told
    /// where they are lower. `None` if nothing is limited. The spacing of requests is no part of it.
    pub fn room(&mut self, now: Instant, wall: SystemTime, limits: &Limits) -> Option<f64> {
        self.requests.expire(now);
        self.tokens.expire(now);
        self.day.roll(wall);
        let per_minute = |configured, kind| self.per_minute(configured, kind, now).map(|(limit, _)| limit);
        let requests = per_minute(limits.requests_per_minute.map(u64::from), Kind::Requests);
        let tokens = per_minute(limits.tokens_per_minute, Kind::Tokens);
        let per_day = least(limits.requests_per_day.map(u64::from), self.told.per_day(now));
        let under_way = u64::try_from(self.held.len()).unwrap_or(u64::MAX);
        [
            (requests, self.requests.sum()),
            (tokens, self.tokens.sum()),
            (per_day, self.day.used),
            (limits.concurrency.map(u64::from), under_way),
        ]
        .into_iter()
        .filter_map(|(limit, used)| Some(share_left(limit?, used)))
        .reduce(f64::min)
    }

    /// Whether nothing is counted, learnt or under way, so that a fresh state would decide alike.
    pub fn is_idle(&mut self, now: Instant, wall: SystemTime) -> bool {
        self.requests.expire(now);
        self.tokens.expire(now);
        self.day.roll(wall);
        self.held.is_empty()
            && self.requests.is_empty()
            && self.tokens.is_empty()
            && self.day.used == 0
            && self.told.is_over(now)
            && self.paused.is_none_or(|until| until <= now)
            && self.paused_models.values().all(|until| *until <= now)
    }

    /// How many calls are under way.
    pub fn under_way(&self) -> usize {
        self.held.len()
    }
}

/// `wait` after `now`, or a year after it, where that time cannot be held.
pub(crate) fn later(now: Instant, wait: Duration) -> Instant {
    now.checked_add(wait)
        .unwrap_or_else(|| now + Duration::from_secs(365 * DAY))
}

fn least(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// Of a limit of nothing, nothing is left.
#[expect(clippy::cast_precision_loss, reason = "a share need not be exact")]
fn share_left(limit: u64, used: u64) -> f64 {
    match limit {
        0 => 0.0,
        limit => limit.saturating_sub(used) as f64 / limit as f64,
    }
}

/// The limit that can never be kept.
pub(crate) fn impossible(limits: &Limits, estimate: TokenEstimate) -> Option<LimitKind> {
    if limits.requests_per_minute == Some(0) {
        return Some(LimitKind::RequestsPerMinute);
    }
    if limits.requests_per_day == Some(0) {
        return Some(LimitKind::RequestsPerDay);
    }
    if limits.concurrency == Some(0) {
        return Some(LimitKind::Concurrency);
    }
    limits
        .tokens_per_minute
        .is_some_and(|most| estimate.fitting(Some(most)) > most)
        .then_some(LimitKind::TokensPerMinute)
}
