//! Which limits hold for a call, and what it asks of them.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use super::scope::{Account, ReservationId, Scope, ScopeKind, Subject};
use super::window::Window;
use super::worst::WorstCase;
use crate::cost::Unpriced;
use crate::money::Pico;
use crate::time::UtcTime;

/// What passing a limit means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Level {
    /// Somebody is told.
    Soft,
    /// Cheaper models are preferred.
    Shaping,
    /// The call is refused.
    Hard,
}

impl Level {
    /// Every level, the mildest first.
    pub const ALL: [Self; 3] = [Self::Soft, Self::Shaping, Self::Hard];

    /// The word for it in configurations and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Soft => "soft",
            Self::Shaping => "shaping",
            Self::Hard => "hard",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that is no level of a budget.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no level of a budget; there are soft, shaping and hard")]
pub struct UnknownLevel(pub String);

impl FromStr for Level {
    type Err = UnknownLevel;

    fn from_str(text: &str) -> Result<Self, UnknownLevel> {
        let found = Self::ALL.into_iter().find(|level| level.as_str() == text);
        found.ok_or_else(|| UnknownLevel(text.to_owned()))
    }
}

/// What a hard budget does with a call whose most cannot be said: one without a price, or without a bound and a cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum OnUnpriced {
    /// It is refused.
    #[default]
    Deny,
    /// This much is held for it.
    Floor(Pico),
    /// It is let through while anything is left, and nothing is held.
    Allow,
}

/// Whom a rule is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target(Names);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Names {
    Each(ScopeKind),
    UsersOf(Arc<str>),
    One(Scope),
}

impl Target {
    /// All calls together.
    pub const fn global() -> Self {
        Self(Names::One(Scope::Global))
    }

    /// Each scope of a kind, every one by itself. A rule that names one takes its place there.
    pub const fn each(kind: ScopeKind) -> Self {
        match kind {
            ScopeKind::Global => Self::global(),
            kind => Self(Names::Each(kind)),
        }
    }

    /// This scope.
    pub const fn one(scope: Scope) -> Self {
        Self(Names::One(scope))
    }

    /// A team.
    pub fn team(name: &str) -> Self {
        Self::one(Scope::Team(Arc::from(name)))
    }

    /// A project.
    pub fn project(name: &str) -> Self {
        Self::one(Scope::Project(Arc::from(name)))
    }

    /// A key, by its name.
    pub fn key(name: &str) -> Self {
        Self::one(Scope::Key(Arc::from(name)))
    }

    /// One user of a key.
    pub fn user(key: &str, user: &str) -> Self {
        let (key, user) = (Arc::from(key), Arc::from(user));
        Self::one(Scope::User { key, user })
    }

    /// Each user of a key, every one by themselves.
    pub fn users_of(key: &str) -> Self {
        Self(Names::UsersOf(Arc::from(key)))
    }
}

/// As in `team research`, `each key` or `each user of key web`.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Names::Each(kind) => write!(f, "each {kind}"),
            Names::UsersOf(key) => write!(f, "each user of key {key}"),
            Names::One(scope) => write!(f, "{scope}"),
        }
    }
}

/// One limit. It is on charges: cost and markup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetRule {
    target: Target,
    window: Window,
    level: Level,
    limit: Pico,
    on_unpriced: OnUnpriced,
}

impl BudgetRule {
    /// A limit that refuses calls without a price.
    pub const fn new(target: Target, window: Window, level: Level, limit: Pico) -> Self {
        Self {
            target,
            window,
            level,
            limit,
            on_unpriced: OnUnpriced::Deny,
        }
    }

    /// A hard limit that refuses calls without a price.
    pub const fn hard(target: Target, window: Window, limit: Pico) -> Self {
        Self::new(target, window, Level::Hard, limit)
    }

    /// The same limit, which does this with calls without a price. It says something for hard limits only.
    #[must_use]
    pub const fn with_on_unpriced(mut self, on_unpriced: OnUnpriced) -> Self {
        self.on_unpriced = on_unpriced;
        self
    }
}

/// Why rules cannot hold together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// A limit or a floor below zero.
    #[error("the {level} budget of {target} per {window} is below zero")]
    Negative {
        /// Whom it is for.
        target: Target,
        /// Over how long.
        window: Window,
        /// What passing it means.
        level: Level,
    },
    /// Two limits of one kind for the same target.
    #[error("there are two {level} budgets of {target} per {window}")]
    Twice {
        /// Whom they are for.
        target: Target,
        /// Over how long.
        window: Window,
        /// What passing them means.
        level: Level,
    },
}

/// The limits of one account, at most one of each level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Limits {
    /// From here on somebody is told.
    pub soft: Option<Pico>,
    /// From here on cheaper models are preferred.
    pub shaping: Option<Pico>,
    /// From here on calls are refused.
    pub hard: Option<Pico>,
    /// What the hard limit does with calls without a price.
    pub on_unpriced: OnUnpriced,
}

impl Limits {
    /// A hard limit alone.
    pub const fn of_hard(limit: Pico) -> Self {
        Self {
            soft: None,
            shaping: None,
            hard: Some(limit),
            on_unpriced: OnUnpriced::Deny,
        }
    }

    /// Whether there is none.
    pub const fn is_none(&self) -> bool {
        self.soft.is_none() && self.shaping.is_none() && self.hard.is_none()
    }

    /// The limit that counts for headers: the hard one, else the lowest, with its level.
    pub fn foremost(&self) -> Option<(Level, Pico)> {
        let milder = [(Level::Shaping, self.shaping), (Level::Soft, self.soft)];
        let milder = milder
            .into_iter()
            .filter_map(|(level, limit)| Some((level, limit?)));
        let hard = self.hard.map(|limit| (Level::Hard, limit));
        hard.or_else(|| milder.min_by_key(|(_, limit)| *limit))
    }

    /// These, and where they say nothing the wider ones.
    fn or(self, wider: Self) -> Self {
        Self {
            soft: self.soft.or(wider.soft),
            shaping: self.shaping.or(wider.shaping),
            hard: self.hard.or(wider.hard),
            on_unpriced: if self.hard.is_some() {
                self.on_unpriced
            } else {
                wider.on_unpriced
            },
        }
    }

    fn place(&mut self, level: Level) -> &mut Option<Pico> {
        match level {
            Level::Soft => &mut self.soft,
            Level::Shaping => &mut self.shaping,
            Level::Hard => &mut self.hard,
        }
    }
}

/// One for each window.
type PerWindow = [Limits; Window::ALL.len()];

/// All limits. Immutable, like prices: a change makes another one, and what is held keeps what it was admitted under.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BudgetRules {
    limits: HashMap<Target, PerWindow>,
}

impl BudgetRules {
    /// Rules that hold together. For one scope, window and level the rule that names the scope holds, before one for each user of
    /// its key, before one for each of its kind.
    ///
    /// # Errors
    /// [`RuleError`] for a limit below zero, or two for the same.
    pub fn new(rules: impl IntoIterator<Item = BudgetRule>) -> Result<Self, RuleError> {
        let mut all = Self::default();
        for rule in rules {
            let BudgetRule {
                target,
                window,
                level,
                limit,
                on_unpriced,
            } = rule;
            let floor = match on_unpriced {
                OnUnpriced::Floor(floor) => floor,
                OnUnpriced::Deny | OnUnpriced::Allow => Pico::ZERO,
            };
            if limit < Pico::ZERO || floor < Pico::ZERO {
                return Err(RuleError::Negative {
                    target,
                    window,
                    level,
                });
            }
            let of_target = all.limits.entry(target.clone()).or_default();
            let limits = &mut of_target[window as usize];
            if limits.place(level).replace(limit).is_some() {
                return Err(RuleError::Twice {
                    target,
                    window,
                    level,
                });
            }
            if level == Level::Hard {
                limits.on_unpriced = on_unpriced;
            }
        }
        Ok(all)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.limits.is_empty()
    }

    /// Whether any rule is over such a window.
    pub(super) fn has(&self, window: Window) -> bool {
        let mut of_window = self.limits.values().map(|limits| limits[window as usize]);
        of_window.any(|limits| !limits.is_none())
    }

    /// The limits that hold for an account.
    pub fn limits(&self, account: &Account) -> Limits {
        let of_scope = self.limits_of(&account.scope);
        of_scope
            .map(|limits| limits[account.window as usize])
            .unwrap_or_default()
    }

    /// The accounts that rules name, whether or not anything was counted in them: not those of each key, or each user.
    pub fn named(&self) -> Vec<Account> {
        let named = self.limits.iter().filter_map(|(target, limits)| match &target.0 {
            Names::One(scope) => Some((scope, limits)),
            Names::Each(_) | Names::UsersOf(_) => None,
        });
        let mut accounts: Vec<_> = named
            .flat_map(|(scope, limits)| {
                let of_window = Window::ALL.into_iter().zip(limits);
                let with_limits = of_window.filter(|(_, limits)| !limits.is_none());
                with_limits.map(move |(window, _)| Account::new(scope.clone(), window))
            })
            .collect();
        accounts.sort_unstable();
        accounts
    }

    /// Every account that a call of this subject is counted in, with its limits, widest scope first.
    pub fn accounts(&self, subject: &Subject) -> impl Iterator<Item = (Account, Limits)> {
        let scopes = ScopeKind::ALL.into_iter().filter_map(|kind| {
            let scope = subject.scope(kind)?;
            let limits = self.limits_of(&scope)?;
            Some((scope, limits))
        });
        scopes.flat_map(|(scope, limits)| {
            let of_window = Window::ALL.into_iter().zip(limits);
            let with_limits = of_window.filter(|(_, limits)| !limits.is_none());
            with_limits.map(move |(window, limits)| (Account::new(scope.clone(), window), limits))
        })
    }

    fn limits_of(&self, scope: &Scope) -> Option<PerWindow> {
        if self.limits.is_empty() {
            return None;
        }
        let users = match scope {
            Scope::User { key, .. } => self.limits.get(&Target(Names::UsersOf(Arc::clone(key)))),
            _ => None,
        };
        let one = self.limits.get(&Target(Names::One(scope.clone())));
        let each = self.limits.get(&Target(Names::Each(scope.kind())));
        let mut found = [one, users, each].into_iter().flatten().copied();
        let nearest = found.next()?;
        Some(found.fold(nearest, |mut nearest, wider| {
            for (near, wide) in nearest.iter_mut().zip(wider) {
                *near = near.or(wide);
            }
            nearest
        }))
    }

    /// What an attempt that begins at this time asks of every budget it is under.
    ///
    /// `demand` is what [`worst_case`](super::worst_case) says. `ttl` is after how long without a word the attempt is given up as
    /// lost: the call's whole deadline and a minute more are right.
    pub fn claim(
        &self,
        id: ReservationId,
        subject: &Subject,
        demand: impl Into<Demand>,
        at: UtcTime,
        ttl: Duration,
    ) -> Claim {
        let demand = demand.into();
        let lines = self.accounts(subject).map(|(account, limits)| ClaimLine {
            held: demand.held(&limits),
            account,
            limits,
        });
        let ttl = i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX);
        Claim {
            id,
            at,
            expires: UtcTime::from_unix(at.unix().saturating_add(ttl)),
            demand,
            already: Pico::ZERO,
            lines: lines.collect(),
        }
    }
}

/// What an attempt asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Demand {
    /// At most so much, or as much as is held.
    Known(WorstCase),
    /// It has no price that is known before.
    Unpriced(Unpriced),
    /// The model has no prices at all: no list has an entry of it.
    NoPrices,
}

impl Demand {
    /// What is held for it in an account with these limits.
    fn held(&self, limits: &Limits) -> Pico {
        let unknown = match limits.on_unpriced {
            OnUnpriced::Floor(floor) => floor,
            OnUnpriced::Deny | OnUnpriced::Allow => Pico::ZERO,
        };
        self.amount().unwrap_or(unknown)
    }

    /// The most it can be, where that can be said.
    pub const fn most(&self) -> Option<Pico> {
        match self {
            Self::Known(worst) => worst.most,
            Self::Unpriced(_) | Self::NoPrices => None,
        }
    }

    /// What is to be held, where that can be said.
    pub const fn amount(&self) -> Option<Pico> {
        match self {
            Self::Known(worst) => worst.held,
            Self::Unpriced(_) | Self::NoPrices => None,
        }
    }
}

impl From<WorstCase> for Demand {
    fn from(worst: WorstCase) -> Self {
        Self::Known(worst)
    }
}

impl From<Result<WorstCase, Unpriced>> for Demand {
    fn from(worst: Result<WorstCase, Unpriced>) -> Self {
        worst.map_or_else(Self::Unpriced, Self::Known)
    }
}

/// What an attempt asks of one account.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClaimLine {
    /// Which account.
    pub account: Account,
    /// Its limits.
    pub limits: Limits,
    /// What is to be held in it.
    pub held: Pico,
}

/// What an attempt asks of all its budgets: all of it is granted or nothing. A store needs to know no rules but these.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Claim {
    /// Whose claim it is. The same claim twice is one.
    pub id: ReservationId,
    /// When the attempt begins. It is counted in the windows of that time, whenever it ends.
    pub at: UtcTime,
    /// When it is given up as lost.
    pub expires: UtcTime,
    /// What is asked for.
    pub demand: Demand,
    /// What other attempts of the same request were charged or hold, for budgets per request.
    pub already: Pico,
    /// Each account, widest scope first.
    pub lines: Arc<[ClaimLine]>,
}

impl Claim {
    /// The same claim, of a request whose other attempts were charged or hold so much.
    #[must_use]
    pub const fn with_already(mut self, already: Pico) -> Self {
        self.already = already;
        self
    }
}
