//! Who a caller is, by the token it presents.

use std::collections::HashMap;
use std::fmt;

use anyhow::{Context, bail};
use costing::Caller;
use costing::budget::CallerConfig;
use integration_core::Secret;
use sha2::{Digest as _, Sha256};

use crate::environment::Environment;

/// The digest of a token. Tokens are looked up by it, so that the time a look-up takes tells nothing of a token that is nearly right.
type Fingerprint = [u8; 32];

/// Who calls, and what of the gateway they may see.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Identity {
    /// Who is charged.
    pub caller: Caller,
    /// Whether everybody's costs are theirs to see. Others see their own key's.
    pub is_admin: bool,
}

/// The tokens that are known: those of `[[caller]]`, and the gateway's own key.
#[derive(Clone, Default)]
pub struct Callers {
    known: HashMap<Fingerprint, Identity>,
}

impl Callers {
    /// Reads each caller's token from the environment variable that its entry names.
    ///
    /// # Errors
    /// One sentence that names the entry: no variable, no token in it, a token that no header can carry, or one that stands for
    /// two; two entries of one key that differ in project or team.
    pub fn resolve(
        entries: &[CallerConfig],
        admin: Option<&Secret>,
        env: &Environment,
    ) -> anyhow::Result<Self> {
        let mut callers = Self::default();
        if let Some(key) = admin {
            let identity = Identity {
                caller: Caller::local(),
                is_admin: true,
            };
            callers.known.insert(fingerprint(key.expose()), identity);
        }
        for (index, entry) in entries.iter().enumerate() {
            let number = index + 1;
            let is_name =
                |name: &str| !name.is_empty() && name.trim() == name && !name.chars().any(char::is_control);
            let names = [Some(&entry.key), entry.project.as_ref(), entry.team.as_ref()];
            if !names.into_iter().flatten().all(|name| is_name(name)) {
                bail!(
                    "caller {number}: `key`, `project` and `team` are names in reports; write them without blanks at an end and \
                     without control characters"
                );
            }
            let name = &entry.token_env;
            let token = env.get(name).with_context(|| {
                format!(
                    "caller {number} ({}): the environment variable {name}, which holds its token, is not set",
                    entry.key
                )
            })?;
            let token = Secret::new(token)
                .with_context(|| format!("caller {number} ({}): {name} is not usable", entry.key))?;
            let identity = Identity {
                caller: entry.caller(),
                is_admin: false,
            };
            let of_key = |known: &&Identity| !known.is_admin && known.caller.key == entry.key;
            if let Some(other) = callers.known.values().find(of_key)
                && other.caller != identity.caller
            {
                bail!(
                    "caller {number} ({}): another entry of this key has another project or team",
                    entry.key
                );
            }
            if callers
                .known
                .insert(fingerprint(token.expose()), identity)
                .is_some()
            {
                bail!(
                    "caller {number} ({}): its token is that of another caller, or WAYPOST_ADMIN_KEY",
                    entry.key
                );
            }
        }
        Ok(callers)
    }

    /// Whether nobody needs a token.
    pub fn is_open(&self) -> bool {
        self.known.is_empty()
    }

    /// Whose token it is.
    pub fn find(&self, token: &str) -> Option<&Identity> {
        self.known.get(&fingerprint(token))
    }
}

fn fingerprint(token: &str) -> Fingerprint {
    Sha256::digest(token.as_bytes()).into()
}

/// Names only.
impl fmt::Debug for Callers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.known.values().map(|known| &known.caller.key))
            .finish()
    }
}
