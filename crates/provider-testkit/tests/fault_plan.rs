//! Plans are the same for the same seed, and differ for different ones.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::HashMap;

use proptest::prelude::*;
use provider_testkit::fault_plan::{FaultKind, FaultPlan};
use provider_testkit::upstream::{Script, ScriptedUpstream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn healthy() -> Script {
    Script::sse([r#"{"id":"gen-1"}"#, "[DONE]"])
}

/// Everything a plan does, in words and in bytes.
fn shown(plan: &FaultPlan, count: u64) -> Vec<(String, Vec<u8>)> {
    let faults = plan.faults(count, &healthy());
    faults
        .iter()
        .map(|fault| {
            (
                format!("{:?} {:?}", fault.kind(), fault.script()),
                fault.script().to_bytes(),
            )
        })
        .collect()
}

proptest! {
    #[test]
    fn the_same_seed_gives_the_same_bytes_and_another_one_others(seed: u64, other: u64) {
        let plan = FaultPlan::everything(seed);
        let first = shown(&plan, 20);
        prop_assert_eq!(&first, &shown(&FaultPlan::everything(seed), 20));
        if seed != other {
            prop_assert_ne!(&first, &shown(&FaultPlan::everything(other), 20));
        }
        // One step alone is the step of the whole run.
        let fault = plan.fault(13, &healthy());
        prop_assert_eq!(fault.script().to_bytes(), &*first[13].1);
        let message = fault.to_string();
        let start = format!("seed {}, step 13: ", seed);
        prop_assert!(message.starts_with(&start), "{}", message);
    }

    #[test]
    fn only_kinds_with_a_weight_are_drawn(seed: u64, weights in proptest::collection::vec(0u32..4, 13)) {
        let mix: Vec<_> = FaultKind::ALL.into_iter().zip(weights).collect();
        let allowed: HashMap<FaultKind, u32> = mix.iter().copied().collect();
        let none = mix.iter().all(|(_, weight)| *weight == 0);
        for fault in FaultPlan::seeded(seed, mix).faults(50, &healthy()) {
            let weight = allowed[&fault.kind()];
            prop_assert!(weight > 0 || (none && fault.kind() == FaultKind::Healthy));
        }
    }
}

#[test]
fn weights_are_shares() {
    let plan = FaultPlan::seeded(1, [(FaultKind::Healthy, 3), (FaultKind::Cut, 1)]);
    let faults = plan.faults(4000, &healthy());
    let cuts = faults
        .iter()
        .filter(|fault| fault.kind() == FaultKind::Cut)
        .count();
    assert!((900..1100).contains(&cuts), "{cuts} of 4000");
    assert_eq!(plan.seed(), 1);
    assert_eq!(plan.to_string(), "seed 1, drawn from [(Healthy, 3), (Cut, 1)]");
}

#[test]
fn every_kind_is_drawn_and_changes_something() {
    let faults = FaultPlan::everything(5).faults(400, &healthy());
    for kind in FaultKind::ALL {
        let fault = faults.iter().find(|fault| fault.kind() == kind).unwrap();
        let same = format!("{:?}", fault.script()) == format!("{:?}", healthy());
        assert_eq!(same, kind == FaultKind::Healthy, "{fault}");
    }
}

#[tokio::test]
async fn a_plan_is_played_request_by_request() {
    let plan = FaultPlan::seeded(
        3,
        [(FaultKind::Status, 1), (FaultKind::Html, 1), (FaultKind::Cut, 1)],
    );
    let expected = plan.faults(20, &healthy());
    let upstream = ScriptedUpstream::start(plan.player(|_| healthy())).await;
    for fault in expected {
        let mut socket = tokio::net::TcpStream::connect(upstream.address()).await.unwrap();
        socket
            .write_all(b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut bytes = Vec::new();
        socket.read_to_end(&mut bytes).await.unwrap();
        let said = fault.to_string();
        assert_eq!(
            String::from_utf8_lossy(&bytes),
            String::from_utf8_lossy(&fault.into_script().to_bytes()),
            "{said}"
        );
    }
}
