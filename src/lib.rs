//! The shell of Countersign.
pub mod store;
