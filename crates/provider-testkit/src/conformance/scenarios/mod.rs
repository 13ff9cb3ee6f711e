//! The scenarios. Each is a function that looks for one thing that can be wrong.

mod abilities;
mod answers;
mod faults;
mod identity;
mod refusals;
mod sending;
mod streams;
mod transport;

pub(super) use abilities::*;
pub(super) use answers::*;
pub(super) use faults::*;
pub(super) use identity::*;
pub(super) use refusals::*;
pub(super) use sending::*;
pub(super) use streams::*;
pub(super) use transport::*;
