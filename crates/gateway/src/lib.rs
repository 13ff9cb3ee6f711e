#![doc = include_str!("../README.md")]

pub mod app;
pub mod call;
pub mod callers;
mod checks;
pub mod chunk;
pub mod cli;
pub mod commands;
pub mod config;
pub mod costs;
pub mod days;
pub mod environment;
pub mod experiment;
pub mod http;
pub mod ledger;
pub mod out_file;
mod pricing;
pub mod profile;
pub mod quality;
pub mod reconciler;
pub mod recovery;
pub mod report;
pub mod restraint;
mod schema;
pub mod spending;
pub mod tasks;
pub mod upstream;
mod warm;
