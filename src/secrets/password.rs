//! Password verifiers: argon2id, in a pool that is small on purpose. Passwords' rules and limits belong to the forms.

use std::sync::Arc;

use argon2::password_hash::PasswordVerifier as _;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, Version};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

/// OWASP's first choice for argon2id that fits small machines: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// How many passwords are worked on at once: each takes a core and 19 MiB for some 20 ms.
const AT_ONCE: usize = 2;

/// A verifier that no password opens, with the cost of a real one: an unknown user takes as long as a wrong password.
pub const UNKNOWN_USER_VERIFIER: &str = "$argon2id$v=19$m=19456,t=2,p=1$\
     bm9ib2R5IGxpdmVzIGhlcg$VGhpcyBpcyBub3QgYSBkaWdlc3Qgb2YgYW55dGhpbmc";

/// The verifier of a password as a PHC string. `salt` is random.
#[must_use]
pub fn hash_password(password: &str, salt: [u8; 16]) -> String {
    verifier(password, salt)
}

/// Whether a password fits a verifier; false for text that is not a verifier. The verifier's own parameters hold, so old ones go on working.
#[must_use]
pub fn verify_password(password: &str, verifier: &str) -> bool {
    PasswordHash::new(verifier)
        .is_ok_and(|hash| hasher().verify_password(normalized(password).as_bytes(), &hash).is_ok())
}

/// The same for a user who may not exist: `None` is false after the same work, so that time does not tell names.
#[must_use]
pub fn verify_password_of(password: &str, verifier: Option<&str>) -> bool {
    let fits = verify_password(password, verifier.unwrap_or(UNKNOWN_USER_VERIFIER));
    fits && verifier.is_some()
}

/// Runs password work on blocking threads, two at once; more callers wait their turn.
#[derive(Debug, Clone)]
pub struct PasswordPool {
    semaphore: Arc<Semaphore>,
}

impl Default for PasswordPool {
    fn default() -> Self {
        Self { semaphore: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

impl PasswordPool {
    /// [`hash_password`], off the request threads.
    pub async fn hash(&self, password: Zeroizing<String>, salt: [u8; 16]) -> String {
        self.run(move || hash_password(&password, salt)).await
    }

    /// [`verify_password_of`], off the request threads.
    pub async fn verify(&self, password: Zeroizing<String>, verifier: Option<String>) -> bool {
        self.run(move || verify_password_of(&password, verifier.as_deref())).await
    }

    pub(super) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let turn = self.turn().await;
        let task = tokio::task::spawn_blocking(move || {
            // The work goes on when its caller has gone, so the turn ends with the work and not with the wait.
            let _turn = turn;
            work()
        });
        task.await.expect("the work neither panics nor is aborted")
    }

    async fn turn(&self) -> OwnedSemaphorePermit {
        let semaphore = Arc::clone(&self.semaphore);
        semaphore.acquire_owned().await.expect("the semaphore is never closed")
    }
}

fn verifier(password: &str, salt: [u8; 16]) -> String {
    hasher()
        .hash_password_with_salt(normalized(password).as_bytes(), &salt)
        .expect("the salt has a legal length and no password is too long")
        .to_string()
}

fn hasher() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).expect("the constants are in range");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// RFC 8265 section 4.2.2: keyboards compose letters differently, so passwords are compared in NFC.
fn normalized(password: &str) -> Zeroizing<String> {
    Zeroizing::new(password.nfc().collect())
}
