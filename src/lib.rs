//! Countersign.

pub mod config;
pub mod rate_limit;
pub mod secrets;
pub mod telemetry;
