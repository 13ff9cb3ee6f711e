//! How the one thread that writes answers all the callers of a transaction at once.
//!
//! To wake each of them from here would be a call to the system for many, after which whoever is woken may take this thread's place on
//! its core: with a batch of answers that is a batch of changes from thread to thread and back. So one caller is woken, and wakes
//! the others where they are, beside itself. Should it not come to that soon, they are woken from here all the same.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// A place for one answer, and its two ends.
pub(crate) fn reply<T>() -> (Reply<T>, Answer<T>) {
    let slot = Arc::new(Slot(Mutex::new(State {
        answer: None,
        waker: None,
        others: None,
        ended: false,
        gone: false,
    })));
    (Reply(Arc::clone(&slot)), Answer(slot))
}

#[derive(Debug)]
struct Slot<T>(Mutex<State<T>>);

#[derive(Debug)]
struct State<T> {
    answer: Option<T>,
    waker: Option<Waker>,
    /// Whom to wake as soon as this answer is taken.
    others: Option<Arc<Sleepers>>,
    /// Answered, or never to be.
    ended: bool,
    /// Nobody waits any more.
    gone: bool,
}

impl<T> Slot<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end that answers. Dropped without an answer it tells whoever waits that none will come.
#[derive(Debug)]
pub(crate) struct Reply<T>(Arc<Slot<T>>);

impl<T> Reply<T> {
    /// Whether nobody waits for the answer any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.lock().gone
    }

    /// Answers at once.
    pub(crate) fn send(self, answer: T) {
        let mut wakes = Wakes::new();
        self.send_with(answer, &mut wakes);
    }

    /// Answers, and leaves it to `wakes` to wake whoever waits.
    pub(crate) fn send_with(self, answer: T, wakes: &mut Wakes<T>) {
        let mut state = self.0.lock();
        state.ended = true;
        if state.gone {
            drop(state);
            return;
        }
        state.answer = Some(answer);
        let waker = state.waker.take();
        drop(state);
        match (waker, &wakes.first) {
            (None, _) => {}
            (Some(waker), None) => wakes.first = Some((Arc::clone(&self.0), waker)),
            (Some(waker), Some(_)) => wakes.others.push(waker),
        }
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        let waker = if state.ended { None } else { state.waker.take() };
        state.ended = true;
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The end that waits.
#[derive(Debug)]
pub(crate) struct Answer<T>(Arc<Slot<T>>);

/// No answer will come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unanswered;

impl<T> Future for Answer<T> {
    type Output = Result<T, Unanswered>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.0.lock();
        if let Some(answer) = state.answer.take() {
            let others = state.others.take();
            drop(state);
            if let Some(others) = others {
                others.wake();
            }
            return Poll::Ready(Ok(answer));
        }
        if state.ended {
            return Poll::Ready(Err(Unanswered));
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            empty => *empty = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

impl<T> Drop for Answer<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.gone = true;
        let left = (state.answer.take(), state.waker.take(), state.others.take());
        drop(state);
        // Given up after it was chosen to wake the others.
        if let Some(others) = &left.2 {
            others.wake();
        }
    }
}

/// Callers that have their answer and are not awake yet. Whoever drops the last of it wakes them.
#[derive(Debug, Default)]
pub(crate) struct Sleepers(Mutex<Vec<Waker>>);

impl Sleepers {
    /// Wakes those that still sleep.
    pub(crate) fn wake(&self) {
        let wakers = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Sleepers {
    fn drop(&mut self) {
        self.wake();
    }
}

/// Whom the answers of a batch are to wake. Dropped before [`go`](Self::go) it wakes all of them.
#[derive(Debug)]
pub(crate) struct Wakes<T> {
    first: Option<(Arc<Slot<T>>, Waker)>,
    others: Vec<Waker>,
}

impl<T> Wakes<T> {
    pub(crate) const fn new() -> Self {
        Self {
            first: None,
            others: Vec::new(),
        }
    }

    /// Wakes one, which will wake the others. They are to be woken by whoever has this too, as soon as there is time.
    pub(crate) fn go(mut self) -> Option<Arc<Sleepers>> {
        let (slot, waker) = self.first.take()?;
        let others = std::mem::take(&mut self.others);
        if others.is_empty() {
            waker.wake();
            return None;
        }
        let others = Arc::new(Sleepers(Mutex::new(others)));
        let mut state = slot.lock();
        // Otherwise it has taken its answer meanwhile and will not come by again: with the last of `others` they are woken.
        if state.answer.is_some() {
            state.others = Some(Arc::clone(&others));
        }
        let taken = state.answer.is_none();
        drop(state);
        waker.wake();
        (!taken).then_some(others)
    }
}

impl<T> Drop for Wakes<T> {
    fn drop(&mut self) {
        if let Some((_, waker)) = self.first.take() {
            waker.wake();
        }
        std::mem::take(&mut self.others).into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    type Waiting = (Vec<Reply<usize>>, Vec<Answer<usize>>, Vec<Arc<Count>>);

    /// So many callers that wait, each with a count of how often it was woken.
    fn waiting(count: usize) -> Waiting {
        let (mut replies, mut answers, mut counts) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..count {
            let (reply, mut answer) = reply();
            let woken = Arc::new(Count::default());
            assert!(poll(&mut answer, &woken).is_pending());
            replies.push(reply);
            answers.push(answer);
            counts.push(woken);
        }
        (replies, answers, counts)
    }

    fn poll(answer: &mut Answer<usize>, woken: &Arc<Count>) -> Poll<Result<usize, Unanswered>> {
        let waker = Waker::from(Arc::clone(woken));
        pin!(answer).poll(&mut Context::from_waker(&waker))
    }

    fn woken(counts: &[Arc<Count>]) -> Vec<usize> {
        counts
            .iter()
            .map(|count| count.0.load(Ordering::SeqCst))
            .collect()
    }

    fn answered(replies: Vec<Reply<usize>>) -> Wakes<usize> {
        let mut wakes = Wakes::new();
        for (number, reply) in replies.into_iter().enumerate() {
            reply.send_with(number, &mut wakes);
        }
        wakes
    }

    #[test]
    fn one_is_woken_and_wakes_the_others() {
        let (replies, mut answers, counts) = waiting(3);
        let others = answered(replies).go();
        assert_eq!(woken(&counts), [1, 0, 0]);
        assert_eq!(poll(&mut answers[0], &counts[0]), Poll::Ready(Ok(0)));
        assert_eq!(woken(&counts), [1, 1, 1]);
        others.unwrap().wake();
        assert_eq!(woken(&counts), [1, 1, 1], "only once");
        for number in [1, 2] {
            assert_eq!(
                poll(&mut answers[number], &counts[number]),
                Poll::Ready(Ok(number))
            );
        }
    }

    /// The one that was to wake the others is given up, never comes, or was quicker than that.
    #[test]
    fn the_others_never_depend_on_one() {
        let (replies, mut answers, counts) = waiting(3);
        let _others = answered(replies).go();
        drop(answers.remove(0));
        assert_eq!(woken(&counts), [1, 1, 1]);

        let (replies, _answers, counts) = waiting(3);
        let others = answered(replies).go();
        assert_eq!(woken(&counts), [1, 0, 0]);
        others.unwrap().wake();
        assert_eq!(woken(&counts), [1, 1, 1]);

        let (replies, mut answers, counts) = waiting(3);
        let wakes = answered(replies);
        assert_eq!(poll(&mut answers[0], &counts[0]), Poll::Ready(Ok(0)));
        assert!(wakes.go().is_none());
        assert_eq!(woken(&counts), [1, 1, 1]);

        // A writer that panics amid its answers.
        let (replies, _answers, counts) = waiting(3);
        drop(answered(replies));
        assert_eq!(woken(&counts), [1, 1, 1]);
    }

    #[test]
    fn whoever_is_not_answered_is_told() {
        let (mut replies, mut answers, counts) = waiting(2);
        drop(replies.pop());
        assert_eq!(woken(&counts), [0, 1]);
        assert_eq!(poll(&mut answers[1], &counts[1]), Poll::Ready(Err(Unanswered)));
        let reply = replies.pop().unwrap();
        assert!(!reply.is_closed());
        drop(answers);
        assert!(reply.is_closed());
        reply.send(7);
        assert_eq!(woken(&counts), [0, 1]);
    }

    #[test]
    fn an_answer_may_come_before_it_is_waited_for() {
        let (reply, mut answer) = reply();
        reply.send(7);
        assert_eq!(poll(&mut answer, &Arc::default()), Poll::Ready(Ok(7)));
        assert_eq!(poll(&mut answer, &Arc::default()), Poll::Ready(Err(Unanswered)));
    }
}
