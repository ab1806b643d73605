//! A clock that is wrong: nothing is destroyed by it, nothing that expired lives again, nothing lives for ever. Every job and
//! every credential, on both databases, by a clock that the test moves.

use chrono::TimeDelta;
use countersign::{
    app::{
        AppError,
        authorizations::{Consent, ConsentPage, ConsentRefusal, ConsentRequest},
        sessions::{BrowserKey, SignedIn},
        tokens::BearerError,
    },
    store::{CommandKey, ReviewFilter, StoreError, Vault},
    token_state::TokenError,
};
use countersign_events::{
    account::Role,
    authorization::TokenRefusal,
    ids::{ApplicationId, UserId},
};

use crate::{
    databases::{Database, on_both_databases},
    support::{TestApp, by, named},
};

on_both_databases! {
    a_clock_that_jumps_while_the_site_runs_ends_nothing,
    a_start_under_a_wrong_clock_ends_nothing,
    a_start_under_a_dead_clock_issues_tokens_that_last,
    a_site_that_was_off_for_sixty_days_works_at_once_and_destroys_a_day_later,
    a_clock_that_somebody_accepts_ends_what_is_over_and_no_repeat_happens_twice,
    everything_ends_in_its_time,
    the_cut_off_can_be_lowered_and_not_raised,
}

/// How far clocks are off when they are.
const STEPS: [TimeDelta; 5] =
    [TimeDelta::days(3), TimeDelta::days(8), TimeDelta::days(31), TimeDelta::days(3 * 365), TimeDelta::days(-3 * 365)];

/// A site with one of everything that ends by time.
struct Scene {
    site: TestApp,
    user: UserId,
    owner: UserId,
    /// Lasts a year.
    token: String,
    /// Has expired.
    expired: String,
    /// The client id that the application had whose token waits in its owner's inbox.
    former: String,
    claimed: ApplicationId,
    key: CommandKey,
    browser: BrowserKey,
    reset: String,
    nonce: (SignedIn, Consent, String),
}

async fn issued(site: &TestApp, user: UserId, days: Option<i64>) -> String {
    let scopes = "read".parse().expect("a scope");
    site.app.issue_token(&by(user), user, scopes, days.map(TimeDelta::days)).await.expect("a token").answer.1
}

impl Scene {
    async fn given(database: Database) -> Self {
        let site = TestApp::start_in(database, &[]).await;
        let user = site.given_member("ada", &[]).await;
        let expired = issued(&site, user, Some(1)).await;
        site.app.look_after().await.expect("a round");
        site.clock.advance(TimeDelta::days(2));
        site.app.look_after().await.expect("a round");
        let (owner, reviewer, approved) = site.given_approved().await;
        let claimed = site.given_request(owner, "Sorter").await;
        let anything = ReviewFilter {
            waiting: true,
            newest_first: false,
            standing: None,
            purpose: None,
            scope: None,
            owner: None,
            claimed_by: None,
            unclaimed: false,
            waiting_before: None,
            not_waiting_before: None,
            now: site.app.now(),
            after: None,
            limit: 10,
        };
        let next = site.app.claim_next(&by(reviewer), reviewer, &anything).await.expect("a claim").answer;
        assert_eq!(next, Some(claimed));
        let former = site.app.my_application(owner, approved).await.expect("there").client_id.expect("approved");
        site.app.rotate_client_id(&by(owner), owner, approved, None).await.expect("another");
        let client = site.app.my_application(owner, approved).await.expect("there").client_id.expect("approved");
        site.app.publish(&named(user, "once", 1), user, "Title", "", "Words").await.expect("a post");
        let browser = site.app.begin_session(user).await.expect("a session");
        let request = ConsentRequest { client_id: client.to_string(), ..ConsentRequest::default() };
        let ConsentPage::Ask(consent) = site.app.consent_page(&request).await.expect("a page") else {
            panic!("it asks")
        };
        let signed_in = site.app.signed_in(&browser).await.expect("a vault").expect("signed in");
        let nonce = site.app.consent_nonce(&signed_in, &consent);
        let link = site.app.reset_link(owner).await.expect("a link");
        let scene = Self {
            user,
            owner,
            token: issued(&site, user, None).await,
            expired,
            former: former.to_string(),
            claimed,
            key: CommandKey { scope: format!("user:{user} test"), id: "once".to_owned() },
            browser,
            reset: link.rsplit_once('=').expect("a token").1.to_owned(),
            nonce: (signed_in, *consent, nonce),
            site,
        };
        scene.site.settle().await;
        scene.is_as_before("at the beginning").await;
        scene
    }

    async fn restart(self) -> Self {
        let site = self.site.restart().await;
        site.settle().await;
        Self { site, ..self }
    }

    /// A minute of the running site, with what it does by itself.
    async fn minute(&self) {
        self.site.clock.advance(TimeDelta::seconds(40));
        self.site.app.look_after().await.expect("a round");
        self.site.clock.advance(TimeDelta::seconds(40));
        self.site.app.look_after().await.expect("a round");
    }

    async fn outcome_is_kept(&self) -> bool {
        self.site.app.log.outcome(&self.key).await.expect("a log").is_some()
    }

    async fn is_signed_in(&self) -> bool {
        self.site.app.signed_in(&self.browser).await.expect("a vault").is_some()
    }

    async fn revealed_waits(&self) -> bool {
        self.site.settle().await;
        let waits = self.site.app.held_tokens(self.owner).await.expect("an inbox").len() == 1;
        waits && self.site.app.vault.held_ids().await.expect("a vault").len() == 1
    }

    async fn claim_holds(&self) -> bool {
        let row = self.site.app.models.application(self.claimed).await.expect("a row").expect("it is there");
        row.claim.is_some_and(|claim| claim.until() > self.site.app.now())
    }

    async fn is_rotated(&self) -> bool {
        let request = ConsentRequest { client_id: self.former.clone(), ..ConsentRequest::default() };
        let page = self.site.app.consent_page(&request).await.expect("a page");
        matches!(page, ConsentPage::Refuse(ConsentRefusal::Rotated { .. }))
    }

    /// What has expired does not live, whatever the clock says.
    async fn nothing_lives_again(&self, when: &str) {
        let checked = self.site.app.authenticate(&self.expired).await;
        assert!(!matches!(checked, Ok(Ok(_))), "{when}: it expired");
    }

    /// Every credential is good, and nothing was destroyed.
    async fn is_as_before(&self, when: &str) {
        let app = &self.site.app;
        let checked = app.authenticate(&self.token).await.unwrap_or_else(|error| panic!("{when}: {error}"));
        checked.unwrap_or_else(|error| panic!("{when}: {error}"));
        let expired = app.check_token(&self.expired).expect_err("it has expired");
        assert_eq!(expired, BearerError::Invalid(TokenError::Refused(TokenRefusal::Expired)), "{when}");
        assert!(self.outcome_is_kept().await, "{when}: the outcome");
        let again = app.publish(&named(self.user, "once", 1), self.user, "Title", "", "Words").await;
        assert!(again.expect("the first answer").repeated.is_some(), "{when}: no second post");
        assert!(self.is_signed_in().await, "{when}: the session");
        assert!(self.revealed_waits().await, "{when}: the held token");
        app.link(&self.reset).await.unwrap_or_else(|error| panic!("{when}: the link: {error}"));
        assert!(self.claim_holds().await, "{when}: the claim");
        assert!(self.is_rotated().await, "{when}: the former client id");
        assert!(app.models.cut_off().await.expect("one") < app.now(), "{when}: the cut-off");
        assert!(!app.world.judgement().in_doubt(), "{when}: no doubt");
        self.nothing_lives_again(when).await;
    }

    /// The page that was opened in the beginning is answered: after it, it is used up.
    async fn consents(&self, when: &str) {
        let (signed_in, consent, nonce) = &self.nonce;
        let done = self.site.app.authorize(&by(self.user), signed_in, consent, nonce).await;
        done.unwrap_or_else(|error| panic!("{when}: the page: {error}"));
    }
}

async fn a_clock_that_jumps_while_the_site_runs_ends_nothing(database: Database) {
    let scene = Scene::given(database).await;
    for step in STEPS {
        let when = format!("by {} days", step.num_days());
        scene.site.clock.step(step);
        scene.minute().await;
        let app = &scene.site.app;
        assert!(app.world.judgement().in_doubt(), "{when}");
        scene.nothing_lives_again(&when).await;
        let checked = app.authenticate(&scene.token).await;
        if step > TimeDelta::days(366) {
            assert!(matches!(checked, Err(AppError::ClockInDoubt)), "{when}");
        } else {
            checked.expect("it can be said").unwrap_or_else(|error| panic!("{when}: {error}"));
        }
        // What an hour ends is in doubt where the clock went ahead; whoever logs in again is let in.
        let link = app.link(&scene.reset).await;
        assert_eq!(matches!(link, Err(AppError::ClockInDoubt)), step > TimeDelta::zero(), "{when}: {link:?}");
        let again = app.begin_session(scene.user).await.expect("a session");
        assert!(app.signed_in(&again).await.expect("a vault").is_some(), "{when}: a new session");
        scene.site.clock.step(-step);
        scene.minute().await;
        scene.is_as_before(&format!("after {when}")).await;
    }
    scene.consents("in the end").await;
}

async fn a_start_under_a_wrong_clock_ends_nothing(database: Database) {
    for step in STEPS {
        let mut scene = Scene::given(database).await;
        let when = format!("by {} days", step.num_days());
        scene.site.clock.step(step);
        // Twice: what the first start read is no proof for the second.
        for _ in 0..2 {
            scene = scene.restart().await;
            scene.minute().await;
            scene.nothing_lives_again(&when).await;
            assert!(scene.outcome_is_kept().await, "{when}: the outcome");
            assert!(scene.revealed_waits().await || step > TimeDelta::days(7), "{when}: the held token");
        }
        scene.site.clock.step(-step);
        scene = scene.restart().await;
        scene.minute().await;
        if step == TimeDelta::days(3) {
            // That may have been a long weekend, so it was believed: what ends within hours has ended.
            assert!(scene.outcome_is_kept().await && scene.revealed_waits().await, "{when}");
            scene.site.app.check_token(&scene.token).expect("it lasts a year");
        } else {
            scene.is_as_before(&format!("after {when}")).await;
            scene.consents(&when).await;
        }
    }
}

async fn a_start_under_a_dead_clock_issues_tokens_that_last(database: Database) {
    let mut scene = Scene::given(database).await;
    scene.site.clock.step(TimeDelta::days(-20 * 365));
    scene = scene.restart().await;
    scene.minute().await;
    let token = issued(&scene.site, scene.user, None).await;
    scene.minute().await;
    scene.site.app.check_token(&token).expect("it lasts a year");
    scene.site.clock.step(TimeDelta::days(20 * 365));
    for _ in 0..10 {
        scene.minute().await;
    }
    scene.site.app.check_token(&token).expect("it lasts a year");
    assert!(!scene.site.app.world.judgement().in_doubt());
}

async fn a_site_that_was_off_for_sixty_days_works_at_once_and_destroys_a_day_later(database: Database) {
    let mut scene = Scene::given(database).await;
    scene.site.clock.step(TimeDelta::days(60));
    scene = scene.restart().await;
    scene.site.app.look_after().await.expect("a round");
    let app = scene.site.app.clone();
    assert!(!app.world.judgement().in_doubt());
    app.check_token(&scene.token).expect("it lasts a year");
    assert!(!scene.is_signed_in().await, "a session lasts thirty days");
    assert!(matches!(app.link(&scene.reset).await, Err(AppError::LinkEnded)));
    let (_, browser) = app.log_in(&by(scene.user), "ada", "correct horse battery").await.expect("a log-in");
    assert!(app.signed_in(&browser).await.expect("a vault").is_some());
    app.publish(&named(scene.user, "later", 2), scene.user, "Title", "", "Words").await.expect("a post");
    assert_eq!(app.vault.held_ids().await.expect("a vault").len(), 1, "nothing is destroyed yet");
    scene.site.clock.advance(TimeDelta::hours(25));
    app.look_after().await.expect("a round");
    assert_eq!(app.vault.held_ids().await.expect("a vault").len(), 0, "it waited for seven days");
}

async fn a_clock_that_somebody_accepts_ends_what_is_over_and_no_repeat_happens_twice(database: Database) {
    let scene = Scene::given(database).await;
    let app = scene.site.app.clone();
    let caller = by(scene.user);
    assert!(!app.accept_clock(&caller).await.expect("no doubt").happened, "there is nothing to accept");
    scene.site.clock.step(TimeDelta::days(-8));
    assert!(matches!(app.accept_clock(&caller).await, Err(AppError::ClockBehind(_))));
    scene.site.clock.step(TimeDelta::days(16));
    scene.minute().await;
    assert!(scene.revealed_waits().await);
    assert!(app.accept_clock(&caller).await.expect("it is ahead").happened);
    assert!(!app.world.judgement().in_doubt() && !app.world.judgement().destroying_waits());
    scene.minute().await;
    assert!(!scene.revealed_waits().await, "seven days are over");
    assert!(scene.outcome_is_kept().await, "no two days have passed");
    let again = app.publish(&named(scene.user, "once", 1), scene.user, "Title", "", "Words").await;
    assert!(again.expect("the first answer").repeated.is_some());
    let scene = scene.restart().await;
    assert!(!scene.site.app.world.judgement().in_doubt(), "it is stored");
    scene.site.app.check_token(&scene.token).expect("it lasts a year");
}

async fn everything_ends_in_its_time(database: Database) {
    let scene = Scene::given(database).await;
    for step in STEPS {
        scene.site.clock.step(step);
        scene.minute().await;
        scene.site.clock.step(-step);
        scene.minute().await;
    }
    let app = scene.site.app.clone();
    scene.site.clock.advance(TimeDelta::days(400));
    for _ in 0..3 {
        scene.minute().await;
    }
    scene.site.settle().await;
    app.look_after().await.expect("a round");
    let expired = app.check_token(&scene.token).expect_err("a year is over");
    assert_eq!(expired, BearerError::Invalid(TokenError::Refused(TokenRefusal::Expired)));
    assert_eq!(
        app.check_token(&scene.expired).expect_err("long over"),
        BearerError::Invalid(TokenError::Unknown),
        "its row has left"
    );
    assert!(!scene.outcome_is_kept().await && !scene.is_signed_in().await && !scene.revealed_waits().await);
    assert!(matches!(app.link(&scene.reset).await, Err(AppError::LinkEnded)));
    let (signed_in, consent, nonce) = &scene.nonce;
    let page = app.authorize(&by(scene.user), signed_in, consent, nonce).await;
    assert!(matches!(page, Err(AppError::ConsentEnded)));
    assert!(!scene.claim_holds().await && !scene.is_rotated().await);
    assert_eq!(rows_of(&*app.vault, scene.browser.digest()).await.expect("a vault"), 0, "the session's row has left");
}

async fn rows_of(vault: &dyn Vault, session: [u8; 32]) -> Result<usize, StoreError> {
    Ok(usize::from(vault.session(session).await?.is_some()))
}

async fn the_cut_off_can_be_lowered_and_not_raised(database: Database) {
    let site = TestApp::start_in(database, &[]).await;
    let operator = site.given_member("ada", &[Role::Admin]).await;
    let token = issued(&site, operator, None).await;
    // As a clock three years ahead left it before there was time for destroying.
    let far = site.app.now() + TimeDelta::days(3 * 365);
    let mut log = site.home.log().await;
    log.run(&format!("update cut_off set instant = {}", far.timestamp_micros())).await;
    site.app.look_after().await.expect("a round");
    site.app.check_token(&token).expect_err("its row has left");
    let back = site.app.now() - TimeDelta::days(90);
    assert!(site.app.lower_cut_off(&by(operator), back).await.expect("lowered").happened);
    assert_eq!(site.app.cut_off().await.expect("one"), back);
    assert!(!site.app.lower_cut_off(&by(operator), far).await.expect("nothing").happened);
    assert_eq!(site.app.cut_off().await.expect("one"), back);
    // Built anew, as `projections rebuild tokens` does while the site is stopped.
    log.run("delete from inline_models where name = 'tokens'").await;
    let site = site.restart().await;
    site.app.look_after().await.expect("a round");
    site.app.check_token(&token).expect("it lasts a year");
}
