//! The shell of Countersign: makes happen what `countersign-events` decides and shows what
//! `countersign-projections` says. `web` and `cli` call `app`; `app` calls `writer` and `store`.

pub mod app;
pub mod bounds;
pub mod cli;
pub mod config;
pub mod csv;
pub mod demo;
pub mod judged_time;
pub mod keyring;
pub mod metrics;
mod nearest;
pub mod ownership;
pub mod parts;
pub mod policy;
pub mod projector;
pub mod rate_limit;
pub mod secrets;
pub mod soundness;
pub mod store;
pub mod telemetry;
pub mod token_state;
pub mod web;
pub mod world;
pub mod writer;
