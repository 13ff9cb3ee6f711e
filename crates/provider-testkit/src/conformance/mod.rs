//! What every provider crate must do, as tests: one per scenario, named after it.
//!
//! A provider's test file says how its client is made ([`Subject`]) and calls [`provider_conformance!`](crate::provider_conformance):
//!
//! ```
//! # fn main() {}
//! # use std::sync::Arc;
//! # use integration_core::{Clock, Secret, ProviderId, testing::InMemoryClient};
//! # struct AcmeClient;
//! # impl AcmeClient {
//! #     fn new(_: &str, _: Secret, _: Arc<dyn Clock>) -> InMemoryClient {
//! #         InMemoryClient::new(ProviderId::new("acme").unwrap(), [])
//! #     }
//! # }
//! use provider_testkit::conformance::{Candidate, Place, Subject};
//!
//! struct Acme;
//!
//! impl Subject for Acme {
//!     fn candidate(&self, place: &Place) -> Candidate {
//!         Candidate::new(AcmeClient::new(&place.url, place.key.clone(), place.clock.clone()))
//!     }
//! }
//!
//! provider_testkit::provider_conformance! {
//!     subject: Acme,
//!     skip: { a_refusal_is_kept_apart: "Acme has no field for refusals" }
//! }
//! ```
//!
//! The suite plays the server, byte by byte, on a port of this machine; time is a manual clock that it moves itself. A
//! server that speaks another dialect than OpenAI's chat completions is described by the other methods of [`Subject`].
//!
//! Each scenario needs abilities. Where the client declares them the scenario is tested; where it does not, the test is
//! that it refuses, asked for a whole answer as for a stream: [`integration_core::ErrorKind::Unsupported`], and nothing is
//! sent. A scenario can be skipped for a reason, which is printed, and added to the file that the variable
//! `WAYPOST_SKIPPED` names; so is one that has nothing to test by what the subject says of its server. A client without a
//! list of models skips the two scenarios about it.

mod answer;
mod bench;
mod dialect;
mod macros;
mod run;
mod scenarios;
mod subject;

pub use answer::{Answer, Piece, ToolPiece, WireUsage};
pub use run::{Outcome, Scenario, scenarios};
pub use subject::{Candidate, Place, Subject};

#[doc(hidden)]
pub use run::{check_skips, run};
