//! Plans of changes.
