//! Erasing a member: what stops at once, what no file tells any more, what stays, and what a crash in between leaves
//! to the next start. That rebuilt read models equal live ones all the same is in `rebuild`.

use std::{sync::Arc, time::Duration};

use countersign::{
    app::{
        AppError, Refused, Stores,
        accounts::Joining,
        inbox::Which,
        reviews::{Verb, Verdict},
    },
    keyring::Keyring,
    secrets::RootKey,
    store::{
        StoredEvent, Vault as _,
        sqlite::{SqliteStore, vault::SqliteVault},
    },
    token_state::TokenState,
    world::World,
    writer::{Append, Appended, NewEvent, Writer},
};
use countersign_events::{
    account::{self, AccountEvent, AccountRefusal, AccountStanding, Role},
    application::Standing,
    codec,
    event::Event,
    ids::{ApplicationId, EventId, PostId, UserId},
    post::{self, PostEvent},
    recorded::{Actor, Envelope, Position, StreamName, Version},
    scope::ScopeSet,
    sensitive::Personal,
};

use crate::support::{TestApp, by};

const NAME: &str = "quetzal_of_the_north";
const TITLE: &str = "Titillating tidings";
const URL: &str = "https://unmistakable.example/where";
const BODY: &str = "Bodacious bodies of text";
const COMMENT: &str = "Commendable comments";
const REASON: &str = "Reasonable reasons, in office";
const PASSWORD: &str = "correct horse battery";

/// A member who wrote in every way, beside an administrator and an owner.
struct Scene {
    site: TestApp,
    member: UserId,
    admin: UserId,
    owner: UserId,
    /// Of the owner; the member denied it.
    denied: ApplicationId,
    post: PostId,
}

async fn scene() -> Scene {
    let site = TestApp::start().await;
    let admin = site.given_member("rob", &[Role::Admin]).await;
    let owner = site.given_member("cleo", &[]).await;
    let member = site.given_member(NAME, &[Role::Reviewer]).await;
    let denied = site.given_request(owner, "Reader").await;
    let verdict = Verdict { revision: 1, reason_code: "other".to_owned(), reason: REASON.to_owned() };
    site.app.decide_application(&by(member), member, denied, Verb::Deny, &verdict).await.expect("a decision");
    let post = site.app.publish(&by(member), member, TITLE, URL, BODY).await.expect("a post").answer;
    site.settle().await;
    site.app.comment(&by(member), member, post, None, COMMENT).await.expect("a comment");
    site.settle().await;
    Scene { site, member, admin, owner, denied, post }
}

/// Waits until nothing that is stored holds any of these texts: followers scrub what they wrote after they have caught up.
async fn until_nothing_tells(site: &TestApp, texts: &[&str]) {
    let mut told = vec![];
    for _ in 0..100 {
        told.clear();
        for text in texts {
            let places = site.home.traces(text).await;
            if !places.is_empty() {
                told.push((*text, places));
            }
        }
        if told.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("still there: {told:?}");
}

#[tokio::test]
async fn nothing_stored_tells_what_an_erased_member_was_called_or_wrote_and_their_reasons_stay() {
    let Scene { site, member, admin, owner, denied, post } = scene().await;
    let texts = [NAME, TITLE, URL, BODY, COMMENT];
    for text in texts {
        assert!(!site.home.traces(text).await.is_empty(), "the search finds what is there: {text}");
    }
    site.app.erase_member(&by(admin), member).await.expect("erased");
    site.settle().await;
    until_nothing_tells(&site, &texts).await;
    let shown = site.app.post(post).await.expect("it keeps its place");
    let (comments, _) = site.app.comments_after(post, None, 1).await.expect("it keeps its place");
    assert_eq!((shown.author.as_str(), shown.row.title, shown.row.url, shown.row.body), ("[erased]", None, None, None));
    assert_eq!((comments[0].author.as_str(), &comments[0].row.body), ("[erased]", &None));
    let history = site.app.history(denied).await.expect("a history");
    let reasons: Vec<_> = history.iter().filter_map(|happening| happening.text.as_deref()).collect();
    assert_eq!(reasons, [REASON]);
    assert!(history.iter().any(|happening| happening.sentence.starts_with("[erased] denied")));
    let application = site.app.my_application(owner, denied).await.expect("it is there");
    assert_eq!(site.app.reason_of(&application).await.expect("a log").as_deref(), Some(REASON));
    assert!(site.app.notifications(member, Which::default(), None, 25).await.expect("an inbox").0.is_empty());
    let site = site.restart().await;
    site.settle().await;
    until_nothing_tells(&site, &texts).await;
    assert_eq!(site.app.state.name_of(member), "[erased]");
}

#[tokio::test]
async fn an_erased_member_is_let_in_by_nothing_and_their_name_is_free() {
    let Scene { site, member, admin, .. } = scene().await;
    let scopes: ScopeSet = "read".parse().expect("a scope");
    let (_, token) = site.app.issue_token(&by(admin), member, scopes, None).await.expect("a token").answer;
    let browser = site.app.begin_session(member).await.expect("a session");
    let link = site.app.reset_link(member).await.expect("a link");
    let link = link.split_once("token=").expect("a token").1.to_owned();
    site.app.check_token(&token).expect("it is good");
    site.app.erase_member(&by(admin), member).await.expect("erased");
    assert!(site.app.check_token(&token).is_err());
    assert!(site.app.signed_in(&browser).await.expect("a vault").is_none());
    assert!(site.app.vault.session(browser.digest()).await.expect("a vault").is_none());
    assert!(matches!(site.app.log_in(&by(member), NAME, PASSWORD).await, Err(AppError::WrongPassword)));
    assert!(matches!(site.app.link(&link).await, Err(AppError::LinkEnded)));
    let is_erased =
        |error: Option<AppError>| matches!(error, Some(AppError::Refused(Refused::Account(AccountRefusal::Erased))));
    assert!(is_erased(site.app.reset_link(member).await.err()));
    assert!(is_erased(site.app.issue_token(&by(admin), member, scopes, None).await.err()));
    assert!(is_erased(site.app.grant_role(&by(admin), member, Role::Auditor).await.err()));
    assert!(is_erased(site.app.reinstate_account(&by(admin), member).await.err()));
    let asked = site.app.asked(&countersign::app::applications::Request {
        name: "Late".to_owned(),
        redirect_uri: "https://app.example/cb".to_owned(),
        description: "Late.".to_owned(),
        ..Default::default()
    });
    let asked = asked.expect("it fits");
    assert!(is_erased(site.app.request_application(&by(member), member, asked).await.err()));
    let heir = site.given_member(NAME, &[]).await;
    assert_ne!(heir, member);
    assert_eq!(site.app.log_in(&by(heir), NAME, PASSWORD).await.expect("let in").0, heir);
    assert_eq!(site.app.state.name_of(member), "[erased]");
}

#[tokio::test]
async fn applications_of_an_erased_member_are_withdrawn_where_they_are_not_over_and_their_audience_is_told() {
    let Scene { site, member, admin, owner, denied, .. } = scene().await;
    let approved = site.given_request(member, "Approved").await;
    site.decide(admin, approved, Verb::Approve).await;
    let (open, refused) = (site.given_request(member, "Open").await, site.given_request(member, "Refused").await);
    site.decide(admin, refused, Verb::Deny).await;
    let client_id = site.app.my_application(member, approved).await.expect("there").client_id.expect("approved");
    let request =
        countersign::app::authorizations::ConsentRequest { client_id: client_id.to_string(), ..Default::default() };
    let page = site.app.consent_page(&request).await.expect("a page");
    let countersign::app::authorizations::ConsentPage::Ask(consent) = page else { panic!("it asks") };
    let browser = site.app.begin_session(owner).await.expect("a session");
    let signed_in = site.app.signed_in(&browser).await.expect("a vault").expect("signed in");
    let nonce = site.app.consent_nonce(&signed_in, &consent);
    site.app.authorize(&by(owner), &signed_in, &consent, &nonce).await.expect("authorized");
    let secrets = site.app.vault.held_ids().await.expect("a vault");
    assert_eq!(secrets.len(), 1, "the approval's token waits");
    let head = site.app.head().await.expect("a head").position;
    site.app.erase_member(&by(admin), member).await.expect("erased");
    site.settle().await;
    let appended = site.app.log.read_log(head, 100).await.expect("events");
    let types: Vec<_> = appended.iter().map(|event| event.type_name.as_str()).collect();
    assert_eq!(types, ["UserErased", "UsernameReleased", "ApplicationWithdrawn", "ApplicationWithdrawn"]);
    for (id, of, standing) in [
        (approved, member, Standing::Withdrawn),
        (open, member, Standing::Withdrawn),
        (refused, member, Standing::Denied),
        (denied, owner, Standing::Denied),
    ] {
        assert_eq!(site.app.my_application(of, id).await.expect("there").standing, standing);
    }
    let (told, _) = site.app.notifications(owner, Which::default(), None, 1).await.expect("an inbox");
    assert_eq!((told[0].row.kind.as_str(), told[0].row.application_id), ("authorization_change", Some(approved)));
    assert!(site.app.vault.held_ids().await.expect("a vault").is_empty(), "nobody can reveal it any more");
}

#[tokio::test]
async fn erasing_twice_appends_once_and_the_last_administrator_stays() {
    let Scene { site, member, admin, .. } = scene().await;
    site.app.erase_member(&by(admin), member).await.expect("erased");
    let head = site.app.head().await.expect("a head");
    site.app.erase_member(&by(admin), member).await.expect("nothing new");
    let last = site.app.erase_member(&by(admin), admin).await;
    assert!(matches!(last, Err(AppError::Refused(Refused::Account(AccountRefusal::LastAdministrator)))), "{last:?}");
    let nobody = site.app.erase_member(&by(admin), UserId(uuid::Uuid::from_u128(1))).await;
    assert!(matches!(nobody, Err(AppError::Refused(Refused::Account(AccountRefusal::NotRegistered)))), "{nobody:?}");
    assert_eq!(site.app.head().await.expect("a head"), head);
    let other = site.given_member("dora", &[Role::Admin]).await;
    site.app.erase_member(&by(admin), admin).await.expect("another one is there");
    assert_eq!(site.app.state.admins(), [other]);
}

/// Appends, with nothing of the site running, that a member was erased: what a crash right after the event leaves.
async fn append_only_the_event(site: TestApp, user: UserId) -> TestApp {
    let TestApp { app, clock, home } = site;
    app.stop().await;
    let Stores { log, writer, .. } = home.stores().await;
    let stream = account::stream(user);
    let version = log.read_stream(&stream, Version(0)).await.expect("a stream").len();
    let at = countersign::world::Clock::read(clock.as_ref()).wall;
    let clear = Event::from(AccountEvent::UserErased { user_id: user, at });
    let event = NewEvent {
        event_id: EventId(uuid::Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001)),
        stream: stream.clone(),
        encoded: codec::encode(&clear).expect("it has a form"),
        clear,
        actor: Actor::System,
        on_behalf_of: None,
        client_address: None,
        request_id: None,
        command_id: None,
    };
    let (writer, task) = Writer::start(writer, World::system(), Arc::new(|_| Box::pin(async {})));
    let append = Append { events: vec![event], expected: vec![(stream, Version(version as u64))], command: None };
    assert!(matches!(writer.append(append).await, Ok(Appended::New { .. })));
    drop(writer);
    task.await.expect("it ends");
    drop(log);
    TestApp::start_again(home, clock, codec::CODEC).await
}

#[tokio::test]
async fn a_start_destroys_what_a_crash_right_after_the_event_left() {
    let Scene { site, member, admin, post, .. } = scene().await;
    let application = site.given_request(member, "Approved").await;
    site.decide(admin, application, Verb::Approve).await;
    let browser = site.app.begin_session(member).await.expect("a session");
    let row = site.app.account_named(NAME).await.expect("a member");
    assert!(site.app.vault.data_key(row.data_key).await.expect("a vault").is_some());
    let site = append_only_the_event(site, member).await;
    assert_eq!(site.app.state.member(member).expect("known").facts.standing, AccountStanding::Erased);
    assert!(site.app.vault.data_key(row.data_key).await.expect("a vault").is_none());
    assert!(site.app.vault.verifier(row.verifier).await.expect("a vault").is_none());
    assert!(site.app.vault.session(browser.digest()).await.expect("a vault").is_none());
    assert!(site.app.vault.held_ids().await.expect("a vault").is_empty());
    site.settle().await;
    assert_eq!(site.app.post(post).await.expect("a post").row.body, None);
    until_nothing_tells(&site, &[NAME, TITLE, URL, BODY, COMMENT]).await;
}

/// Posts of which some are appended before the erasure, and the others are refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_member_publishes_while_they_are_erased_is_shown_to_nobody() {
    let Scene { site, member, admin, .. } = scene().await;
    let publishing: Vec<_> = (0..40)
        .map(|number| {
            let app = site.app.clone();
            tokio::spawn(async move {
                match app.publish(&by(member), member, &format!("Race {number}"), "", "Racing words").await {
                    Ok(done) => Some(done.answer),
                    Err(AppError::Refused(Refused::Account(AccountRefusal::Erased))) => None,
                    Err(error) => panic!("{error}"),
                }
            })
        })
        .collect();
    tokio::task::yield_now().await;
    site.app.erase_member(&by(admin), member).await.expect("erased");
    let mut posts = vec![];
    for post in publishing {
        posts.extend(post.await.expect("no panic"));
    }
    site.settle().await;
    for post in posts {
        let row = site.app.post(post).await.expect("a post").row;
        assert_eq!((row.title, row.body), (None, None));
    }
    until_nothing_tells(&site, &["Racing words", NAME]).await;
}

#[tokio::test]
async fn somebody_can_sign_up_under_the_name_right_after() {
    let Scene { site, member, admin, .. } = scene().await;
    let taken = Joining::new(NAME, PASSWORD, None).expect("a good name");
    assert!(site.app.create_account(&by(admin), taken, &[]).await.is_err());
    site.app.erase_member(&by(member), member).await.expect("by themselves");
    let free = Joining::new(NAME, PASSWORD, None).expect("a good name");
    let heir = site.app.create_account(&by(admin), free, &[]).await.expect("it is free").answer;
    assert_eq!(site.app.account_named(NAME).await.expect("one").user_id, heir);
}

/// An append that was sealed before the erasure and recorded after it, while the key is not destroyed yet: who follows
/// live must see what a rebuild will see.
#[tokio::test]
async fn what_is_read_after_an_erasure_is_erased_while_the_key_is_still_there() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = SqliteStore::open(dir.path()).await.expect("a store");
    let vault = SqliteVault::open(dir.path()).await.expect("a vault");
    let world = World::system();
    let root = RootKey::load_or_create(&dir.path().join("site"), false, None, world.random()).expect("a root key");
    let keyring = Keyring::open(vault.clone(), log, &root, world.clone()).await.expect("a keyring");
    let (user_id, at) = (UserId(world.uuid()), world.now());
    let key = keyring.make(user_id, at).await.expect("a key");
    let post_id = PostId(world.uuid());
    let post = PostEvent::PostPublished {
        post_id,
        author: user_id,
        title: TITLE.into(),
        url: None,
        body: BODY.into(),
        mentions: vec![],
        at,
    };
    let (id, mut sealed) = (EventId(world.uuid()), Event::from(post));
    keyring.seal(&mut sealed, id, &TokenState::default(), Some(key)).await.expect("sealed");
    let sealed = stored(2, id, post::stream(post_id), &sealed);
    let erased = AccountEvent::UserErased { user_id, at }.into();
    let erased = stored(1, EventId(world.uuid()), account::stream(user_id), &erased);
    let title = |event: Event| match event {
        Event::Post(PostEvent::PostPublished { title, .. }) => title,
        other => panic!("a post, not {other:?}"),
    };
    assert_eq!(title(keyring.read(&sealed).await.expect("read").event).clear(), Some(TITLE));
    keyring.read(&erased).await.expect("read");
    assert_eq!(title(keyring.read(&sealed).await.expect("read").event), Personal::Erased);
    assert!(vault.data_key(key).await.expect("a vault").is_some(), "by the order of the log, not by the key");
}

fn stored(position: u64, event_id: EventId, stream: StreamName, event: &Event) -> StoredEvent {
    let encoded = codec::encode(event).expect("it has a form");
    let envelope = Envelope {
        position: Position(position),
        event_id,
        stream,
        version: Version(1),
        recorded_at: chrono::DateTime::UNIX_EPOCH,
        actor: Actor::System,
        on_behalf_of: None,
        client_address: None,
        request_id: None,
        command_id: None,
        causation: None,
    };
    StoredEvent {
        envelope,
        type_name: encoded.event_type.name.to_owned(),
        type_version: encoded.event_type.version,
        payload: encoded.payload,
    }
}
