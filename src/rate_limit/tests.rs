//! Who is refused when, on a clock moved by hand.

use governor::clock::FakeRelativeClock;

use super::*;
use crate::config::Flags;

fn given_limits() -> (RateLimits<FakeRelativeClock>, FakeRelativeClock) {
    let config = Config::load(&Flags::default(), std::iter::empty()).unwrap();
    let clock = FakeRelativeClock::default();
    (RateLimits::with_clock(&config, &clock), clock)
}

fn address(text: &str) -> Option<IpAddr> {
    let address = text.parse().ok();
    assert!(address.is_some(), "{text}");
    address
}

fn token(number: u128) -> TokenId {
    TokenId(uuid::Uuid::from_u128(number))
}

#[test]
fn p9_the_eleventh_log_in_of_a_minute_to_one_account_is_refused_until_its_time_has_come() {
    let (limits, clock) = given_limits();
    let from = address("192.0.2.1");
    for _ in 0..10 {
        limits.check_login(from, "ada").unwrap();
    }
    let refusal = limits.check_login(from, "Ada").unwrap_err();
    assert_eq!(refusal, TooMany { limit: 10, retry_after_seconds: 6, reset_seconds: 60 });
    clock.advance(Duration::from_secs(5));
    assert_eq!(limits.check_login(from, "ada").unwrap_err().retry_after_seconds, 1);
    clock.advance(Duration::from_secs(1));
    limits.check_login(from, "ada").unwrap();
    limits.check_login(from, "ada").unwrap_err();
}

#[test]
fn p9_a_stranger_cannot_lock_out_a_victim() {
    let (limits, _clock) = given_limits();
    for _ in 0..100 {
        let _ = limits.check_login(address("198.51.100.9"), "ada");
    }
    limits.check_login(address("198.51.100.9"), "ada").unwrap_err();
    limits.check_login(address("192.0.2.1"), "ada").unwrap();
}

#[test]
fn one_address_cannot_try_many_accounts() {
    let (limits, _clock) = given_limits();
    let from = address("192.0.2.1");
    for number in 0..30 {
        limits.check_login(from, &format!("member{number}")).unwrap();
    }
    assert_eq!(limits.check_login(from, "member30").unwrap_err().limit, 30);
    limits.check_login(address("192.0.2.2"), "member30").unwrap();
}

#[test]
fn a_subscriber_cannot_escape_within_its_own_ipv6_network() {
    let (limits, _clock) = given_limits();
    for number in 0..20 {
        limits.check_signup(address(&format!("2001:db8:0:1::{number}"))).unwrap();
    }
    limits.check_signup(address("2001:db8:0:1:ffff::1")).unwrap_err();
    limits.check_signup(address("2001:db8:0:2::1")).unwrap();
}

#[test]
fn an_ipv4_address_written_as_ipv6_is_the_same_address() {
    assert_eq!(origin(address("::ffff:192.0.2.1")), origin(address("192.0.2.1")));
    assert_ne!(origin(address("::ffff:192.0.2.1")), origin(address("::ffff:192.0.2.2")));
}

#[test]
fn clients_without_an_address_share_one_allowance() {
    let (limits, clock) = given_limits();
    for _ in 0..20 {
        limits.check_signup(None).unwrap();
    }
    let refusal = limits.check_signup(None).unwrap_err();
    assert_eq!(refusal, TooMany { limit: 20, retry_after_seconds: 180, reset_seconds: 3600 });
    clock.advance(Duration::from_hours(1));
    for _ in 0..20 {
        limits.check_signup(None).unwrap();
    }
}

#[test]
fn the_api_says_what_is_left_of_a_tokens_allowance() {
    let (limits, clock) = given_limits();
    let first = limits.check_api(token(1)).unwrap();
    assert_eq!(first, Allowance { limit: 600, remaining: 599, reset_seconds: 1 });
    for _ in 1..600 {
        limits.check_api(token(1)).unwrap();
    }
    let refusal = limits.check_api(token(1)).unwrap_err();
    assert_eq!(refusal, TooMany { limit: 600, retry_after_seconds: 1, reset_seconds: 60 });
    assert_eq!(limits.check_api(token(2)).unwrap().remaining, 599);
    clock.advance(Duration::from_secs(30));
    assert_eq!(limits.check_api(token(1)).unwrap().remaining, 299);
}

#[test]
fn keys_of_the_past_are_forgotten() {
    let (limits, clock) = given_limits();
    for round in 0..20_u32 {
        for number in 0..1000_u32 {
            limits.check_signup(Some(IpAddr::V4((round * 1000 + number).into()))).unwrap();
        }
        clock.advance(Duration::from_hours(1));
    }
    assert!(limits.signup.limiter.len() <= 3 * SWEEP_AFTER, "{} keys", limits.signup.limiter.len());
}

#[test]
fn a_sweep_forgives_nobody() {
    let (limits, _clock) = given_limits();
    for _ in 0..600 {
        limits.check_api(token(1)).unwrap();
    }
    limits.api.limiter.retain_recent();
    limits.check_api(token(1)).unwrap_err();
}
