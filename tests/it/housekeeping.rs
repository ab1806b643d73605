//! Housekeeping: what is over leaves the read models, the memory and the outcomes, and nothing else does.

use std::collections::{BTreeSet, HashSet};

use chrono::Duration;
use countersign::{
    app::authorizations::{ConsentPage, ConsentRequest},
    store::{CommandKey, LogWriter as _, sqlite::SqliteStore},
};
use countersign_events::{
    account::Role,
    ids::{TokenId, UserId},
    recorded::Timestamp,
    scope::ScopeSet,
};

use countersign_projections::{
    Change, Kind,
    accounts::{self, ACCOUNTS},
    change,
};
use uuid::Uuid;

use crate::databases::{Database, Opened};
use crate::support::{TestApp, by, named};

async fn given_token(site: &TestApp, user: UserId, days: i64) -> TokenId {
    let scopes: ScopeSet = "read".parse().expect("a scope");
    let done = site.app.issue_token(&by(user), user, scopes, Some(Duration::days(days))).await;
    done.expect("a token").answer.0
}

async fn listed(site: &TestApp, user: UserId) -> BTreeSet<TokenId> {
    site.app.my_tokens(user).await.expect("a list").iter().map(|token| token.row.token_id).collect()
}

#[tokio::test]
async fn a_token_that_is_long_over_leaves_the_list_and_the_memory() {
    let site = TestApp::start_with(&[("KEEP_ENDED_DAYS", "10")]).await;
    let user = site.given_member("ada", &[]).await;
    let lasting = given_token(&site, user, 1_000).await;
    let (expiring, revoked) = (given_token(&site, user, 5).await, given_token(&site, user, 1_000).await);
    site.clock.advance(Duration::days(8));
    site.app.revoke_my_token(&by(user), user, revoked).await.expect("revoked");
    site.app.look_after().await.expect("a round");
    assert_eq!(listed(&site, user).await.len(), 3, "over, but not for long");
    site.clock.advance(Duration::days(8));
    site.app.look_after().await.expect("a round");
    assert_eq!(listed(&site, user).await, BTreeSet::from([revoked, lasting]));
    assert_eq!(site.app.state.token_count(), 2);
    assert!(site.app.token(expiring).await.is_err());
    site.clock.advance(Duration::days(3));
    site.app.look_after().await.expect("a round");
    assert_eq!(listed(&site, user).await, BTreeSet::from([lasting]));
    assert_eq!(site.app.state.token_count(), 1);
    site.clock.advance(Duration::days(2_000));
    let site = site.restart().await;
    assert_eq!(site.app.state.token_count(), 1, "a start purges nothing by itself");
}

#[tokio::test]
async fn more_dead_rows_than_one_job_takes_go_in_one_round_while_others_write() {
    let site = TestApp::start().await;
    let user = site.given_member("ada", &[]).await;
    for _ in 0..600 {
        given_token(&site, user, 1).await;
    }
    site.clock.advance(Duration::days(100));
    let app = site.app.clone();
    let writes = tokio::spawn(async move {
        for number in 0..40 {
            app.publish(&by(user), user, &format!("Post {number}"), "", "Words").await.expect("a post");
        }
    });
    site.app.look_after().await.expect("a round");
    writes.await.expect("no panic");
    assert_eq!((listed(&site, user).await.len(), site.app.state.token_count()), (0, 0));
}

#[tokio::test]
async fn a_rescinded_authorization_leaves_and_can_be_granted_again() {
    let site = TestApp::start_with(&[("KEEP_ENDED_DAYS", "1")]).await;
    let (owner, _, id) = site.given_approved().await;
    let user = site.given_member("ben", &[]).await;
    let client_id = site.app.my_application(owner, id).await.expect("there").client_id.expect("approved");
    let authorize = || async {
        let request = ConsentRequest { client_id: client_id.to_string(), ..ConsentRequest::default() };
        let page = site.app.consent_page(&request).await.expect("a page");
        let ConsentPage::Ask(consent) = page else { panic!("it asks") };
        let browser = site.app.begin_session(user).await.expect("a session");
        let signed_in = site.app.signed_in(&browser).await.expect("a vault").expect("signed in");
        let nonce = site.app.consent_nonce(&signed_in, &consent);
        let redirect = site.app.authorize(&by(user), &signed_in, &consent, &nonce).await.expect("authorized").answer;
        redirect.rsplit_once("access_token=").expect("a token").1.to_owned()
    };
    let old = authorize().await;
    site.app.check_token(&old).expect("it is good");
    site.app.remove_authorization(&by(user), user, id).await.expect("rescinded");
    site.clock.advance(Duration::days(3));
    site.app.look_after().await.expect("a round");
    let of_user = |rows: Vec<countersign::store::rows::AuthorizationRow>| rows.iter().any(|row| row.user_id == user);
    assert!(!of_user(site.app.models.authorizations(None, 100).await.expect("rows")));
    assert!(site.app.check_token(&old).is_err());
    let new = authorize().await;
    site.app.check_token(&new).expect("it is good");
    assert!(site.app.check_token(&old).is_err(), "tokens of an earlier grant stay dead");
}

#[tokio::test]
async fn the_outcome_of_a_command_is_forgotten_after_days_and_not_before() {
    let site = TestApp::start().await;
    let user = site.given_member("ada", &[]).await;
    site.app.publish(&named(user, "first", 1), user, "Title", "", "Words").await.expect("a post");
    let key = CommandKey { scope: format!("user:{user} test"), id: "first".to_owned() };
    site.clock.advance(Duration::hours(47));
    site.app.look_after().await.expect("a round");
    assert!(site.app.log.outcome(&key).await.expect("a log").is_some());
    site.clock.advance(Duration::hours(2));
    site.app.look_after().await.expect("a round");
    assert_eq!(site.app.log.outcome(&key).await.expect("a log"), None);
}

#[tokio::test]
async fn the_cut_off_only_moves_forward_also_under_a_clock_that_went_back() {
    let place = Database::of_this_run().place().await;
    let Opened { models: store, mut writer, .. } = place.store().await.expect("a store");
    let at = |seconds| Timestamp::from_timestamp(seconds, 0).expect("an instant");
    assert_eq!(store.cut_off().await.expect("one"), at(0));
    for (raised, then) in [(500, 500), (400, 500), (500, 500), (501, 501)] {
        writer.raise_cut_off(at(raised)).await.expect("raised");
        assert_eq!(store.cut_off().await.expect("one"), at(then));
    }
}

#[tokio::test]
async fn a_site_where_nothing_is_over_is_left_as_it_is() {
    let site = TestApp::start().await;
    let admin = site.given_member("rob", &[Role::Admin]).await;
    given_token(&site, admin, 1).await;
    site.app.look_after().await.expect("a round");
    assert_eq!(listed(&site, admin).await.len(), 1);
    let cut_off = site.app.models.cut_off().await.expect("one");
    assert!(cut_off <= site.app.now() - Duration::days(90) && cut_off > site.app.now() - Duration::days(91));
}

/// An id as of a clock: those of one moment are in no order.
fn id(number: u32) -> Uuid {
    let hash = blake3::hash(&number.to_le_bytes());
    let random = u32::from_le_bytes(hash.as_bytes()[..4].try_into().expect("four bytes"));
    Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 | (u128::from(number / 3) << 80) | u128::from(random))
}

/// No two are alike in their first sixteen letters.
fn name(number: u32) -> String {
    let length = 16 + number as usize * 7 % 20;
    blake3::hash(&number.to_le_bytes()).to_hex()[..length].to_owned()
}

fn joins(number: u32) -> Change {
    let texts = [("username", name(number)), ("username_digest", format!("{number:032}"))];
    let set = ACCOUNTS.columns.iter().map(|column| {
        let known = texts.iter().find(|(known, _)| *known == column.name).map(|(_, text)| text.as_str().into());
        let other = if column.kind == Kind::Integer { 0_i64.into() } else { change::id(id(number)) };
        (column.name, known.unwrap_or(other))
    });
    Change::Upsert { table: &ACCOUNTS, key: vec![change::id(id(number))], set: set.collect() }
}

fn becomes(number: u32, set: Vec<(&'static str, change::Value)>) -> Change {
    Change::Patch { table: &ACCOUNTS, key: vec![change::id(id(number))], set }
}

/// Rows of other lengths than before make pages split and rows move; what was a name's place is overwritten each time.
#[tokio::test]
async fn sqlite_a_name_that_is_made_null_leaves_no_byte_in_the_logs_database() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = SqliteStore::open(dir.path()).await.expect("a store");
    let mut writer = store.writer().expect("the writer");
    writer.reset_inline(&accounts::PROJECTION).await.expect("tables");
    let members = 2_000;
    let mut batches = vec![];
    for number in 0..members {
        batches.push(vec![joins(number)]);
        if number % 5 == 0 {
            batches.push(vec![becomes(number / 2, vec![("standing", "suspended for a good while".into())])]);
        }
    }
    let erased: Vec<_> = (0..members).filter(|number| number % 7 == 0).collect();
    let forget = |number: &u32| vec![becomes(*number, vec![("username", change::Value::Null)])];
    for changes in batches.into_iter().chain(erased.iter().map(forget)) {
        let head = writer.begin(&[]).await.expect("begun").head;
        writer.apply(changes).await.expect("applied");
        writer.commit(head).await.expect("committed");
    }
    assert!(writer.truncate().await.expect("it answers"), "no reader is in the way");
    assert_eq!(std::fs::metadata(dir.path().join("log.db-wal")).expect("a file").len(), 0);
    let bytes = std::fs::read(dir.path().join("log.db")).expect("a file");
    let windows: HashSet<&[u8]> = bytes.windows(16).collect();
    let is_there = |number: &u32| windows.contains(&name(*number).as_bytes()[..16]);
    assert!((0..members).filter(|number| number % 7 != 0).all(|number| is_there(&number)), "the search finds names");
    assert!(!erased.iter().any(is_there));
}

#[tokio::test]
async fn postgres_generations_that_nothing_points_at_go_in_the_next_round_unless_somebody_builds_them() {
    if !Database::Postgres.require() {
        return;
    }
    let site = TestApp::start_in(Database::Postgres, &[]).await;
    site.settle().await;
    // Left over by a rebuild, and by a check of a read model that has no generations else.
    let mut tool = site.home.log().await;
    tool.run("create schema countersign_inbox_7; create schema countersign_tokens_1099511627776").await;
    tool.run("select pg_advisory_lock(hashtext('countersign build'), hashtext('inbox 1'))").await;
    let generations = async || (site.home.generations("inbox").await, site.home.generations("tokens").await.len());
    for left in [(vec![1, 7], 1), (vec![1, 7], 0)] {
        site.app.look_after().await.expect("a round");
        assert_eq!(generations().await, left);
    }
    tool.run("select pg_advisory_unlock(hashtext('countersign build'), hashtext('inbox 1'))").await;
    site.app.look_after().await.expect("a round");
    assert_eq!(generations().await, (vec![1], 0));
}

#[tokio::test]
async fn postgres_generations_of_another_release_go_when_nobody_has_followed_them_for_a_day() {
    if !Database::Postgres.require() {
        return;
    }
    let site = TestApp::start_in(Database::Postgres, &[]).await;
    site.given_member("ben", &[]).await;
    site.settle().await;
    let head = site.app.head().await.expect("a head").position.0;
    let mut tool = site.home.log().await;
    // As releases before and after this one leave them: one at the end of the log, one that lacks an event.
    for (generation, revision, position) in [(7, 1000, head), (8, 1001, head - 1)] {
        tool.run(&format!("create schema countersign_inbox_{generation}")).await;
        let row = format!("insert into countersign.generations values ('inbox', {revision}, {generation})");
        tool.run(&row).await;
        tool.run(&format!("insert into countersign.cursors values ('inbox', {generation}, 1, {position})")).await;
    }
    let after = async |round: &str| {
        site.app.look_after().await.unwrap_or_else(|error| panic!("{round}: {error}"));
        site.app.look_after().await.unwrap_or_else(|error| panic!("{round}: {error}"));
        site.home.generations("inbox").await
    };
    assert_eq!(after("at once").await, [1, 7, 8], "an upgrade may be under way");
    site.clock.advance(chrono::Duration::hours(25));
    assert_eq!(after("a day later").await, [1, 7], "what is at the end of the log lacks nothing");
    site.given_member("eve", &[]).await;
    assert_eq!(after("after another event").await, [1, 7], "it is young");
    site.clock.advance(chrono::Duration::hours(25));
    assert_eq!(after("a day after that").await, [1]);
    site.settle().await;
    assert_eq!(site.home.generations("inbox").await, [1], "its own is followed, and stays");
}
