//! Who a budget is for, and whose call it is.

use std::fmt;
use std::sync::Arc;

use integration_core::RequestId;

use super::window::Window;
use crate::caller::Caller;

/// The steps from everything down to one user, widest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ScopeKind {
    /// Every call.
    Global,
    /// The calls of a team.
    Team,
    /// The calls of a project.
    Project,
    /// The calls under a key.
    Key,
    /// The calls of one user of a key, by the name that the key's holder gives.
    User,
}

impl ScopeKind {
    /// Every kind, widest first.
    pub const ALL: [Self; 5] = [Self::Global, Self::Team, Self::Project, Self::Key, Self::User];

    /// The word for it in configurations, refusals and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Team => "team",
            Self::Project => "project",
            Self::Key => "key",
            Self::User => "user",
        }
    }
}

impl fmt::Display for ScopeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that is no kind of scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no scope of a budget; there are global, team, project, key and user")]
pub struct UnknownScopeKind(pub String);

impl std::str::FromStr for ScopeKind {
    type Err = UnknownScopeKind;

    fn from_str(text: &str) -> Result<Self, UnknownScopeKind> {
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        found.ok_or_else(|| UnknownScopeKind(text.to_owned()))
    }
}

/// What calls are counted together for a budget.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Scope {
    /// All of them.
    Global,
    /// Those of a team.
    Team(Arc<str>),
    /// Those of a project. A project has the same name in every team it is in.
    Project(Arc<str>),
    /// Those under a key, by the key's name.
    Key(Arc<str>),
    /// Those of one user of a key. The name is the key holder's own word, so the same word under another key is another user.
    User {
        /// The key's name.
        key: Arc<str>,
        /// The user, as the key's holder calls them.
        user: Arc<str>,
    },
}

impl Scope {
    /// How wide it is.
    pub const fn kind(&self) -> ScopeKind {
        match self {
            Self::Global => ScopeKind::Global,
            Self::Team(_) => ScopeKind::Team,
            Self::Project(_) => ScopeKind::Project,
            Self::Key(_) => ScopeKind::Key,
            Self::User { .. } => ScopeKind::User,
        }
    }

    /// The name in its kind; `None` for [`Scope::Global`].
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Global => None,
            Self::Team(name) | Self::Project(name) | Self::Key(name) | Self::User { user: name, .. } => {
                Some(name)
            }
        }
    }
}

/// As in `team research` or `user anna of key web`.
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Global => f.write_str("global"),
            Self::User { key, user } => write!(f, "user {user} of key {key}"),
            other => write!(f, "{} {}", other.kind(), other.name().unwrap_or_default()),
        }
    }
}

/// Whose call it is: every scope it is in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Subject {
    key: Arc<str>,
    project: Option<Arc<str>>,
    team: Option<Arc<str>>,
    user: Option<Arc<str>>,
}

impl Subject {
    /// A call of this caller.
    pub fn new(caller: &Caller) -> Self {
        Self {
            key: Arc::from(caller.key.as_str()),
            project: caller.project.as_deref().map(Arc::from),
            team: caller.team.as_deref().map(Arc::from),
            user: None,
        }
    }

    /// The same call, made for this user. An empty name is no user.
    #[must_use]
    pub fn with_user(mut self, user: impl AsRef<str>) -> Self {
        self.user = Some(user.as_ref()).filter(|user| !user.is_empty()).map(Arc::from);
        self
    }

    /// The call's scope of a kind, if it is in one.
    pub fn scope(&self, kind: ScopeKind) -> Option<Scope> {
        match kind {
            ScopeKind::Global => Some(Scope::Global),
            ScopeKind::Team => self.team.clone().map(Scope::Team),
            ScopeKind::Project => self.project.clone().map(Scope::Project),
            ScopeKind::Key => Some(Scope::Key(Arc::clone(&self.key))),
            ScopeKind::User => {
                let (key, user) = (Arc::clone(&self.key), self.user.clone()?);
                Some(Scope::User { key, user })
            }
        }
    }
}

/// One attempt's hold on its budgets. Given by the caller, so that a store that many processes share can be asked twice.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReservationId {
    /// The caller's call.
    pub request: RequestId,
    /// Which attempt of that call, from 1.
    pub attempt: u16,
}

impl ReservationId {
    /// The hold of an attempt.
    pub const fn new(request: RequestId, attempt: u16) -> Self {
        Self { request, attempt }
    }
}

impl fmt::Display for ReservationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "attempt {} of request {}", self.attempt, self.request)
    }
}

/// What is spent and held is counted by scope and window.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Account {
    /// Whose.
    pub scope: Scope,
    /// Over how long.
    pub window: Window,
}

impl Account {
    /// The account of a scope over a window.
    pub const fn new(scope: Scope, window: Window) -> Self {
        Self { scope, window }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} per {}", self.scope, self.window)
    }
}
