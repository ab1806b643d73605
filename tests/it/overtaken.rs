//! Commands that something else overtakes: their member is suspended or erased between their plan and their append; a
//! second one like them is done before the first has tidied up behind itself; the same one comes twice.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use countersign::{
    app::{
        App, AppError, Caller,
        applications::{Changes, Edit, Request},
        audit::Filter,
        authorizations::{Consent, ConsentPage, ConsentRequest},
        reviews::{Verb, Verdict},
        sessions::SignedIn,
    },
    store::ReviewFilter,
};
use countersign_events::{
    account::Role,
    application::Seen,
    ids::{ApplicationId, MessageId, PostId, TokenId, UserId},
    post::Direction,
    recorded::Position,
    site::ExportFormat,
};
use tokio::task::JoinHandle;

use crate::{
    databases::{Database, Tool, on_both_databases},
    review_scene::ROOMY,
    support::{TestApp, by, named},
};

on_both_databases! {
    nothing_is_appended_for_a_member_who_is_suspended_whatever_they_ask_for,
    a_token_that_is_issued_twice_under_one_name_is_one_token_and_works,
}

/// Everything that a member can ask for, in an order in which each is possible after those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Publish,
    Comment,
    Vote,
    Send,
    MarkRead,
    MarkAllRead,
    Reveal,
    Request,
    Edit,
    Withdraw,
    Resubmit,
    Appeal,
    WithdrawChange,
    Rotate,
    Regenerate,
    Revoke,
    Agree,
    Refuse,
    RemoveOne,
    RemoveAll,
    ClaimNext,
    Decide,
    Export,
}

impl Deed {
    const ALL: [Self; 23] = [
        Self::Publish,
        Self::Comment,
        Self::Vote,
        Self::Send,
        Self::MarkRead,
        Self::MarkAllRead,
        Self::Reveal,
        Self::Request,
        Self::Edit,
        Self::Withdraw,
        Self::Resubmit,
        Self::Appeal,
        Self::WithdrawChange,
        Self::Rotate,
        Self::Regenerate,
        Self::Revoke,
        Self::Agree,
        Self::Refuse,
        Self::RemoveOne,
        Self::RemoveAll,
        Self::ClaimNext,
        Self::Decide,
        Self::Export,
    ];

    /// The doors behind which it is.
    const fn doors(self) -> &'static [&'static str] {
        match self {
            Self::Publish => &["POST /posts", "POST /api/v1/posts"],
            Self::Comment => &["POST /posts/{id}/comments", "POST /api/v1/posts/{id}/comments"],
            Self::Vote => &["POST /posts/{id}/votes", "POST /api/v1/posts/{id}/votes"],
            Self::Send => &["POST /inbox", "POST /api/v1/messages"],
            Self::MarkRead => &["POST /notifications/read", "POST /api/v1/notifications/read"],
            Self::MarkAllRead => &["POST /inbox/read"],
            Self::Reveal => &["POST /inbox/{id}/reveal", "POST /api/v1/messages/{id}/reveal"],
            Self::Request => &["POST /settings/apps", "POST /api/v1/applications"],
            Self::Edit => &["POST /settings/apps/{id}/edit", "PATCH /api/v1/applications/{id}"],
            Self::Withdraw => &["POST /settings/apps/{id}/withdraw", "POST /api/v1/applications/{id}/withdraw"],
            Self::Resubmit => &["POST /settings/apps/{id}/resubmit", "POST /api/v1/applications/{id}/resubmit"],
            Self::Appeal => &["POST /settings/apps/{id}/appeal", "POST /api/v1/applications/{id}/appeal"],
            Self::WithdrawChange => {
                &["POST /settings/apps/{id}/withdraw-change", "POST /api/v1/applications/{id}/withdraw-change"]
            }
            Self::Rotate => {
                &["POST /settings/apps/{id}/rotate-client-id", "POST /api/v1/applications/{id}/rotate-client-id"]
            }
            Self::Regenerate => &["POST /settings/tokens/{id}/regenerate", "POST /api/v1/tokens/{id}/regenerate"],
            Self::Revoke => &["POST /settings/tokens/{id}/revoke", "DELETE /api/v1/tokens/{id}"],
            Self::Agree | Self::Refuse => &["POST /authorize"],
            Self::RemoveOne => &["POST /settings/authorizations/{id}/remove", "DELETE /api/v1/authorizations/{id}"],
            Self::RemoveAll => &["POST /settings/authorizations/remove", "DELETE /api/v1/authorizations"],
            Self::ClaimNext => &["POST /admin/apps/claim-next"],
            Self::Decide => &["POST /admin/apps/{id}/{verb}", "POST /api/v1/review/{id}/{verb}"],
            Self::Export => &["POST /admin/audit.csv", "POST /admin/audit.json"],
        }
    }
}

#[test]
fn every_door_through_which_a_member_changes_something_is_a_deed_here() {
    let doors = include_str!("routes.txt").lines().filter_map(|line| {
        let (door, who) = line.split_at_checked(50)?;
        let door = door.split_whitespace().collect::<Vec<_>>().join(" ");
        (!door.starts_with("GET ") && who.trim() != "anyone").then_some(door)
    });
    let deeds: BTreeSet<_> = Deed::ALL.iter().flat_map(|deed| deed.doors()).map(|door| (*door).to_owned()).collect();
    assert_eq!(doors.collect::<BTreeSet<_>>(), deeds);
}

/// A member with something of everything, as another node knows them.
struct Scene {
    node: Arc<App>,
    member: UserId,
    post: PostId,
    message: MessageId,
    open: ApplicationId,
    returned: ApplicationId,
    denied: ApplicationId,
    changed: ApplicationId,
    approved: ApplicationId,
    waits: ApplicationId,
    theirs: ApplicationId,
    tokens: Vec<TokenId>,
    signed_in: SignedIn,
    consent: Box<Consent>,
}

impl Scene {
    async fn of(site: &TestApp, node: &Arc<App>, others: &Others, name: &str) -> Self {
        let app = &site.app;
        let member = site.given_member(name, &[Role::Reviewer, Role::Auditor]).await;
        let open = site.given_request(member, "Open").await;
        let mut decided = vec![];
        for verb in [Verb::RequestChanges, Verb::Deny, Verb::Approve, Verb::Approve] {
            let id = site.given_request(member, "Decided").await;
            site.decide(others.admin, id, verb).await;
            decided.push(id);
        }
        let change = Changes { name: Some("Renamed".to_owned()), ..Changes::default() };
        app.edit_application(&by(member), member, decided[2], Edit::fields(change)).await.expect("a change waits");
        let waits = site.given_request(others.owner, "Waits").await;
        let request = ConsentRequest { client_id: others.client.clone(), ..ConsentRequest::default() };
        let ConsentPage::Ask(consent) = app.consent_page(&request).await.expect("a page") else { panic!("it asks") };
        let browser = app.begin_session(member).await.expect("a session");
        let signed_in = app.signed_in(&browser).await.expect("a vault").expect("signed in");
        let nonce = app.consent_nonce(&signed_in, &consent);
        app.authorize(&by(member), &signed_in, &consent, &nonce).await.expect("authorized");
        let tokens = app.my_tokens(member).await.expect("a store").into_iter();
        let own = |token: &countersign::app::tokens::MyToken| decided.contains(&token.row.application_id);
        let tokens = tokens.filter(own).map(|token| token.row.token_id).collect();
        site.settle().await;
        let message = app.held_tokens(member).await.expect("an inbox").first().expect("a token waits").message_id;
        // The last event of the scene, so that the node has heard of the others.
        let last = site.given_member(&format!("{name}-last"), &[]).await;
        while node.state.member(last).is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Self {
            node: node.clone(),
            member,
            post: others.post,
            message: MessageId(message),
            open,
            returned: decided[0],
            denied: decided[1],
            changed: decided[2],
            approved: decided[3],
            waits,
            theirs: others.application,
            tokens,
            signed_in,
            consent,
        }
    }

    async fn does(&self, deed: Deed) -> Result<(), AppError> {
        let (app, member, caller) = (&self.node, self.member, &by(self.member));
        let changes = |name: &str| Edit::fields(Changes { name: Some(name.to_owned()), ..Changes::default() });
        match deed {
            Deed::Publish => app.publish(caller, member, "A title", "", "A text").await.map(drop),
            Deed::Comment => app.comment(caller, member, self.post, None, "A comment").await.map(drop),
            Deed::Vote => app.vote(caller, member, self.post, Direction::Up).await.map(drop),
            Deed::Send => app.send_message(caller, member, "owner", "A title", "A text").await.map(drop),
            Deed::MarkRead => app.mark_read(caller, member, &[self.message.0]).await.map(drop),
            Deed::MarkAllRead => app.mark_all_read(caller, member, Position(u64::MAX >> 1)).await.map(drop),
            Deed::Reveal => app.reveal(caller, member, self.message).await.map(drop),
            Deed::Request => {
                let request = Request { purpose: "personal".to_owned(), name: "Own".to_owned(), ..Request::default() };
                app.request_application(caller, member, app.asked(&request)?).await.map(drop)
            }
            Deed::Edit => app.edit_application(caller, member, self.open, changes("Edited")).await.map(drop),
            Deed::Withdraw => app.withdraw_application(caller, member, self.open, Seen::default()).await.map(drop),
            Deed::Resubmit => {
                app.resubmit_application(caller, member, self.returned, changes("Mended")).await.map(drop)
            }
            Deed::Appeal => app.appeal(caller, member, self.denied, "Look again.").await.map(drop),
            Deed::WithdrawChange => app.withdraw_change(caller, member, self.changed, None).await.map(drop),
            Deed::Rotate => app.rotate_client_id(caller, member, self.approved, None).await.map(drop),
            Deed::Regenerate => app.regenerate_token(caller, member, self.tokens[0]).await.map(drop),
            Deed::Revoke => app.revoke_my_token(caller, member, self.tokens[1]).await.map(drop),
            Deed::Agree => {
                let nonce = app.consent_nonce(&self.signed_in, &self.consent);
                app.authorize(caller, &self.signed_in, &self.consent, &nonce).await.map(drop)
            }
            Deed::Refuse => {
                let nonce = app.consent_nonce(&self.signed_in, &self.consent);
                app.refuse(caller, &self.signed_in, &self.consent, &nonce).await.map(drop)
            }
            Deed::RemoveOne => app.remove_authorization(caller, member, self.theirs).await.map(drop),
            Deed::RemoveAll => app.remove_authorizations(caller, member).await.map(drop),
            Deed::ClaimNext => app.claim_next(caller, member, &anything(app)).await.map(drop),
            Deed::Decide => {
                let verdict = Verdict { revision: 1, reason_code: "other".to_owned(), reason: "No.".to_owned() };
                app.decide_application(caller, member, self.waits, Verb::Deny, &verdict).await.map(drop)
            }
            Deed::Export => app.export(caller, member, &Filter::default(), None, ExportFormat::Csv).await.map(drop),
        }
    }

    /// The types of what this member has appended after a position.
    async fn appended(&self, after: Position) -> Vec<String> {
        let events = self.node.log.read_log(after, 1_000).await.expect("a log").into_iter();
        let theirs = |actor: &countersign_events::recorded::Actor| actor.user() == Some(self.member);
        events.filter(|event| theirs(&event.envelope.actor)).map(|event| event.type_name).collect()
    }
}

/// Whatever waits for a reviewer.
fn anything(app: &App) -> ReviewFilter {
    ReviewFilter {
        waiting: true,
        newest_first: false,
        standing: None,
        purpose: None,
        scope: None,
        owner: None,
        claimed_by: None,
        unclaimed: true,
        waiting_before: None,
        not_waiting_before: None,
        now: app.now(),
        after: None,
        limit: 1,
    }
}

/// The others of a scene.
struct Others {
    admin: UserId,
    owner: UserId,
    application: ApplicationId,
    client: String,
    post: PostId,
}

impl Others {
    async fn of(site: &TestApp) -> Self {
        let admin = site.given_member("rob", &[Role::Admin]).await;
        let owner = site.given_member("owner", &[]).await;
        let application = site.given_request(owner, "Theirs").await;
        site.decide(admin, application, Verb::Approve).await;
        let row = site.app.my_application(owner, application).await.expect("theirs");
        let client = row.client_id.expect("approved").to_string();
        let post = site.app.publish(&by(owner), owner, "A post", "", "").await.expect("published").answer;
        Self { admin, owner, application, client, post }
    }
}

fn is_refused(deed: Deed, answer: &Result<(), AppError>) -> bool {
    match answer {
        Err(AppError::Suspended) => true,
        Err(AppError::RoleMissing(Role::Reviewer)) => matches!(deed, Deed::Decide | Deed::ClaimNext),
        _ => false,
    }
}

async fn nothing_is_appended_for_a_member_who_is_suspended_whatever_they_ask_for(database: Database) {
    let site = TestApp::start_in(database, &[ROOMY]).await;
    let others = Others::of(&site).await;
    let scene = Scene::of(&site, &site.app, &others, "ben").await;
    site.app.suspend_account(&by(others.admin), scene.member).await.expect("suspended");
    let before = site.app.head().await.expect("a head").position;
    for deed in Deed::ALL {
        let answer = scene.does(deed).await;
        assert!(is_refused(deed, &answer), "{deed:?}: {answer:?}");
        assert_eq!(site.app.head().await.expect("a head").position, before, "{deed:?}");
    }
    site.app.reinstate_account(&by(others.admin), scene.member).await.expect("reinstated");
    for deed in Deed::ALL {
        let before = site.app.head().await.expect("a head").position;
        scene.does(deed).await.unwrap_or_else(|error| panic!("{deed:?}: {error}"));
        assert_ne!(scene.appended(before).await, [""; 0], "{deed:?} is nothing that a guard could keep from happening");
        site.settle().await;
    }
}

/// The head of the log, held: every append waits in turn.
struct Held {
    holder: Tool,
    watcher: Tool,
}

impl Held {
    async fn of(site: &TestApp) -> Self {
        let (mut holder, watcher) = (site.home.log().await, site.home.log().await);
        holder.run("begin; select position from head for update").await;
        Self { holder, watcher }
    }

    /// Waits until so many wait, or the last of them has ended without.
    async fn until<T>(&mut self, waiting: i64, last: &JoinHandle<T>) {
        let count = "select count(*) from pg_stat_activity
            where datname = current_database() and wait_event_type = 'Lock'";
        while self.watcher.numbers(count).await[0] < waiting && !last.is_finished() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn free(mut self) {
        self.holder.run("commit").await;
    }
}

/// Two nodes. On one a member is suspended, or erased; on the other they have asked for something by then that is not
/// appended yet.
async fn overtaken(is_erased: bool) {
    if !Database::Postgres.require() {
        return;
    }
    let site = TestApp::start_in(Database::Postgres, &[ROOMY]).await;
    let another = site.another_node(&[ROOMY]).await;
    let others = Others::of(&site).await;
    let mut scene = Arc::new(Scene::of(&site, &another, &others, "ben").await);
    for deed in Deed::ALL {
        if is_erased && deed != Deed::ALL[0] {
            scene = Arc::new(Scene::of(&site, &another, &others, &format!("{deed:?}")).await);
        }
        let (member, admin, app) = (scene.member, others.admin, site.app.clone());
        let key = app.state.member(member).expect("a member").data_key;
        let before = app.head().await.expect("a head").position;
        let mut held = Held::of(&site).await;
        let ending = tokio::spawn(async move {
            if is_erased {
                app.erase_member(&by(admin), member).await
            } else {
                app.suspend_account(&by(admin), member).await
            }
        });
        held.until(1, &ending).await;
        let doing = scene.clone();
        let doing = tokio::spawn(async move { doing.does(deed).await });
        held.until(2, &doing).await;
        held.free().await;
        ending.await.expect("it ends").expect("suspended or erased");
        let answer = doing.await.expect("it ends");
        assert!(answer.is_err(), "{deed:?}: {answer:?}");
        assert_eq!(scene.appended(before).await, [""; 0], "{deed:?}");
        if is_erased {
            assert_eq!(site.app.vault.data_keys_among(&[key]).await.expect("a vault"), [], "{deed:?}");
        } else {
            assert!(is_refused(deed, &answer), "{deed:?}: {answer:?}");
            site.app.reinstate_account(&by(admin), member).await.expect("reinstated");
        }
    }
    another.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_appended_for_who_is_suspended_on_another_node_at_that_moment() {
    overtaken(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_appended_for_who_is_erased_on_another_node_at_that_moment_and_no_key_comes_back() {
    overtaken(true).await;
}

fn token_of(link: &str) -> String {
    link.split_once("token=").expect("a link holds a token").1.to_owned()
}

/// The first of two new passwords is recorded, and stands still before it tidies up, until the second is in force.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_password_that_tidies_up_late_leaves_the_one_after_it_alone() {
    if !Database::Postgres.require() {
        return;
    }
    let site = TestApp::start_in(Database::Postgres, &[]).await;
    let member = site.given_member("cleo", &[]).await;
    let first = token_of(&site.app.reset_link(member).await.expect("a link"));
    let before = site.app.state.member(member).expect("a member").verifier;
    let mut holder = site.home.vault_tables().await;
    holder.run("begin; select digest from links for update").await;
    let app = site.app.clone();
    let late = tokio::spawn(async move {
        app.reset_password(&Caller::system(), &first, "another horse battery", None, false).await
    });
    while site.app.state.member(member).expect("a member").verifier == before {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let second = token_of(&site.app.reset_link(member).await.expect("another link"));
    site.app
        .reset_password(&Caller::system(), &second, "a third horse battery", None, false)
        .await
        .expect("the second");
    let (_, browser) = site.app.log_in(&by(member), "cleo", "a third horse battery").await.expect("it fits");
    holder.run("commit").await;
    late.await.expect("it ends").expect("the first");
    assert!(site.app.signed_in(&browser).await.expect("a vault").is_some(), "the session under the second one lives");
    site.app.log_in(&by(member), "cleo", "a third horse battery").await.expect("the second password is in force");
    for over in ["correct horse battery", "another horse battery"] {
        let refused = site.app.log_in(&by(member), "cleo", over).await;
        assert!(matches!(refused, Err(AppError::WrongPassword)), "{over}: {refused:?}", refused = refused.err());
    }
    let verifiers = site.home.vault_tables().await.numbers("select count(*) from verifiers").await;
    assert_eq!(verifiers, [1]);
}

async fn a_token_that_is_issued_twice_under_one_name_is_one_token_and_works(database: Database) {
    let site = TestApp::start_in(database, &[]).await;
    let member = site.given_member("cleo", &[]).await;
    let scopes = "read".parse().expect("a scope");
    let issue = || async { site.app.issue_token(&named(member, "once", 1), member, scopes, None).await };
    let (first, again) = tokio::join!(issue(), issue());
    let (first, again) = (first.expect("issued").answer, again.expect("the same").answer);
    assert_eq!(first, again);
    assert_eq!(issue().await.expect("the same").answer, first);
    site.app.check_token(&first.1).expect("it works");
    assert_eq!(site.app.my_tokens(member).await.expect("a store").len(), 1);
}
