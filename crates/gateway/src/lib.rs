#![doc = include_str!("../README.md")]

pub mod app;
pub mod call;
pub mod chunk;
pub mod cli;
pub mod commands;
pub mod config;
pub mod costs;
pub mod environment;
pub mod http;
pub mod ledger;
pub mod out_file;
pub mod report;
pub mod tasks;
pub mod upstream;
