//! What the tests of budgets share.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::panic, missing_docs)]

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use costing::budget::{
    BudgetRefusal, BudgetRule, BudgetRules, BudgetState, Claim, Demand, ReservationId, Subject, WorstCase,
};
use costing::{Caller, Pico, UtcTime};
use integration_core::RequestId;

pub const TTL: Duration = Duration::from_secs(660);

/// 2026-11-22T12:00:00Z, a Sunday.
pub const NOON: UtcTime = UtcTime::from_unix(1_795_348_800);

pub fn usd(text: &str) -> Pico {
    text.parse().unwrap()
}

pub fn id(number: usize) -> ReservationId {
    ReservationId::new(RequestId::new(format!("r{number}")).unwrap(), 1)
}

pub fn anna() -> Subject {
    let mut caller = Caller::local();
    caller.key = "web".to_owned();
    caller.project = Some("shop".to_owned());
    caller.team = Some("sales".to_owned());
    Subject::new(&caller).with_user("anna")
}

pub fn rules(rules: impl IntoIterator<Item = BudgetRule>) -> BudgetRules {
    BudgetRules::new(rules).unwrap()
}

pub fn claim(rules: &BudgetRules, number: usize, amount: &str, at: UtcTime) -> Claim {
    rules.claim(id(number), &anna(), WorstCase::known(usd(amount)), at, TTL)
}

pub fn claim_of(rules: &BudgetRules, number: usize, demand: impl Into<Demand>, at: UtcTime) -> Claim {
    rules.claim(id(number), &anna(), demand, at, TTL)
}

pub fn refused(state: &mut BudgetState, claim: &Claim) -> BudgetRefusal {
    *state.reserve(claim).unwrap_err()
}

pub fn at(seconds: i64) -> UtcTime {
    UtcTime::from_unix(NOON.unix() + seconds)
}

/// Runs a future that never waits.
pub fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits"),
    }
}
