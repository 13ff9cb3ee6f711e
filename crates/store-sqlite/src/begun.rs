//! The intents of attempts that run, so that none is read back and understood anew when it ends.

use std::collections::HashMap;

use costing::AttemptIntent;
use integration_core::RequestId;

use crate::batch::Beginning;

/// How many are remembered. Those that are never settled would be forever, so beyond this all are forgotten: what is not
/// remembered is read from the file.
const MOST: usize = 16_384;

/// Intents that are in the file, written here, and not known to have ended. The file is the truth, and this never says what it
/// does not: an intent is never changed, and that it is here does not say that it is open still.
#[derive(Debug, Default)]
pub(crate) struct Begun(HashMap<(RequestId, u16), Box<Beginning>>);

impl Begun {
    /// Remembers an intent that has been written.
    pub(crate) fn remember(&mut self, beginning: Box<Beginning>) {
        if self.0.len() >= MOST {
            self.0.clear();
        }
        let name = (beginning.intent.request.clone(), beginning.intent.attempt);
        self.0.insert(name, beginning);
    }

    pub(crate) fn get(&self, request: &RequestId, attempt: u16) -> Option<&AttemptIntent> {
        let beginning = self.0.get(&(request.clone(), attempt))?;
        Some(&beginning.intent)
    }

    /// How many there are.
    pub(crate) fn open(&self) -> usize {
        self.0.len()
    }

    /// Forgets one that has ended.
    pub(crate) fn forget(&mut self, request: &RequestId, attempt: u16) -> Option<Box<Beginning>> {
        self.0.remove(&(request.clone(), attempt))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use costing::conformance::{id, intent};

    fn begun(request: &str, attempt: u16) -> Box<Beginning> {
        Box::new(Beginning::new(intent(request, attempt)))
    }

    #[test]
    fn what_runs_is_remembered_until_it_ends() {
        let mut all = Begun::default();
        for attempt in 1..=3 {
            all.remember(begun("r", attempt));
        }
        all.remember(begun("s", 1));
        assert_eq!(all.get(&id("r"), 2), Some(&intent("r", 2)));
        assert!(all.forget(&id("r"), 2).is_some());
        assert!(all.forget(&id("r"), 2).is_none() && all.forget(&id("t"), 1).is_none());
        assert_eq!(all.get(&id("r"), 2), None);
        assert_eq!(all.get(&id("r"), 3), Some(&intent("r", 3)));
    }

    /// Attempts that nobody ever settles take no more memory than this.
    #[test]
    fn what_never_ends_is_forgotten() {
        let mut all = Begun::default();
        for number in 0..=MOST {
            all.remember(begun(&format!("r{number}"), 1));
        }
        assert_eq!(all.0.len(), 1);
        assert!(all.get(&id("r0"), 1).is_none());
        assert!(all.get(&id(&format!("r{MOST}")), 1).is_some());
    }
}
