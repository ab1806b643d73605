//! Events.
pub mod redirect_uri;
pub mod scope;
pub mod text;
pub mod token;
