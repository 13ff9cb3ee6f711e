#![doc = include_str!("../README.md")]

mod arguments;
pub mod synthetic;

pub use arguments::Arguments;
