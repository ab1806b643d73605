//! Password verifiers: argon2id, in a pool that is small on purpose. Passwords' rules and limits belong to the forms.

use std::sync::Arc;

use argon2::password_hash::PasswordVerifier as _;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, Version};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

/// What it costs to make a verifier, and to try a password against it.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    memory_kib: u32,
    passes: u32,
}

impl Cost {
    /// OWASP's first choice for argon2id that fits small machines: 19 MiB, two passes, one lane.
    pub const FULL: Self = Self { memory_kib: 19 * 1024, passes: 2 };
    /// The least that argon2 can do (RFC 9106 section 3.1), for tests: their passwords guard nothing.
    pub const LEAST: Self = Self { memory_kib: 8, passes: 1 };
}

const LANES: u32 = 1;

/// How many passwords are worked on at once: each takes a core and 19 MiB for some 20 ms.
const AT_ONCE: usize = 2;

/// A verifier that no password opens, with the cost of a real one: an unknown user takes as long as a wrong password.
pub const UNKNOWN_USER_VERIFIER: &str = "$argon2id$v=19$m=19456,t=2,p=1$\
     bm9ib2R5IGxpdmVzIGhlcg$VGhpcyBpcyBub3QgYSBkaWdlc3Qgb2YgYW55dGhpbmc";

/// The verifier of a password as a PHC string. `salt` is random.
///
/// # Panics
/// Never: the salt has a legal length, and a password that is too long for argon2 does not fit into a request.
#[must_use]
pub fn hash_password(password: &str, salt: [u8; 16], cost: Cost) -> String {
    hasher(cost)
        .hash_password_with_salt(normalized(password).as_bytes(), &salt)
        .expect("the salt has a legal length and no password is too long")
        .to_string()
}

/// Whether a password fits a verifier; false for text that is not a verifier. The verifier's own parameters hold, so old ones go on working.
#[must_use]
pub fn verify_password(password: &str, verifier: &str) -> bool {
    PasswordHash::new(verifier)
        .is_ok_and(|hash| hasher(Cost::FULL).verify_password(normalized(password).as_bytes(), &hash).is_ok())
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
    cost: Cost,
}

impl PasswordPool {
    /// Of new verifiers that cost so much.
    #[must_use]
    pub fn new(cost: Cost) -> Self {
        Self { semaphore: Arc::new(Semaphore::new(AT_ONCE)), cost }
    }

    /// [`hash_password`], off the request threads.
    pub async fn hash(&self, password: Zeroizing<String>, salt: [u8; 16]) -> String {
        let cost = self.cost;
        self.run(move || hash_password(&password, salt, cost)).await
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

fn hasher(cost: Cost) -> Argon2<'static> {
    let params = Params::new(cost.memory_kib, cost.passes, LANES, None).expect("the constants are in range");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// RFC 8265 section 4.2.2: keyboards compose letters differently, so passwords are compared in NFC.
fn normalized(password: &str) -> Zeroizing<String> {
    Zeroizing::new(password.nfc().collect())
}
