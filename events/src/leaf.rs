//! The canonical bytes of a recorded event: what leaf *i* of the log's Merkle tree (RFC 6962 s2.1)
//! covers for position *i* + 1. They are for ever; a golden file holds them.
//!
//! Layout: the tag `countersign leaf v1` and a newline, then every field in the order below, each as
//! its length in bytes (u64, big-endian) and its bytes. An absent field is the length `u64::MAX` and
//! no bytes, so that absent and empty differ.

use crate::recorded::Envelope;
use crate::sensitive::Personal;

#[cfg(test)]
mod tests;

const TAG: &[u8] = b"countersign leaf v1\n";

/// The canonical bytes of an event as stored: its envelope (the client address sealed), the stored
/// type name and version, and the payload text, never re-serialised.
#[must_use]
pub fn canonical_bytes(envelope: &Envelope, type_name: &str, type_version: u16, payload: &str) -> Vec<u8> {
    let micros = envelope.recorded_at.timestamp_micros().to_be_bytes();
    let client_address = envelope.client_address.as_ref().map(|address| match address {
        Personal::Clear(text) => text.as_bytes().to_vec(),
        Personal::Sealed { key, bytes } => [key.0.as_bytes().as_slice(), bytes].concat(),
        Personal::Erased => vec![],
    });
    let stream = envelope.stream.to_string();
    let actor = envelope.actor.to_string();
    let mut leaf = TAG.to_vec();
    for field in [
        Some(envelope.position.0.to_be_bytes().as_slice()),
        Some(envelope.event_id.0.as_bytes()),
        Some(stream.as_bytes()),
        Some(&envelope.version.0.to_be_bytes()),
        Some(type_name.as_bytes()),
        Some(&type_version.to_be_bytes()),
        Some(&micros),
        Some(actor.as_bytes()),
        envelope.on_behalf_of.as_ref().map(|application| application.0.as_bytes().as_slice()),
        client_address.as_deref(),
        envelope.request_id.as_deref().map(str::as_bytes),
        envelope.command_id.as_deref().map(str::as_bytes),
        envelope.causation.as_ref().map(|event| event.0.as_bytes().as_slice()),
        Some(payload.as_bytes()),
    ] {
        leaf.extend(field.map_or(u64::MAX, |bytes| bytes.len() as u64).to_be_bytes());
        leaf.extend(field.unwrap_or_default());
    }
    leaf
}
