//! Stand-ins for the tests of other crates: [`InMemoryClient`], which answers from a list and keeps what it was asked,
//! [`MockChat`], a mock with expectations, and [`shared_data`], which finds recorded data that lives outside the repository.

mod in_memory;
mod mock;
mod shared;

pub use in_memory::{InMemoryClient, Scripted};
pub use mock::MockChat;
pub use shared::shared_data;
