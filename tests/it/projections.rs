//! Read models in operators' hands: a poisoned event rests with its stream while others go on, retrying after a fix
//! heals it, giving it up holds for later generations too; a check finds one altered value.

use std::time::Duration;

use countersign::{
    app::{AppError, Caller, projections::ParkedId, projections::State},
    projector::Mended,
};
use countersign_events::{
    codec::{CODEC, Codec, EventType, TYPES, UPCASTS, Upcast},
    ids::{PostId, UserId},
    post::Direction,
    recorded::{Actor, Position},
};
use countersign_projections::TRAILING;

use crate::support::{TestApp, by};

/// A codec of a later release: posts and comments have a further version, whose payload looks like the one before.
fn later_codec() -> Codec {
    let (mut types, mut upcasts) = (TYPES.to_vec(), CODEC.upcasts.to_vec());
    for known in types.iter_mut().filter(|known| known.category == "post") {
        upcasts.push(Upcast { name: known.name, from: known.version, step: |payload| payload });
        *known = EventType { version: known.version + 1, ..*known };
    }
    Codec { types: types.leak(), upcasts: upcasts.leak() }
}

/// How a tool begins on `PostgreSQL` where many write, and an id by which it knows an event.
pub const LOCK_HEAD: &str = "begin;\nselect from head for update";
pub const SOME_ID: &str = "decode(md5(random()::text), 'hex')";

/// Those that look at posts.
const LOOK_AT_POSTS: [&str; 3] = ["inbox", "front_page", "history"];

/// Puts one more event at the end of the log: the newest one of a type again, as a version that this release does
/// not know, in the same stream.
pub async fn plant(site: &TestApp, type_name: &str) -> Position {
    let mut log = site.home.log().await;
    let text = format!(
        "{};\n\
         insert into events (position, event_id, stream, version, type, type_version, recorded_at, actor, payload)\n\
         select (select position + 1 from head), {}, stream,\n\
         (select max(version) + 1 from events as other where other.stream = events.stream),\n\
         type, type_version + 1, (select recorded_at + 1 from head), actor, payload\n\
         from events where type = '{type_name}' order by position desc limit 1;\n\
         update head set position = position + 1, recorded_at = recorded_at + 1;\ncommit",
        log.either("begin immediate", LOCK_HEAD),
        log.either("randomblob(16)", SOME_ID),
    );
    log.run(&text).await;
    site.app.head().await.expect("a head").position
}

pub struct Scene {
    pub site: TestApp,
    ada: UserId,
    ben: UserId,
    poisoned: PostId,
    healthy: PostId,
    pub planted: Position,
}

/// Two posts; under the first a comment that this release cannot read, then one that it can.
pub async fn given_a_poisoned_post() -> Scene {
    let site = TestApp::start().await;
    let ada = site.given_member("ada", &[]).await;
    let ben = site.given_member("ben", &[]).await;
    let mut posts = vec![];
    for title in ["One", "Two"] {
        posts.push(site.app.publish(&by(ada), ada, title, "", "Body.").await.expect("published").answer);
        site.settle().await;
    }
    let (poisoned, healthy) = (posts[0], posts[1]);
    site.app.comment(&by(ben), ben, poisoned, None, "First.").await.expect("a comment");
    site.settle().await;
    let planted = plant(&site, "CommentPosted").await;
    // The use cases read the stream as well, so what comes after is a vote on the one and a comment on the other post.
    site.app.vote(&by(ben), ben, poisoned, Direction::Up).await.expect("a vote");
    site.app.comment(&by(ben), ben, healthy, None, "Second.").await.expect("a comment");
    // That it is parked is put on record a moment later, and followed like everything.
    recorded(&site, "EventParked", LOOK_AT_POSTS.len()).await;
    site.settle().await;
    Scene { site, ada, ben, poisoned, healthy, planted }
}

/// What was built of a read model only to be compared; on `PostgreSQL` it goes a moment after it was.
async fn scratch(site: &TestApp, name: &str) -> Vec<u64> {
    let Some(_) = &site.home.database else { return site.home.generations(&format!("check-{name}")).await };
    for _ in 0..500 {
        let left: Vec<_> = site.home.generations(name).await.into_iter().filter(|number| *number >= 1 << 40).collect();
        if left.is_empty() {
            return left;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    site.home.generations(name).await
}

async fn events_of(site: &TestApp, type_name: &str) -> usize {
    let log = site.app.log.read_log(Position(0), 10_000).await.expect("events");
    log.iter().filter(|event| event.type_name == type_name).count()
}

/// Waits until so many events of a type are in the log: what is parked is put on record a moment later.
async fn recorded(site: &TestApp, type_name: &str, wanted: usize) {
    for _ in 0..500 {
        if events_of(site, type_name).await >= wanted {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(events_of(site, type_name).await, wanted, "{type_name}");
}

fn operator() -> Caller {
    Caller { actor: Actor::Cli("op".to_owned()), ..Caller::system() }
}

fn id(name: &str, position: Position) -> ParkedId {
    ParkedId { name: name.to_owned(), position }
}

async fn comments_and_votes(site: &TestApp, post: PostId) -> (usize, i64, i64) {
    let comments = site.app.comment_places(post).await.expect("comments").len();
    let row = site.app.models.posts(&[post], 0).await.expect("posts").remove(0);
    (comments, row.counts.comment_count, row.counts.upvotes)
}

async fn status(site: &TestApp, name: &str) -> countersign::app::projections::ProjectionStatus {
    let all = site.app.projections().await.expect("a status");
    all.into_iter().find(|one| one.name == name).expect("it is there")
}

#[tokio::test]
async fn a_poisoned_event_rests_with_its_stream_and_the_others_go_on() {
    let Scene { site, poisoned, healthy, planted, .. } = given_a_poisoned_post().await;
    assert_eq!(comments_and_votes(&site, poisoned).await, (1, 1, 1), "votes are a stream of their own");
    assert_eq!(comments_and_votes(&site, healthy).await, (1, 1, 0));
    let status = status(&site, "front_page").await;
    assert_eq!((status.state, status.parked_streams, status.parked_events), (State::Incomplete, 1, 1));
    assert_eq!(status.detail.as_deref(), Some("incomplete: 1 stream parked"));
    assert_eq!(status.cursor, status.head, "the cursor goes on");
    let parked = site.app.parked().await.expect("parked");
    let ids: Vec<_> = parked.iter().map(|(id, _)| id.to_string()).collect();
    assert_eq!(ids, LOOK_AT_POSTS.map(|name| format!("{name}-{planted}")));
    let error = parked[1].1.error.clone().expect("an error");
    assert!(error.contains("unknown event type `CommentPosted` version 2"), "{error}");
    recorded(&site, "EventParked", LOOK_AT_POSTS.len()).await;
    let site = site.restart().await;
    site.settle().await;
    recorded(&site, "EventParked", LOOK_AT_POSTS.len()).await;
}

#[tokio::test]
async fn retrying_after_the_fix_heals_it_and_without_one_leaves_it_parked() {
    let Scene { site, poisoned, planted, .. } = given_a_poisoned_post().await;
    recorded(&site, "EventParked", LOOK_AT_POSTS.len()).await;
    let again = site.app.retry_parked(&operator(), &id("front_page", planted), &|_| {}).await.expect("it is parked");
    assert!(matches!(again.mended, Mended::StillParked(parked) if parked.position == planted));
    let site = site.restart_reading(later_codec()).await;
    site.settle().await;
    assert_eq!(comments_and_votes(&site, poisoned).await.1, 1, "what is parked waits for an operator");
    let healed = site.app.retry_parked(&operator(), &id("front_page", planted), &|_| {}).await.expect("it is parked");
    assert_eq!(healed.mended, Mended::Healed(1));
    assert_eq!(comments_and_votes(&site, poisoned).await.1, 2);
    // The acts themselves are on record, and followed as well.
    site.settle().await;
    assert_eq!(status(&site, "front_page").await.state, State::Live);
    let gone = site.app.retry_parked(&operator(), &id("front_page", planted), &|_| {}).await;
    assert!(matches!(gone, Err(AppError::NotFound)));
    recorded(&site, "ParkedEventRetried", 2).await;
    let checked = site.app.check_projection("front_page", &|_| {}).await.expect("a check");
    assert_eq!(checked.differences, [], "a fresh fold comes to the same");
}

#[tokio::test]
async fn what_other_streams_did_meanwhile_falls_into_place_when_it_is_healed() {
    let site = TestApp::start().await;
    let ada = site.given_member("ada", &[]).await;
    let post = site.app.publish(&by(ada), ada, "One", "", "Body.").await.expect("published").answer;
    site.settle().await;
    // It sets the row of the post anew: the vote has to come after it.
    let planted = plant(&site, "PostPublished").await;
    site.app.vote(&by(ada), ada, post, Direction::Up).await.expect("a vote");
    site.settle().await;
    let site = site.restart_reading(later_codec()).await;
    site.settle().await;
    let healed = site.app.retry_parked(&operator(), &id("front_page", planted), &|_| {}).await.expect("it is parked");
    assert_eq!((healed.mended, healed.rebuilt.map(|rebuilt| rebuilt.generation)), (Mended::Healed(1), Some(2)));
    assert_eq!(comments_and_votes(&site, post).await, (0, 0, 1));
    assert_eq!(site.app.check_projection("front_page", &|_| {}).await.expect("a check").differences, []);
}

#[tokio::test]
async fn an_event_that_is_given_up_stays_out_of_later_generations() {
    let Scene { site, ada, poisoned, planted, .. } = given_a_poisoned_post().await;
    // Behind it in its stream waits one that can be read: another event in the poisoned post's own stream.
    let mut log = site.home.log().await;
    let other = "01234567-0000-7000-8000-000000000001";
    let text = format!(
        "{};\n\
         insert into events (position, event_id, stream, version, type, type_version, recorded_at, actor, payload)\n\
         select (select position + 1 from head), {}, stream, version + 1, type, 1,\n\
         (select recorded_at + 1 from head), actor, {}\n\
         from events where position = {planted};\n\
         update head set position = position + 1, recorded_at = recorded_at + 1;\ncommit",
        log.either("begin immediate", LOCK_HEAD),
        log.either("randomblob(16)", SOME_ID),
        log.either(
            format!("json_set(payload, '$.comment_id', '{other}')"),
            format!("jsonb_set(payload::jsonb, '{{comment_id}}', '\"{other}\"')::text"),
        ),
    );
    log.run(&text).await;
    site.app.vote(&by(ada), ada, poisoned, Direction::Up).await.expect("a vote");
    site.settle().await;
    assert_eq!(status(&site, "front_page").await.parked_events, 2);
    let refused = site.app.discard_parked(&operator(), &id("front_page", planted), "  ", &|_| {}).await;
    assert!(matches!(refused, Err(AppError::Refused(_))), "a reason is needed");
    let mended =
        site.app.discard_parked(&operator(), &id("front_page", planted), "A copy of the first.", &|_| {}).await;
    assert_eq!(mended.expect("it is parked").mended, Mended::Healed(1));
    assert_eq!(comments_and_votes(&site, poisoned).await, (2, 2, 2));
    recorded(&site, "ParkedEventDiscarded", 1).await;
    let rebuilt = site.app.rebuild_projection(&operator(), "front_page", &|_| {}).await.expect("rebuilt");
    assert_eq!(rebuilt.expect("nobody else does").generation, 3);
    recorded(&site, "ProjectionRebuilt", 2).await;
    site.settle().await;
    assert_eq!(comments_and_votes(&site, poisoned).await, (2, 2, 2));
    assert_eq!(status(&site, "front_page").await.state, State::Live);
    assert_eq!(site.app.check_projection("front_page", &|_| {}).await.expect("a check").differences, []);
    assert_eq!(status(&site, "inbox").await.state, State::Incomplete, "each read model has its own");
}

#[tokio::test]
async fn a_rebuild_parks_what_the_follower_parks() {
    let Scene { site, ben, healthy, .. } = given_a_poisoned_post().await;
    let before = site.app.parked().await.expect("parked");
    for projection in TRAILING {
        let rebuilt = site.app.rebuild_projection(&operator(), projection.name, &|_| {}).await;
        rebuilt.expect("rebuilt").expect("nobody else does");
    }
    assert_eq!(site.app.parked().await.expect("parked"), before);
    site.app.comment(&by(ben), ben, healthy, None, "More.").await.expect("a comment");
    site.settle().await;
    assert_eq!(comments_and_votes(&site, healthy).await.0, 2, "the new generation is followed");
    recorded(&site, "EventParked", LOOK_AT_POSTS.len()).await;
}

#[tokio::test]
async fn a_cursor_that_is_ahead_of_the_log_stops_its_read_model_and_a_rebuild_mends_it() {
    let Scene { site, ben, healthy, .. } = given_a_poisoned_post().await;
    let ahead = site.app.head().await.expect("a head").position.0 + 4;
    let mut models = site.home.model("front_page", 1).await;
    let cursor = models.either("cursor set position = ", "cursors set position = ");
    let of_it = models.either("", " where name = 'front_page'");
    models.run(&format!("update {cursor}{ahead}{of_it}")).await;
    let site = site.restart().await;
    for _ in 0..500 {
        if status(&site, "front_page").await.state == State::Stopped {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let told = status(&site, "front_page").await;
    assert_eq!(told.state, State::Stopped);
    let checked = site.app.check_projection("front_page", &|_| {}).await.expect_err("nothing can be compared");
    for said in [told.last_error.expect("an error"), checked.to_string()] {
        // A rebuild by whoever reads no further would lose what the older log lacks.
        let (why, remedy) = (said.find("is ahead of the log"), said.find("put the newest log back"));
        assert!(why.is_some() && why < remedy && remedy < said.find("projections rebuild"), "{said}");
    }
    site.app.rebuild_projection(&operator(), "front_page", &|_| {}).await.expect("rebuilt").expect("nobody else does");
    site.app.comment(&by(ben), ben, healthy, None, "More.").await.expect("a comment");
    site.settle().await;
    assert_eq!(comments_and_votes(&site, healthy).await.0, 2);
}

#[tokio::test]
async fn sqlite_a_read_model_whose_file_is_damaged_is_built_anew_at_the_next_start() {
    let Scene { site, healthy, .. } = given_a_poisoned_post().await;
    let file = site.home.data_dir().join("models/front_page-1.db");
    let site = {
        let TestApp { app, clock, home } = site;
        app.stop().await;
        for beside in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{beside}", file.display()));
        }
        std::fs::write(&file, [0x5a; 8_192]).expect("damaged");
        TestApp::start_again(home, clock, CODEC).await
    };
    site.settle().await;
    assert_eq!(comments_and_votes(&site, healthy).await, (1, 1, 0));
    assert!(!file.exists(), "the damaged one is gone");
}

#[tokio::test]
async fn a_check_names_the_one_value_that_was_altered_and_prints_nothing_personal() {
    let Scene { site, ada, healthy, .. } = given_a_poisoned_post().await;
    for name in ["accounts", "applications", "authorizations", "tokens", "inbox", "front_page"] {
        let checked = site.app.check_projection(name, &|_| {}).await.expect("a check");
        assert_eq!(checked.differences, [], "{name}");
        let says_something = checked.rows > 0 || ["applications", "authorizations", "tokens"].contains(&name);
        assert!(says_something, "{name} compared nothing");
    }
    let mut models = site.home.model("front_page", 1).await;
    let alter = format!("update posts set upvotes = 7, title = 'Ada''s' where post_id = '{healthy}'");
    models.run(&alter).await;
    site.home.log().await.run(&format!("update accounts set admin = 1 where user_id = '{ada}'")).await;
    models.run("delete from comments").await;
    let checked = site.app.check_projection("front_page", &|_| {}).await.expect("a check");
    let named: Vec<_> =
        checked.differences.iter().map(|one| (one.table, one.column, one.live.as_str(), one.log.as_str())).collect();
    assert_eq!(
        named,
        [
            ("posts", Some("title"), "a personal text", "a personal text"),
            ("posts", Some("upvotes"), "7", "0"),
            ("comments", None, "no row", "a row"),
            ("comments", None, "no row", "a row"),
        ]
    );
    assert_eq!(checked.differences[0].key, healthy.to_string());
    let checked = site.app.check_projection("accounts", &|_| {}).await.expect("a check");
    assert_eq!(checked.differences.len(), 1);
    assert_eq!((checked.differences[0].column, checked.differences[0].live.as_str()), (Some("admin"), "1"));
    for name in ["accounts", "front_page"] {
        assert!(scratch(&site, name).await.is_empty(), "what is built for comparing is thrown away");
    }
}

#[tokio::test]
async fn the_codec_of_this_release_is_the_one_that_is_read_with() {
    assert_eq!((CODEC.types.len(), CODEC.upcasts.len()), (TYPES.len(), UPCASTS.len()));
    assert!(later_codec().decode("CommentPosted", 3, "{}").is_err());
}
