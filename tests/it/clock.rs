//! A clock that is wrong: nothing is destroyed by it, nothing that expired lives again, nothing lives for ever.

use chrono::TimeDelta;
use countersign::store::CommandKey;
use countersign_events::ids::UserId;

use crate::support::{TestApp, by, named};

/// How far clocks are off when they are.
const STEPS: [TimeDelta; 5] =
    [TimeDelta::days(3), TimeDelta::days(8), TimeDelta::days(31), TimeDelta::days(3 * 365), TimeDelta::days(-3 * 365)];

async fn given_token(site: &TestApp, user: UserId) -> String {
    let scopes = "read".parse().expect("a scope");
    site.app.issue_token(&by(user), user, scopes, None).await.expect("a token").answer.1
}

#[tokio::test]
async fn a_clock_that_jumps_for_a_minute_ends_nothing() {
    let site = TestApp::start().await;
    let user = site.given_member("ada", &[]).await;
    let token = given_token(&site, user).await;
    site.app.publish(&named(user, "once", 1), user, "Title", "", "Words").await.expect("a post");
    let key = CommandKey { scope: format!("user:{user} test"), id: "once".to_owned() };
    for step in STEPS {
        site.clock.step(step);
        for _ in 0..2 {
            site.clock.advance(TimeDelta::seconds(40));
            site.app.look_after().await.expect("a round");
        }
        site.clock.step(-step);
        site.app.look_after().await.expect("a round");
        site.app.check_token(&token).unwrap_or_else(|error| panic!("{step}: {error}"));
        assert!(site.app.log.outcome(&key).await.expect("a log").is_some(), "{step}");
    }
    assert!(site.app.models.cut_off().await.expect("one") < site.app.now());
}
