//! The store is held to what every store is held to.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use costing::LedgerStore;
use costing::conformance::Run;
use costing::reconcile::ReconcileStore;

fn with_store(scenario: fn(Arc<dyn LedgerStore>) -> Run) {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(scenario(Arc::new(common::open_quick(dir.path()))));
}

costing::ledger_conformance!(with_store);

fn with_reconcile_store(scenario: fn(Arc<dyn ReconcileStore>) -> Run) {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(scenario(Arc::new(common::open_quick(dir.path()))));
}

costing::reconcile_conformance!(with_reconcile_store);

/// What a report is filtered by is a name, never a pattern.
#[test]
fn input_96_a_filter_has_no_wildcards() {
    with_store(|store| Box::pin(costing::conformance::wildcards_are_letters(store)));
}

#[test]
fn c14_what_comes_twice_is_written_once() {
    with_store(|store| Box::pin(costing::conformance::what_happened_once_is_written_once(store)));
}
