//! Tests of the whole: one binary, one module a feature. What they share is in modules of its own:
//! `prerequisites` (tools that must be there), `browser` (headless Chromium), `third_party` (the server of
//! an application that users are sent back to), `running_site` (the real program as a process), `fleet` (several of them
//! over one database), `cuts` (what a network does to one), `serial_history` (the judge of what they made of it).

#![allow(clippy::disallowed_methods, reason = "a test that waits for a process or a server measures real time")]

mod access;
mod access_pages;
mod apps_pages;
mod audit_pages;
mod auditor;
mod browser;
mod browser_double;
mod checks_api;
mod checks_authorize;
mod checks_base;
mod checks_front;
mod checks_lessons;
mod checks_limits;
mod checks_pages;
mod checks_scene;
mod checks_secrets;
mod clicks;
mod cuts;
mod databases;
mod demo;
mod doctor;
mod doors;
mod erasure;
mod events_api;
mod fleet;
mod front_pages;
mod guide_flow;
mod hostile_site;
mod housekeeping;
mod last_use;
mod letters;
mod limits_alike;
mod observability;
mod page_list;
mod pages;
mod postgres_server;
mod postgres_store;
mod prerequisites;
mod projections;
mod projections_real;
mod rare_sites;
mod readme;
mod real_browser;
mod real_events;
mod real_fleet_loss;
mod real_guide;
mod real_kill;
mod real_pages;
mod real_schemathesis;
mod real_secrets;
mod real_two_reviewers;
mod rebuild;
mod review_cli;
mod review_list;
mod review_matrix;
mod review_pages;
mod review_races;
mod review_rules;
mod review_scene;
mod running_site;
mod serial_history;
mod served_app;
mod sqlite_store;
mod sqlite_vault;
mod store_contract;
mod support;
mod third_party;
mod tidy;
mod vault_contract;
mod writer;
