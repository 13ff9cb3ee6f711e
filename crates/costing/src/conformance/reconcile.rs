//! What every [`ReconcileStore`] must keep.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use integration_core::GenerationId;

use super::{DAY, began, id};
use crate::reconcile::{Asked, GaveUpReason, Job, JobEnd, ReconcileStore, Reconciled};
use crate::{Pico, PicoSum};

/// Makes a named `#[test]` of every scenario of a [`ReconcileStore`]. Given is a function that runs a scenario on a new, empty store:
/// `fn(fn(Arc<dyn ReconcileStore>) -> Run)`.
#[macro_export]
macro_rules! reconcile_conformance {
    ($with_store:path) => {
        $crate::reconcile_conformance!(@ $with_store: what_is_asked_for_is_kept_until_its_end those_that_wait_longest_come_first);
    };
    (@ $with_store:path: $($scenario:ident)*) => {
        $(
            #[test]
            fn $scenario() {
                $with_store(|store| ::std::boxed::Box::pin($crate::conformance::$scenario(store)));
            }
        )*
    };
}

/// An attempt that is asked for, so many seconds after [`began`] for the first time.
fn job(request: &str, seconds: u64) -> Job {
    let since = began() + Duration::from_secs(seconds);
    let mut job = Job::kept(
        id(request),
        1,
        GenerationId::new("gen-1").unwrap(),
        Asked::NotStated,
        began(),
        since,
        since,
        0,
    );
    job.next = since + Duration::from_millis(250);
    job
}

fn ended(request: &str, found: Result<Pico, GaveUpReason>) -> JobEnd {
    JobEnd {
        request: id(request),
        attempt: 1,
        at: began() + DAY,
        tries: 3,
        found,
    }
}

/// An attempt is asked for once: it is put off, and it ends, and does not begin anew.
pub async fn what_is_asked_for_is_kept_until_its_end(store: Arc<dyn ReconcileStore>) {
    let far = began() + 2 * DAY;
    assert_eq!(store.next_due().await.unwrap(), None);
    let mut job = job("r", 0);
    assert!(!store.ask_again(&job).await.unwrap() && !store.end(&ended("r", Ok(Pico::ZERO))).await.unwrap());
    assert!(store.ask(&job).await.unwrap());
    assert!(!store.ask(&job).await.unwrap());
    assert_eq!(store.due(far, 10).await.unwrap(), [job.clone()]);
    assert_eq!(store.next_due().await.unwrap(), Some(job.next));
    (job.next, job.tries) = (began() + DAY, 7);
    assert!(store.ask_again(&job).await.unwrap());
    assert_eq!(store.next_due().await.unwrap(), Some(began() + DAY));
    assert_eq!(
        store
            .due(began() + DAY - Duration::from_micros(1), 10)
            .await
            .unwrap(),
        []
    );
    assert_eq!(store.due(began() + DAY, 10).await.unwrap(), [job.clone()]);
    assert!(store.ask(&self::job("never", 0)).await.unwrap());
    assert!(store.ask(&self::job("open", 0)).await.unwrap());
    assert!(store.end(&ended("r", Ok(Pico::new(-5)))).await.unwrap());
    assert!(
        store
            .end(&ended("never", Err(GaveUpReason::NotFound)))
            .await
            .unwrap()
    );
    assert!(!store.end(&ended("r", Ok(Pico::new(9)))).await.unwrap());
    assert!(!store.ask(&job).await.unwrap() && !store.ask_again(&job).await.unwrap());
    assert_eq!(store.due(far, 10).await.unwrap(), [self::job("open", 0)]);
    // Anew only what never became known.
    assert!(!store.ask_anew(&job).await.unwrap());
    assert!(!store.ask_anew(&self::job("open", 9)).await.unwrap());
    assert!(store.ask_anew(&self::job("never", 5)).await.unwrap());
    assert_eq!(
        store.due(far, 10).await.unwrap(),
        [self::job("open", 0), self::job("never", 5)]
    );
    assert!(
        store
            .end(&ended("never", Err(GaveUpReason::NotFound)))
            .await
            .unwrap()
    );
    assert!(store.ask_anew(&self::job("new", 0)).await.unwrap());
    assert!(store.end(&ended("new", Ok(Pico::ZERO))).await.unwrap());
    let sums = store
        .reconciled(began(), began() + Duration::from_micros(1), false)
        .await
        .unwrap();
    assert_eq!(
        (sums.found, sums.delta, sums.open, sums.gave_up),
        (2, PicoSum::new(-5), 1, 1)
    );
    assert_eq!(
        store.reconciled(began(), far, true).await.unwrap(),
        Reconciled::default(),
        "none of them is simulated"
    );
    assert_eq!(
        store.reconciled(UNIX_EPOCH, began(), false).await.unwrap(),
        Reconciled::default()
    );
}

/// Those that are due come in the order of their time, then by name, and no more of them than are wanted.
pub async fn those_that_wait_longest_come_first(store: Arc<dyn ReconcileStore>) {
    for (request, seconds) in [("c", 5), ("b", 1), ("d", 9), ("a", 5)] {
        assert!(store.ask(&job(request, seconds)).await.unwrap());
    }
    let names = |jobs: Vec<Job>| jobs.into_iter().map(|job| job.request).collect::<Vec<_>>();
    let now = began() + Duration::from_secs(6);
    assert_eq!(names(store.due(now, 10).await.unwrap()), ["b", "a", "c"].map(id));
    assert_eq!(names(store.due(now, 2).await.unwrap()), ["b", "a"].map(id));
    assert_eq!(names(store.due(began(), 10).await.unwrap()), []);
}
