//! Tests of the whole: one binary, one module a feature. What they share is in modules of its own:
//! `prerequisites` (tools that must be there), `browser` (headless Chromium), `third_party` (the server of
//! an application that users are sent back to).

#![allow(clippy::disallowed_methods, reason = "a test that waits for a process or a server measures real time")]

mod browser;
mod browser_double;
mod guide_flow;
mod pages;
mod prerequisites;
mod rebuild;
mod store_contract;
mod store_statements;
mod support;
mod third_party;
mod tidy;
mod vault_contract;
mod writer;
