//! The ledger's trait as a store and its callers see it.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Mutex;
use std::time::UNIX_EPOCH;

use async_trait::async_trait;
use costing::{
    AttemptIntent, AttemptRow, AttemptSettlement, Charge, CostStatus, LedgerError, LedgerStore, Markup,
    Outcome,
};
use integration_core::{ModelId, ProviderId, RequestId};

/// The smallest store that keeps the trait's promises.
#[derive(Debug, Default)]
struct Memory(Mutex<Vec<AttemptRow>>);

#[async_trait]
impl LedgerStore for Memory {
    async fn intend(&self, intent: AttemptIntent) -> Result<(), LedgerError> {
        let mut rows = self.0.lock().unwrap();
        if rows
            .iter()
            .any(|r| r.intent.request == intent.request && r.intent.attempt == intent.attempt)
        {
            return Err(LedgerError::Duplicate {
                request: intent.request,
                attempt: intent.attempt,
            });
        }
        rows.push(AttemptRow {
            intent,
            settlement: None,
        });
        Ok(())
    }

    async fn settle(&self, settlement: AttemptSettlement) -> Result<(), LedgerError> {
        let (request, attempt) = (settlement.request.clone(), settlement.attempt);
        let mut rows = self.0.lock().unwrap();
        match rows
            .iter_mut()
            .find(|r| r.intent.request == request && r.intent.attempt == attempt)
        {
            None => Err(LedgerError::UnknownAttempt { request, attempt }),
            Some(row) if row.settlement.is_some() => Err(LedgerError::AlreadySettled { request, attempt }),
            Some(row) => {
                row.settlement = Some(settlement);
                Ok(())
            }
        }
    }

    async fn attempts(&self, request: &RequestId) -> Result<Vec<AttemptRow>, LedgerError> {
        let mut rows: Vec<_> = self
            .0
            .lock()
            .unwrap()
            .iter()
            .filter(|row| row.intent.request == *request)
            .cloned()
            .collect();
        rows.sort_by_key(|row| row.intent.attempt);
        Ok(rows)
    }

    async fn check(&self) -> Result<(), LedgerError> {
        Ok(())
    }
}

fn intent(request: &RequestId, attempt: u16) -> AttemptIntent {
    AttemptIntent {
        request: request.clone(),
        attempt,
        started: UNIX_EPOCH,
        task: Some("reasoning".to_owned()),
        requested_model: "waypost/auto".to_owned(),
        provider: ProviderId::new("openrouter").unwrap(),
        model: ModelId::new("a/b").unwrap(),
        price_snapshot: "openrouter-2026-08-22".to_owned(),
        stream: false,
        simulated: true,
        user: None,
        tags: vec!["nightly".to_owned()],
    }
}

fn settlement(request: &RequestId, attempt: u16) -> AttemptSettlement {
    AttemptSettlement {
        request: request.clone(),
        attempt,
        finished: UNIX_EPOCH,
        outcome: Outcome::Failed,
        error_kind: Some("overloaded".to_owned()),
        served_model: None,
        upstream: None,
        generation: None,
        finish_reason: None,
        usage: None,
        charge: Charge::unknown(Markup::DEFAULT, CostStatus::Pending),
        reported_cost: None,
        computed_cost: None,
        first_content: None,
        duration: None,
    }
}

#[tokio::test]
async fn an_attempt_is_intended_once_and_settled_once() {
    let store: Box<dyn LedgerStore> = Box::new(Memory::default());
    let request = RequestId::new("r-1").unwrap();
    store.check().await.unwrap();
    assert!(matches!(
        store.settle(settlement(&request, 1)).await,
        Err(LedgerError::UnknownAttempt { attempt: 1, .. })
    ));
    store.intend(intent(&request, 2)).await.unwrap();
    store.intend(intent(&request, 1)).await.unwrap();
    let twice = store.intend(intent(&request, 1)).await.unwrap_err();
    assert_eq!(
        twice.to_string(),
        "attempt 1 of request r-1 is in the ledger already"
    );
    store.settle(settlement(&request, 1)).await.unwrap();
    let twice = store.settle(settlement(&request, 1)).await.unwrap_err();
    assert_eq!(twice.to_string(), "attempt 1 of request r-1 is settled already");
    let rows = store.attempts(&request).await.unwrap();
    assert_eq!(
        rows.iter().map(|row| row.intent.attempt).collect::<Vec<_>>(),
        [1, 2]
    );
    assert_eq!(rows[0].settlement.as_ref().unwrap().charge.cost, None);
    assert_eq!(rows[1].settlement, None);
    assert!(
        store
            .attempts(&RequestId::new("r-2").unwrap())
            .await
            .unwrap()
            .is_empty()
    );
}
