//! Who is charged.

use serde::Serialize;

/// Who is charged: from `[[caller]]` of the configuration; without entries everything is `local`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Caller {
    /// The name of the caller's key, never the key itself.
    pub key: String,
    /// The project the key belongs to.
    pub project: Option<String>,
    /// The team the project belongs to.
    pub team: Option<String>,
}

impl Caller {
    /// The key of a caller that the configuration does not name.
    pub const LOCAL: &'static str = "local";

    /// The caller where the configuration names none.
    pub fn local() -> Self {
        Self::of_key(Self::LOCAL)
    }

    /// A caller by its key alone.
    pub fn of_key(key: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            project: None,
            team: None,
        }
    }

    /// The same caller, of this project.
    #[must_use]
    pub fn with_project(mut self, project: impl Into<String>) -> Self {
        self.project = Some(project.into());
        self
    }

    /// The same caller, of this team.
    #[must_use]
    pub fn with_team(mut self, team: impl Into<String>) -> Self {
        self.team = Some(team.into());
        self
    }
}

/// [`Caller::local`].
impl Default for Caller {
    fn default() -> Self {
        Self::local()
    }
}
