//! The suite, tried on a client that is right, and on clients that each do one thing wrong.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    unreachable_pub
)]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;

use integration_core::{Capability, CapabilitySet};
use provider_testkit::conformance::{Candidate, Outcome, Place, Subject, scenarios};
use support::{Flaw, TestClient};

/// What the test client can do.
fn able() -> CapabilitySet {
    use Capability::{Chat, Embeddings, JsonMode, Reasoning, Seed, Streaming, Tools};
    [Chat, Embeddings, JsonMode, Reasoning, Seed, Streaming, Tools]
        .into_iter()
        .collect()
}

struct Acme {
    capabilities: CapabilitySet,
    flaw: Option<Flaw>,
}

impl Acme {
    fn right() -> Self {
        Self {
            capabilities: able(),
            flaw: None,
        }
    }
}

impl Subject for Acme {
    fn candidate(&self, place: &Place) -> Candidate {
        let (key, clock) = (place.key.clone(), Arc::clone(&place.clock));
        let client = TestClient::new(&place.url, key, clock, self.capabilities, self.flaw);
        let lister = client.clone();
        Candidate::new(client.clone())
            .with_embeddings(client)
            .with_models(move || {
                let lister = lister.clone();
                async move { lister.models().await }
            })
    }

    fn largest_answer(&self) -> usize {
        2 << 20
    }
}

provider_testkit::provider_conformance! { subject: Acme::right() }

/// What each flaw must be caught by. A scenario that no flaw fails would be worth nothing.
const CAUGHT: &[(Flaw, &[&str])] = &[
    (Flaw::IdOfUrl, &["identity_is_stable_and_debug_hides_the_key"]),
    (
        Flaw::DebugShowsKey,
        &["identity_is_stable_and_debug_hides_the_key"],
    ),
    (
        Flaw::AlwaysHealthy,
        &[
            "health_reports_a_refused_key",
            "health_reports_a_failing_server",
            "health_reports_an_unreachable_server",
            "health_ends_when_the_server_is_silent",
        ],
    ),
    (
        Flaw::NeverHealthy,
        &["health_is_free_and_healthy_when_the_server_is"],
    ),
    (
        Flaw::SilentHealth,
        &[
            "health_reports_a_refused_key",
            "health_reports_an_unreachable_server",
        ],
    ),
    (
        Flaw::HealthCosts,
        &[
            "health_is_free_and_healthy_when_the_server_is",
            "health_reports_a_failing_server",
        ],
    ),
    (
        Flaw::SendsTheLeast,
        &[
            "a_request_carries_what_was_asked",
            "fields_without_a_name_are_passed_on",
        ],
    ),
    (
        Flaw::Floats,
        &["fields_without_a_name_are_passed_on", "a_cost_keeps_every_digit"],
    ),
    (
        Flaw::NoKey,
        &[
            "the_key_goes_with_every_call",
            "vectors_come_in_the_order_of_the_texts",
        ],
    ),
    (Flaw::NoHeaders, &["headers_of_the_caller_are_sent"]),
    (
        Flaw::UncheckedHeaders,
        &[
            "a_caller_cannot_replace_the_key",
            "a_header_cannot_smuggle_another",
        ],
    ),
    (Flaw::SecondKeyHeader, &["a_caller_cannot_replace_the_key"]),
    (Flaw::Retries, &["one_call_is_one_request"]),
    (
        Flaw::StaysBroken,
        &[
            "a_client_is_used_again_after_a_failure",
            "planned_faults_never_pass_for_an_answer",
        ],
    ),
    (Flaw::StumblesOnce, &["planned_faults_never_pass_for_an_answer"]),
    (Flaw::MixesCalls, &["calls_at_once_do_not_mix"]),
    (Flaw::SendsAnything, &["needs_that_are_not_declared_are_refused"]),
    (
        Flaw::StreamsWhatItDenies,
        &["needs_that_are_not_declared_are_refused"],
    ),
    (
        Flaw::NoId,
        &[
            "an_answer_says_who_and_what",
            "a_stream_follows_the_grammar",
            "a_stream_that_breaks_is_truncated",
        ],
    ),
    (
        Flaw::NoEnd,
        &["a_stream_follows_the_grammar", "frames_may_come_all_at_once"],
    ),
    (Flaw::NeverStreams, &["a_stream_follows_the_grammar"]),
    (
        Flaw::WholeLosesModel,
        &[
            "an_answer_says_who_and_what",
            "a_folded_stream_equals_the_whole_answer",
        ],
    ),
    (Flaw::NullIsEmpty, &["a_null_content_is_no_text"]),
    (Flaw::ReasoningIsText, &["reasoning_is_kept_apart"]),
    (
        Flaw::RefusalIsText,
        &["a_refusal_is_kept_apart", "a_null_content_is_no_text"],
    ),
    (
        Flaw::AlwaysStops,
        &[
            "finish_reasons_are_told",
            "an_unknown_finish_reason_is_kept",
            "a_tool_call_in_one_piece",
        ],
    ),
    (Flaw::UnknownStops, &["an_unknown_finish_reason_is_kept"]),
    (Flaw::NoUsage, &["usage_is_counted", "a_cost_keeps_every_digit"]),
    (
        Flaw::UnknownIsZero,
        &["absent_usage_is_unknown", "null_usage_is_unknown"],
    ),
    (Flaw::NoCostIsZero, &["usage_is_counted"]),
    (
        Flaw::PiecesAreCalls,
        &["a_tool_call_in_pieces", "tool_calls_are_told_apart_by_index"],
    ),
    (
        Flaw::NoTools,
        &["a_tool_call_in_one_piece", "a_tool_call_without_arguments"],
    ),
    (Flaw::NoArgumentsIsNull, &["a_tool_call_without_arguments"]),
    (Flaw::DecodesPieces, &["letters_may_be_cut_between_bytes"]),
    (Flaw::OnlyLf, &["lines_may_end_with_cr_and_lf"]),
    (Flaw::OneEventPerPiece, &["frames_may_come_all_at_once"]),
    (Flaw::CommentsSurface, &["keep_alives_do_not_surface"]),
    (Flaw::Collects, &["pieces_arrive_as_they_are_sent"]),
    (Flaw::NeedsDone, &["a_finished_stream_needs_no_last_frame"]),
    (
        Flaw::EndIsComplete,
        &[
            "a_stream_that_ends_early_is_truncated",
            "a_stream_without_a_frame_is_truncated",
            "a_stream_that_is_cut_is_truncated",
            "a_stream_that_breaks_is_truncated",
            "planned_faults_never_pass_for_an_answer",
        ],
    ),
    (
        Flaw::NoErrorFrames,
        &["an_error_first_in_a_stream", "an_error_in_the_middle_of_a_stream"],
    ),
    (Flaw::SkipsBadFrames, &["a_frame_that_cannot_be_read"]),
    (
        Flaw::GoesOn,
        &[
            "dropping_a_stream_closes_the_connection",
            "dropping_a_call_closes_the_connection",
        ],
    ),
    (
        Flaw::AllUpstream,
        &[
            "status_400_is_told",
            "status_401_is_told",
            "status_402_is_told",
            "status_403_is_told",
            "status_404_is_told",
            "status_408_is_told",
            "status_413_is_told",
            "status_422_is_told",
            "status_429_is_told",
            "status_529_is_told",
        ],
    ),
    (
        Flaw::AllInvalid,
        &[
            "status_401_is_told",
            "status_500_is_told",
            "status_502_is_told",
            "status_503_is_told",
            "status_504_is_told",
            "an_error_under_status_200",
        ],
    ),
    (
        Flaw::NoRetryAfter,
        &["retry_after_in_seconds", "retry_after_as_a_date"],
    ),
    (
        Flaw::BelievesRetryAfter,
        &["retry_after_as_a_date", "retry_after_that_makes_no_sense"],
    ),
    (Flaw::NoErrorUnder200, &["an_error_under_status_200"]),
    (
        Flaw::AnyBodyAnswers,
        &[
            "a_web_page_under_status_200",
            "an_empty_body",
            "planned_faults_never_pass_for_an_answer",
            "no_content",
            "a_body_that_is_no_json",
            "a_body_that_breaks_off",
        ],
    ),
    (
        Flaw::PageHidesStatus,
        &["a_web_page_of_a_failing_proxy", "an_empty_body"],
    ),
    (Flaw::FollowsRedirects, &["a_redirect_is_not_followed"]),
    (
        Flaw::NoCap,
        &[
            "an_answer_over_the_cap_is_refused",
            "a_frame_over_the_cap_is_refused",
        ],
    ),
    (
        Flaw::ShowsKey,
        &["the_key_is_in_no_error", "health_reports_a_refused_key"],
    ),
    (
        Flaw::NothingSent,
        &[
            "a_reset_before_the_answer_may_have_been_sent",
            "an_end_before_the_answer_may_have_been_sent",
            "a_body_shorter_than_declared",
            "silence_before_the_answer_is_a_timeout",
            "an_error_in_the_middle_of_a_stream",
            "planned_faults_never_pass_for_an_answer",
        ],
    ),
    (
        Flaw::EverythingSent,
        &["a_refused_connection_sent_nothing", "status_500_is_told"],
    ),
    (
        Flaw::NoDeadline,
        &[
            "silence_before_the_answer_is_a_timeout",
            "silence_in_a_stream_is_a_timeout",
            "keep_alives_alone_are_a_timeout",
            "health_ends_when_the_server_is_silent",
        ],
    ),
    (Flaw::OnlyIdle, &["keep_alives_alone_are_a_timeout"]),
    (
        Flaw::NoCallerDeadline,
        &[
            "the_callers_deadline_holds",
            "a_deadline_that_has_passed_sends_nothing",
        ],
    ),
    (Flaw::VectorsAsSent, &["vectors_come_in_the_order_of_the_texts"]),
    (Flaw::EmptyVectors, &["a_refused_embedding_is_told"]),
    (Flaw::SortsModels, &["models_are_listed"]),
    (Flaw::EmptyModels, &["a_refused_list_of_models_is_told"]),
];

/// What a scenario says about a client; `None` if it is content.
async fn verdict(name: &str, capabilities: CapabilitySet, flaw: Option<Flaw>) -> Option<String> {
    let scenario = scenarios().iter().find(|scenario| scenario.name() == name);
    let scenario = scenario.unwrap_or_else(|| panic!("there is no scenario {name}"));
    scenario.check(Arc::new(Acme { capabilities, flaw })).await.err()
}

#[tokio::test]
async fn every_flaw_is_caught() {
    let mut missed = Vec::new();
    for (flaw, names) in CAUGHT {
        for name in *names {
            match verdict(name, able(), Some(*flaw)).await {
                Some(failure) => assert!(!failure.contains("no end in sight"), "{flaw:?}, {name}: it hangs"),
                None => missed.push((flaw, name)),
            }
        }
    }
    assert!(missed.is_empty(), "not caught: {missed:#?}");
}

#[test]
fn every_scenario_fails_for_some_flaw() {
    let caught: BTreeSet<&str> = CAUGHT.iter().flat_map(|(_, names)| *names).copied().collect();
    let all: BTreeSet<&str> = scenarios().iter().map(|scenario| scenario.name()).collect();
    let never: Vec<_> = all.difference(&caught).collect();
    assert!(
        never.is_empty(),
        "scenarios that nothing is known to fail: {never:?}"
    );
    assert!(all.len() >= 80);
}

fn without(missing: &[Capability]) -> CapabilitySet {
    able()
        .iter()
        .filter(|capability| !missing.contains(capability))
        .collect()
}

#[tokio::test]
async fn an_ability_that_is_not_declared_has_its_refusal_tested() {
    use Capability::{Chat, Embeddings, Streaming, Tools};
    // One scenario of each kind; a client that does what it denies is caught by each.
    for (missing, name) in [
        (Chat, "an_answer_says_who_and_what"),
        (Chat, "keep_alives_do_not_surface"),
        (Chat, "a_tool_call_in_one_piece"),
        (Chat, "needs_that_are_not_declared_are_refused"),
        (Streaming, "letters_may_be_cut_between_bytes"),
        (Tools, "a_tool_call_in_pieces"),
        (Tools, "needs_that_are_not_declared_are_refused"),
        (Embeddings, "vectors_come_in_the_order_of_the_texts"),
    ] {
        for flaw in [Flaw::DoesWhatItDenies, Flaw::StreamsWhatItDenies] {
            let failure = verdict(name, without(&[missing]), Some(flaw)).await;
            match failure {
                Some(failure) => assert!(failure.contains("not declared"), "{failure}"),
                // Vectors are never streamed.
                None => assert_eq!(
                    (missing, flaw),
                    (Embeddings, Flaw::StreamsWhatItDenies),
                    "{name} is not caught"
                ),
            }
        }
    }
}

/// A client without a list of models, at a server without keep-alives.
struct Bare;

impl Subject for Bare {
    fn candidate(&self, place: &Place) -> Candidate {
        let (key, clock) = (place.key.clone(), Arc::clone(&place.clock));
        Candidate::new(TestClient::new(
            &place.url,
            key,
            clock,
            without(&[Capability::Embeddings]),
            None,
        ))
    }

    fn keep_alive(&self) -> String {
        String::new()
    }

    fn largest_answer(&self) -> usize {
        2 << 20
    }
}

#[tokio::test]
async fn what_cannot_be_tested_is_no_silent_pass() {
    for scenario in scenarios() {
        let outcome = scenario.check(Arc::new(Bare)).await;
        match scenario.name() {
            "models_are_listed" | "a_refused_list_of_models_is_told" => {
                let failure = outcome.unwrap_err();
                assert!(failure.contains("`Candidate::with_models`, or skip"), "{failure}");
            }
            "keep_alives_do_not_surface" | "keep_alives_alone_are_a_timeout" => {
                let reason = "the server sends no keep-alives".to_owned();
                assert_eq!(outcome, Ok(Outcome::Untested(reason)), "{scenario:?}");
            }
            _ => assert_eq!(outcome, Ok(Outcome::Passed), "{scenario:?}"),
        }
    }
}

#[tokio::test]
async fn a_modest_client_passes_everything() {
    use Capability::{Chat, Embeddings, JsonMode, Seed, Streaming, Tools};
    for capabilities in [
        without(&[Streaming]),
        without(&[Tools, Embeddings, JsonMode, Seed]),
        without(&[Chat]),
        CapabilitySet::of(Embeddings),
    ] {
        for scenario in scenarios() {
            let failure = verdict(scenario.name(), capabilities, None).await;
            assert_eq!(failure, None, "{scenario:?} with {capabilities}");
        }
    }
}
