#![doc = include_str!("../README.md")]

pub mod conformance;
pub mod fault_plan;
#[cfg(feature = "openapi")]
pub mod openapi;
pub mod upstream;
