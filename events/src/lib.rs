//! What may happen in Countersign: the functional core. Plain functions; no async, IO, clock,
//! randomness, SQL or HTTP.
//!
//! **application** (reviewed) → **client** (how it appears to OAuth: `client_id`) →
//! **authorization** (a user's consent) → **token**.
//!
//! * *command*: what somebody asks for. *event*: what happened. *decide*: from a command to events,
//!   or to a refusal. *evolve*: from a state and an event to the next state. *fold*: the state after
//!   all events of a stream.
//! * *stream*: the events of one thing; *category*: its kind; *version*: an event's place in it;
//!   *position*: its place in the log. *expected version*: the version a command was decided on.
//! * *revision*: a version of what an application asks for. *standing*: where a thing is in its life.
//! * *grant*: one period of an authorization, from consent until it is rescinded.
//! * *personal*: about somebody; sealed in the log. *subject*: who it is about.

pub mod account;
pub mod application;
pub mod authorization;
pub mod codec;
pub mod decider;
pub mod event;
mod host;
pub mod ids;
pub mod inbox;
pub mod leaf;
pub mod post;
pub mod projection;
pub mod recorded;
pub mod redirect_uri;
pub mod scope;
pub mod sensitive;
pub mod site;
#[cfg(test)]
mod spec;
pub mod text;
pub mod token;
