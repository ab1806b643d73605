//! How often a stranger may try: log-in, sign-up and the API. In memory, lost at a restart, for each node alone.
//!
//! Which request is charged, and how a refusal is answered, is up to `web`. The limit of open requests for
//! applications is a rule about members and lies in `app`.

use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use countersign_events::ids::{TokenId, UserId};
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

use crate::{config::Config, metrics::Counters};

/// An address stands for a household or an office: it may log in to several accounts.
const ACCOUNTS_BEHIND_AN_ADDRESS: NonZeroU32 = NonZeroU32::new(3).expect("three is not zero");

/// Keys that are as good as fresh are swept out after this many checks, or as many as there were keys.
const SWEEP_AFTER: usize = 1024;

/// What is left after an allowed request, for the `RateLimit-*` headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// Requests allowed at once.
    pub limit: u32,
    /// Requests left of them.
    pub remaining: u32,
    /// Seconds until all are available again.
    pub reset_seconds: u64,
}

/// The refusal, for 429 with `Retry-After`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many requests: try again in {retry_after_seconds} s")]
pub struct TooMany {
    /// Requests allowed at once.
    pub limit: u32,
    /// Seconds until the next one is allowed, at least 1.
    pub retry_after_seconds: u64,
    /// Seconds until all are available again.
    pub reset_seconds: u64,
}

/// Where a client comes from: an IPv4 address or an IPv6 /64, which is what one subscriber gets; `None` when
/// the server cannot know (all those share one allowance).
type Origin = Option<IpAddr>;

/// The limits of one server. `C` is the clock, which tests move by hand.
pub struct RateLimits<C: Clock = DefaultClock> {
    login_by_origin: Limit<Origin, C>,
    /// By account *and* origin: counted by account alone, ten wrong passwords a minute from a stranger would lock its
    /// owner out. Who guesses from many addresses pays with one allowance for each.
    login_by_account: Limit<(Origin, [u8; 32]), C>,
    signup: Limit<Origin, C>,
    api: Limit<TokenId, C>,
    messages: Limit<UserId, C>,
    /// Refusals by limit; that of open requests is counted by `app`.
    pub refused: Counters<5>,
}

impl RateLimits {
    /// The limits as configured, on the machine's clock.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self::with_clock(config, &DefaultClock::default())
    }
}

impl<C: Clock + Clone> RateLimits<C> {
    /// The limits as configured, on another clock.
    #[must_use]
    pub fn with_clock(config: &Config, clock: &C) -> Self {
        let login = config.limits_login_per_minute;
        let login_by_origin = login.saturating_mul(ACCOUNTS_BEHIND_AN_ADDRESS);
        Self {
            login_by_origin: Limit::new(Quota::per_minute(login_by_origin), clock),
            login_by_account: Limit::new(Quota::per_minute(login), clock),
            signup: Limit::new(Quota::per_hour(config.limits_signup_per_hour), clock),
            api: Limit::new(Quota::per_minute(config.limits_api_per_minute), clock),
            messages: Limit::new(Quota::per_hour(config.limits_messages_per_hour), clock),
            refused: Counters::new(["login", "signup", "api", "messages", "open_requests"]),
        }
    }

    /// Charges an attempt to log in, right or wrong. Whether the account exists makes no difference.
    ///
    /// # Errors
    ///
    /// When this address has tried too often, in all or with this account.
    pub fn check_login(&self, address: Option<IpAddr>, username: &str) -> Result<(), TooMany> {
        let origin = origin(address);
        let account = *blake3::hash(username.to_lowercase().as_bytes()).as_bytes();
        let checked = self.login_by_origin.check(&origin);
        let checked = checked.and_then(|_| self.login_by_account.check(&(origin, account)));
        checked.map(drop).inspect_err(|_| self.refused.add("login", 1))
    }

    /// Charges a sign-up.
    ///
    /// # Errors
    ///
    /// When this address has signed up too many accounts.
    pub fn check_signup(&self, address: Option<IpAddr>) -> Result<(), TooMany> {
        self.signup.check(&origin(address)).map(drop).inspect_err(|_| self.refused.add("signup", 1))
    }

    /// Charges a request to the API with a token that is known: keys cannot be made up.
    ///
    /// # Errors
    ///
    /// When this token was used too often.
    pub fn check_api(&self, token: TokenId) -> Result<Allowance, TooMany> {
        self.api.check(&token).inspect_err(|_| self.refused.add("api", 1))
    }

    /// Charges a message of a member to another.
    ///
    /// # Errors
    ///
    /// When this member has written too many.
    pub fn check_message(&self, from: UserId) -> Result<(), TooMany> {
        self.messages.check(&from).map(drop).inspect_err(|_| self.refused.add("messages", 1))
    }
}

/// Where a client comes from, of its address.
pub(crate) fn origin(address: Option<IpAddr>) -> Origin {
    const FIRST_64_BITS: u128 = !0 << 64;
    address.map(|address| match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & FIRST_64_BITS)),
    })
}

type Limiter<K, C> = RateLimiter<K, DashMapStateStore<K>, C, StateInformationMiddleware>;

/// One limit for many keys, which forgets keys that are as good as fresh.
struct Limit<K: Hash + Eq + Clone, C: Clock> {
    limiter: Limiter<K, C>,
    checks: AtomicUsize,
    /// The number of checks at which the next sweep is due; the largest number while one is under way.
    next_sweep: AtomicUsize,
}

impl<K: Hash + Eq + Clone, C: Clock + Clone> Limit<K, C> {
    fn new(quota: Quota, clock: &C) -> Self {
        let limiter = RateLimiter::dashmap_with_clock(quota, clock.clone());
        Self {
            limiter: limiter.with_middleware(),
            checks: AtomicUsize::new(0),
            next_sweep: AtomicUsize::new(SWEEP_AFTER),
        }
    }

    fn check(&self, key: &K) -> Result<Allowance, TooMany> {
        self.sweep_now_and_then();
        match self.limiter.check_key(key) {
            Ok(state) => {
                let quota = state.quota();
                let limit = quota.burst_size().get();
                let remaining = state.remaining_burst_capacity();
                let reset = quota.replenish_interval() * limit.saturating_sub(remaining);
                Ok(Allowance { limit, remaining, reset_seconds: seconds_rounded_up(reset) })
            }
            Err(refusal) => {
                let quota = refusal.quota();
                let limit = quota.burst_size().get();
                let wait = refusal.wait_time_from(self.limiter.clock().now());
                let reset = wait + quota.replenish_interval() * (limit - 1);
                Err(TooMany {
                    limit,
                    retry_after_seconds: seconds_rounded_up(wait).max(1),
                    reset_seconds: seconds_rounded_up(reset).max(1),
                })
            }
        }
    }

    /// A sweep walks over all keys. Waiting for as many checks as keys were left by the last one makes that a constant
    /// cost a check, and keeps at most about twice the keys that a period really used.
    fn sweep_now_and_then(&self) {
        let checks = self.checks.fetch_add(1, Ordering::Relaxed);
        let due = self.next_sweep.load(Ordering::Relaxed);
        let is_ours = || {
            let claim = self.next_sweep.compare_exchange(due, usize::MAX, Ordering::Relaxed, Ordering::Relaxed);
            claim.is_ok()
        };
        if checks >= due && is_ours() {
            self.limiter.retain_recent();
            self.limiter.shrink_to_fit();
            let wait = self.limiter.len().max(SWEEP_AFTER);
            let next = self.checks.load(Ordering::Relaxed).saturating_add(wait);
            self.next_sweep.store(next, Ordering::Relaxed);
        }
    }
}

fn seconds_rounded_up(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests;
