//! The list of scenarios, once: the suite's table and every provider's tests are made from it.

use super::bench::{Bench, Verdict};
use super::run::{Need, Scenario};
use super::scenarios as all;

/// Tests a provider's client: one `#[test]` per scenario, in a module `scenario`.
///
/// `subject` is an expression of a type that implements [`Subject`](crate::conformance::Subject); it is evaluated once per
/// test. `skip` is optional; a name that is no scenario's, or an empty reason, does not compile. See
/// [`conformance`](crate::conformance) for a whole example.
///
/// ```compile_fail,E0080
/// # fn main() {}
/// # use integration_core::{ProviderId, testing::InMemoryClient};
/// # use provider_testkit::conformance::{Candidate, Place, Subject};
/// # struct Acme;
/// # impl Subject for Acme {
/// #     fn candidate(&self, _: &Place) -> Candidate {
/// #         Candidate::new(InMemoryClient::new(ProviderId::new("acme").unwrap(), []))
/// #     }
/// # }
/// provider_testkit::provider_conformance! { subject: Acme, skip: { no_such_scenario: "a reason" } }
/// ```
///
/// ```compile_fail,E0080
/// # fn main() {}
/// # use integration_core::{ProviderId, testing::InMemoryClient};
/// # use provider_testkit::conformance::{Candidate, Place, Subject};
/// # struct Acme;
/// # impl Subject for Acme {
/// #     fn candidate(&self, _: &Place) -> Candidate {
/// #         Candidate::new(InMemoryClient::new(ProviderId::new("acme").unwrap(), []))
/// #     }
/// # }
/// provider_testkit::provider_conformance! { subject: Acme, skip: { usage_is_counted: "" } }
/// ```
#[macro_export]
macro_rules! provider_conformance {
    (subject: $subject:expr $(, skip: { $($name:ident: $reason:literal),* $(,)? })? $(,)?) => {
        $crate::__provider_scenarios! {
            { $crate::__provider_tests } { $subject; [$($((stringify!($name), $reason)),*)?] }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __provider_tests {
    ({ $subject:expr; [$($skip:expr),*] } $($need:ident $name:ident;)*) => {
        mod scenario {
            #[allow(unused_imports)]
            use super::*;

            const SKIPS: &[(&str, &str)] = $crate::conformance::check_skips(&[$($skip),*]);
            const TEST: &str = concat!(env!("CARGO_PKG_NAME"), " ", module_path!());

            fn subject() -> impl $crate::conformance::Subject {
                $subject
            }

            $(#[test]
            fn $name() {
                $crate::conformance::run(subject(), stringify!($name), SKIPS, TEST);
            })*
        }
    };
}

/// Hands the list to another macro: what the client must declare for the scenario, and the scenario.
#[doc(hidden)]
#[macro_export]
macro_rules! __provider_scenarios {
    ({ $($then:tt)+ } $input:tt) => {
        $($then)+! { $input
            // Who it is, and how it is.
            Nothing identity_is_stable_and_debug_hides_the_key;
            Nothing health_is_free_and_healthy_when_the_server_is;
            Nothing health_reports_a_refused_key;
            Nothing health_reports_a_failing_server;
            Nothing health_reports_an_unreachable_server;
            Nothing health_ends_when_the_server_is_silent;
            // What it sends.
            Chat a_request_carries_what_was_asked;
            Chat fields_without_a_name_are_passed_on;
            Chat the_key_goes_with_every_call;
            Chat headers_of_the_caller_are_sent;
            Chat a_caller_cannot_replace_the_key;
            Chat a_header_cannot_smuggle_another;
            Chat one_call_is_one_request;
            Chat a_client_is_used_again_after_a_failure;
            Chat calls_at_once_do_not_mix;
            Nothing needs_that_are_not_declared_are_refused;
            // What it reads.
            Chat an_answer_says_who_and_what;
            Streaming a_stream_follows_the_grammar;
            Streaming a_folded_stream_equals_the_whole_answer;
            Chat a_null_content_is_no_text;
            Chat reasoning_is_kept_apart;
            Chat a_refusal_is_kept_apart;
            Chat finish_reasons_are_told;
            Chat an_unknown_finish_reason_is_kept;
            Chat usage_is_counted;
            Chat a_cost_keeps_every_digit;
            Chat absent_usage_is_unknown;
            Chat null_usage_is_unknown;
            Tools a_tool_call_in_one_piece;
            Tools a_tool_call_in_pieces;
            Tools tool_calls_are_told_apart_by_index;
            Tools a_tool_call_without_arguments;
            // How it reads a stream.
            Streaming letters_may_be_cut_between_bytes;
            Streaming lines_may_end_with_cr_and_lf;
            Streaming frames_may_come_all_at_once;
            Streaming keep_alives_do_not_surface;
            Streaming pieces_arrive_as_they_are_sent;
            Streaming a_finished_stream_needs_no_last_frame;
            Streaming a_stream_that_ends_early_is_truncated;
            Streaming a_stream_without_a_frame_is_truncated;
            Streaming a_stream_that_is_cut_is_truncated;
            Streaming a_stream_that_breaks_is_truncated;
            Streaming an_error_first_in_a_stream;
            Streaming an_error_in_the_middle_of_a_stream;
            Streaming a_frame_that_cannot_be_read;
            Streaming dropping_a_stream_closes_the_connection;
            // Refusals.
            Chat status_400_is_told;
            Chat status_401_is_told;
            Chat status_402_is_told;
            Chat status_403_is_told;
            Chat status_404_is_told;
            Chat status_408_is_told;
            Chat status_413_is_told;
            Chat status_422_is_told;
            Chat status_429_is_told;
            Chat status_500_is_told;
            Chat status_502_is_told;
            Chat status_503_is_told;
            Chat status_504_is_told;
            Chat status_529_is_told;
            Chat retry_after_in_seconds;
            Chat retry_after_as_a_date;
            Chat retry_after_that_makes_no_sense;
            Chat an_error_under_status_200;
            Chat a_web_page_under_status_200;
            Chat a_web_page_of_a_failing_proxy;
            Chat an_empty_body;
            Chat no_content;
            Chat a_body_that_is_no_json;
            Chat a_body_that_breaks_off;
            Chat a_body_shorter_than_declared;
            Chat a_redirect_is_not_followed;
            Chat an_answer_over_the_cap_is_refused;
            Streaming a_frame_over_the_cap_is_refused;
            Chat the_key_is_in_no_error;
            Chat planned_faults_never_pass_for_an_answer;
            // Connections and time.
            Chat a_refused_connection_sent_nothing;
            Chat a_reset_before_the_answer_may_have_been_sent;
            Chat an_end_before_the_answer_may_have_been_sent;
            Chat silence_before_the_answer_is_a_timeout;
            Streaming silence_in_a_stream_is_a_timeout;
            Streaming keep_alives_alone_are_a_timeout;
            Chat the_callers_deadline_holds;
            Chat a_deadline_that_has_passed_sends_nothing;
            Chat dropping_a_call_closes_the_connection;
            // Beside chat.
            Embeddings vectors_come_in_the_order_of_the_texts;
            Embeddings a_refused_embedding_is_told;
            Nothing models_are_listed;
            Nothing a_refused_list_of_models_is_told;
        }
    };
}

macro_rules! table {
    ({} $($need:ident $name:ident;)*) => {
        pub(super) const SCENARIOS: &[Scenario] = &[$(Scenario {
            name: stringify!($name),
            need: Need::$need,
            check: {
                fn check<'a>(bench: &'a Bench) -> std::pin::Pin<Box<dyn Future<Output = Verdict> + 'a>> {
                    Box::pin(all::$name(bench))
                }
                check
            },
        },)*];
    };
}

__provider_scenarios! { { table } {} }
