//! Who asks: ordinary keys, management keys, and keys that are none.

use crate::dice::fingerprint;
use crate::problem::Problem;
use crate::scenario::Route;
use crate::simulation::{SimulatedRequest, Simulation};

/// The owner of a request, by its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Caller {
    /// The fingerprint of the key; the key itself is not kept.
    pub(crate) key: u64,
    /// Whether the key is one for administration.
    pub(crate) management: bool,
}

/// What keys for administration start with, besides those that a scenario lists.
const MANAGEMENT: &str = "sk-or-v1-management";

/// What an ordinary key is told where one for administration is needed.
pub(crate) fn only_management(route: Route) -> Problem {
    let message = "Only management keys can perform this operation";
    match route {
        // The routes of keys know no 403 for this; to them an ordinary key is no credential at all.
        Route::Keys => Problem::new(401, message),
        _ => Problem::new(403, message).with("error_type", "permission_denied"),
    }
}

impl Simulation {
    /// Whose key it is, if it is one and may be used.
    pub(crate) fn authorize(&self, request: &SimulatedRequest<'_>) -> Result<Caller, Problem> {
        let Some(header) = request.header("authorization") else {
            return Err(Problem::new(401, "Missing Authentication header"));
        };
        let key = match header.split_once(' ') {
            Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer") => key.trim(),
            _ => return Err(Problem::new(401, "No auth credentials found")),
        };
        let keys = &self.config.scenario.keys;
        let listed = |list: &[String]| list.iter().any(|one| one == key);
        let refused = key == "sk-or-v1-invalid" || listed(&keys.invalid);
        let known = key.strip_prefix("sk-or-v1-").is_some_and(|rest| !rest.is_empty()) && !refused;
        if !known {
            return Err(Problem::new(401, "User not found."));
        }
        let caller = Caller {
            key: fingerprint(&[key.as_bytes()]),
            management: key.starts_with(MANAGEMENT) || listed(&keys.management),
        };
        let now = self.time();
        let mut state = self.state();
        state.accounts.check(caller.key, now)?;
        state.accounts.met(caller.key, key);
        Ok(caller)
    }
}
