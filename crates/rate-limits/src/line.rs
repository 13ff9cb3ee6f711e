//! Who waits for what, in order. Only the first in a line asks the store and waits by the clock; the others wait for their
//! turn, so that nobody is overtaken and nobody polls in vain.

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use integration_core::ModelId;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::rules::Scope;

/// A line: for a scope, or for one model of a shared scope.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct LineKey {
    scope: Scope,
    model: Option<ModelId>,
}

impl LineKey {
    pub(crate) fn of_scope(scope: &Scope) -> Self {
        Self {
            scope: scope.clone(),
            model: None,
        }
    }

    /// Where a scope has several models, each has a line of its own before that of the scope: a model that must pause then
    /// holds up no other.
    pub(crate) fn of_model(scope: &Scope, model: &ModelId) -> Self {
        let model = match scope {
            Scope::Model(_) => None,
            Scope::Shared(_) => Some(model.clone()),
        };
        Self {
            scope: scope.clone(),
            model,
        }
    }
}

#[derive(Debug)]
struct Line {
    /// One turn, handed on in the order of asking.
    turn: Arc<Semaphore>,
    /// Something was given back. Kept until the first in line looks.
    changed: Notify,
}

/// Every line in which someone stands.
#[derive(Debug, Default)]
pub(crate) struct Lines(Mutex<HashMap<LineKey, (usize, Arc<Line>)>>);

impl Lines {
    fn lines(&self) -> MutexGuard<'_, HashMap<LineKey, (usize, Arc<Line>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether someone waits already, who would be overtaken.
    pub(crate) fn anyone(&self, scope: &Scope, model: &ModelId) -> bool {
        let lines = self.lines();
        !lines.is_empty()
            && (lines.contains_key(&LineKey::of_scope(scope))
                || lines.contains_key(&LineKey::of_model(scope, model)))
    }

    /// Tells the first in a scope's line to look again.
    pub(crate) fn changed(&self, scope: &Scope) {
        let lines = self.lines();
        if lines.is_empty() {
            return;
        }
        if let Some((_, line)) = lines.get(&LineKey::of_scope(scope)) {
            line.changed.notify_one();
        }
    }

    /// Tells the first in every line to look again.
    pub(crate) fn all_changed(&self) {
        for (_, line) in self.lines().values() {
            line.changed.notify_one();
        }
    }

    /// Takes a place at the end of a line. Dropping it leaves the line.
    pub(crate) fn join(self: &Arc<Self>, key: LineKey) -> Place {
        let mut lines = self.lines();
        let (count, line) = lines.entry(key.clone()).or_insert_with(|| {
            let line = Line {
                turn: Arc::new(Semaphore::new(1)),
                changed: Notify::new(),
            };
            (0, Arc::new(line))
        });
        *count += 1;
        Place {
            line: Arc::clone(line),
            key,
            lines: Arc::clone(self),
        }
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.lines().is_empty()
    }
}

/// A place in a line.
#[derive(Debug)]
pub(crate) struct Place {
    line: Arc<Line>,
    key: LineKey,
    lines: Arc<Lines>,
}

impl Place {
    /// The turn, if nobody is before.
    pub(crate) fn turn_now(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.line.turn).try_acquire_owned().ok()
    }

    /// Waits until everyone before has left. `None` cannot happen: nobody closes a line.
    pub(crate) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.line.turn).acquire_owned().await.ok()
    }

    /// Waits until something was given back since the first in line last waited.
    pub(crate) async fn changed(&self) {
        self.line.changed.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut lines = self.lines.lines();
        if let Some((count, _)) = lines.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                lines.remove(&self.key);
            }
        }
    }
}

/// The first of two futures to be ready; the first one wins a tie.
pub(crate) async fn first<A, B>(
    one: impl Future<Output = A>,
    other: impl Future<Output = B>,
) -> Result<A, B> {
    let (mut one, mut other) = (pin!(one), pin!(other));
    std::future::poll_fn(move |cx| {
        if let Poll::Ready(ready) = one.as_mut().poll(cx) {
            return Poll::Ready(Ok(ready));
        }
        other.as_mut().poll(cx).map(Err)
    })
    .await
}
