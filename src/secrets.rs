//! The shell's cryptography: the root key and its file, the keys derived from it, sealing, keyed digests.
//!
//! Randomness comes in from the caller. What is sealed, where it is stored and when it is destroyed is decided elsewhere.

mod password;
mod root_key;
mod weakness;

use std::fmt;

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

pub use password::{Cost, PasswordPool, UNKNOWN_USER_VERIFIER, hash_password, verify_password, verify_password_of};
pub use root_key::{RootKey, RootKeyError};
pub use weakness::{Weakness, weakness};

/// What each key is for. A context is part of the key: changing one makes everything under it unreadable.
pub mod context {
    /// Tokens in forms, bound to a session.
    pub const CSRF: &str = "countersign csrf v1";
    /// One-time secrets that wait in the vault for their recipient.
    pub const HELD_SECRET: &str = "countersign held secret v1";
    /// Outcomes of commands that hold a fresh secret, kept for a repeat.
    pub const OUTCOME: &str = "countersign outcome v1";
    /// Digests of usernames in stream names.
    pub const USERNAME_DIGEST: &str = "countersign username digest v1";
    /// Data keys of users and of the site, as the vault stores them.
    pub const DATA_KEY_WRAP: &str = "countersign data key wrap v1";
    /// Nonces of consent pages.
    pub const NONCE: &str = "countersign nonce v1";
    /// Set-up and reset links.
    pub const SETUP_LINK: &str = "countersign setup link v1";
    /// Ids of applications: that of a member's next one is known to the site alone.
    pub const APPLICATION_ID: &str = "countersign application id v1";
}

/// The length of the nonce that opens every sealed value.
const NONCE_LENGTH: usize = 24;

/// A key for one purpose: derived from the root key, or a data key unwrapped by one.
#[derive(Clone)]
pub struct SubKey(Zeroizing<[u8; 32]>);

impl SubKey {
    /// A key from its bytes, as unwrapped or freshly drawn.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, to be wrapped by another key.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Seals with XChaCha20-Poly1305: the nonce, then the ciphertext with its tag. `nonce` is random and used once;
    /// `associated` says where the value belongs, so that it opens nowhere else.
    #[must_use]
    pub fn seal(&self, nonce: [u8; NONCE_LENGTH], associated: &[u8], plain: &[u8]) -> Vec<u8> {
        let mut sealed = nonce.to_vec();
        sealed.extend(self.encrypt(nonce, Payload { msg: plain, aad: associated }));
        sealed
    }

    /// Opens what [`SubKey::seal`] made; `None` for another key, other associated data, or changed bytes.
    #[must_use]
    pub fn open(&self, associated: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE_LENGTH>()?;
        let payload = Payload { msg: ciphertext, aad: associated };
        self.cipher().decrypt(&XNonce::from(*nonce), payload).ok().map(Zeroizing::new)
    }

    /// A keyed BLAKE3 digest. Every part goes in behind its length, so `["ab", "c"]` and `["a", "bc"]` differ.
    /// Compare digests in constant time.
    #[must_use]
    pub fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        *hasher.finalize().as_bytes()
    }

    fn encrypt(&self, nonce: [u8; NONCE_LENGTH], payload: Payload<'_, '_>) -> Vec<u8> {
        self.cipher().encrypt(&XNonce::from(nonce), payload).expect("only messages beyond 256 GiB cannot be sealed")
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&*self.0).into())
    }
}

impl fmt::Debug for SubKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SubKey(..)")
    }
}

#[cfg(test)]
mod tests;
