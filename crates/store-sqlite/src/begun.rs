//! The intents of attempts that run, so that none is read back and understood anew when it ends.

use std::collections::HashMap;

use costing::AttemptIntent;
use integration_core::RequestId;

/// How many are remembered. Those that are never settled would be forever, so beyond this all are forgotten: what is not
/// remembered is read from the file.
const MOST: usize = 16_384;

/// Intents that are in the file, written here, and not known to have ended. The file is the truth, and this never says what it
/// does not: an intent is never changed, and that it is here does not say that it is open still.
#[derive(Debug, Default)]
pub(crate) struct Begun {
    by_request: HashMap<RequestId, Vec<AttemptIntent>>,
    count: usize,
}

impl Begun {
    /// Remembers an intent that has been written.
    pub(crate) fn remember(&mut self, intent: AttemptIntent) {
        if self.count >= MOST {
            *self = Self::default();
        }
        self.count += 1;
        match self.by_request.get_mut(&intent.request) {
            Some(attempts) => attempts.push(intent),
            None => {
                self.by_request.insert(intent.request.clone(), vec![intent]);
            }
        }
    }

    pub(crate) fn get(&self, request: &RequestId, attempt: u16) -> Option<&AttemptIntent> {
        let attempts = self.by_request.get(request)?;
        attempts.iter().find(|intent| intent.attempt == attempt)
    }

    /// Forgets one that has ended.
    pub(crate) fn forget(&mut self, request: &RequestId, attempt: u16) {
        let Some(attempts) = self.by_request.get_mut(request) else {
            return;
        };
        let before = attempts.len();
        attempts.retain(|intent| intent.attempt != attempt);
        self.count -= before - attempts.len();
        if attempts.is_empty() {
            self.by_request.remove(request);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use costing::conformance::{id, intent};

    #[test]
    fn what_runs_is_remembered_until_it_ends() {
        let mut begun = Begun::default();
        for attempt in 1..=3 {
            begun.remember(intent("r", attempt));
        }
        begun.remember(intent("s", 1));
        assert_eq!(begun.get(&id("r"), 2), Some(&intent("r", 2)));
        begun.forget(&id("r"), 2);
        begun.forget(&id("r"), 2);
        begun.forget(&id("t"), 1);
        assert_eq!(begun.get(&id("r"), 2), None);
        assert_eq!(begun.get(&id("r"), 3), Some(&intent("r", 3)));
        for attempt in [1, 3] {
            begun.forget(&id("r"), attempt);
        }
        begun.forget(&id("s"), 1);
        assert!(begun.count == 0 && begun.by_request.is_empty());
    }

    /// Attempts that nobody ever settles take no more memory than this.
    #[test]
    fn what_never_ends_is_forgotten() {
        let mut begun = Begun::default();
        for number in 0..=MOST {
            begun.remember(intent(&format!("r{number}"), 1));
        }
        assert_eq!((begun.count, begun.by_request.len()), (1, 1));
        assert!(begun.get(&id("r0"), 1).is_none());
        assert!(begun.get(&id(&format!("r{MOST}")), 1).is_some());
    }
}
