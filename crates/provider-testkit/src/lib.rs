#![doc = include_str!("../README.md")]

#[cfg(feature = "openapi")]
pub mod openapi;
