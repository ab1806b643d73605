//! What every store keeps, whichever database is below: one suite, written against the traits. What only
//! one database can break is in `sqlite_store` and `postgres_store`.

use std::sync::Arc;

use chrono::DateTime;
use countersign::store::{
    Availability, BuildPurpose, CommandKey, Cursor, EventLog, Head, LogWriter, Made, Outcome, Page, ReadModels, Span,
    StoreError, StoredEvent,
};
use countersign_events::{
    application::Standing,
    ids::{ApplicationId, DataKeyId, EventId, PostId, UserId},
    recorded::{Actor, Envelope, Position, StreamName, Timestamp, Version},
    sensitive::Personal,
};
use countersign_projections::{
    Change, INLINE, Projection, Source, TRAILING, Table, Value,
    accounts::ACCOUNTS,
    applications::APPLICATIONS,
    authorizations::AUTHORIZATIONS,
    change::id,
    front_page,
    history::{self, SUBJECTS, Subject},
    inbox,
    tokens::TOKENS,
};
use uuid::Uuid;

use crate::databases::{Database, Opened, Place, on_both_databases};

on_both_databases! {
    an_empty_log_ends_at_position_zero,
    events_are_read_as_they_were_written,
    a_clear_address_is_not_written,
    any_number_of_events_is_written_at_once_and_read_in_pages,
    an_append_that_would_leave_a_gap_is_refused,
    a_gap_in_the_log_stops_its_reader,
    streams_positions_and_filters_find_their_events,
    an_instant_finds_the_last_position_before_it,
    subjects_are_found_in_a_stretch_of_the_log_from_either_end,
    an_event_that_exists_is_a_conflict_and_leaves_the_log_as_it_was,
    what_is_rolled_back_never_was,
    versions_of_many_streams_are_found_and_empty_ones_left_out,
    outcomes_are_found_by_scope_and_id_and_recorded_once,
    an_inline_model_begins_anew_without_a_revision,
    members_are_found_by_id_by_name_and_in_pages,
    applications_are_found_by_client_by_owner_and_in_the_order_of_the_queue,
    tokens_and_authorizations_are_found_and_come_in_pages,
    a_cursor_moves_only_from_where_it_is_and_takes_the_rows_with_it,
    posts_are_counted_since_a_time_and_read_by_id_with_their_comments,
    an_inbox_shows_messages_and_what_is_unread_newest_first,
    everybody_of_an_audience_is_told_once,
    a_generation_of_another_revision_is_read_until_one_is_built,
    rows_that_are_added_to_a_build_replace_those_with_their_keys,
}

/// A store that goes away, by its traits.
struct Store {
    log: Arc<dyn EventLog>,
    models: Arc<dyn ReadModels>,
    writer: Box<dyn LogWriter>,
    place: Place,
}

async fn a_store(database: Database) -> Store {
    let place = database.place().await;
    let Opened { log, models, writer } = place.store().await.unwrap();
    let mut store = Store { log, models, writer, place };
    for projection in INLINE {
        if store.writer.inline_revision(projection.name).await.unwrap().is_none() {
            store.writer.reset_inline(projection).await.unwrap();
        }
    }
    store
}

impl Store {
    async fn append(&mut self, events: &[StoredEvent]) -> Result<(), StoreError> {
        let head = self.writer.begin(&[]).await?.head;
        self.writer.insert(events).await?;
        let last = events.last().map_or(head.position, |stored| stored.envelope.position);
        self.writer.commit(Head { position: last, ..head }).await
    }

    /// Applies changes to the inline read models.
    async fn apply(&mut self, changes: Vec<Change>) {
        let head = self.writer.begin(&[]).await.unwrap().head;
        self.writer.apply(changes).await.unwrap();
        self.writer.commit(head).await.unwrap();
    }

    /// Applies changes to a trailing read model.
    async fn follow(&self, projection: &'static Projection, changes: Vec<Change>) {
        let mut generation = self.models.generation(projection).await.unwrap();
        let from = generation.cursor().await.unwrap();
        let to = Cursor { epoch: 1, position: from.position.next() };
        assert!(generation.advance(changes, from, to).await.unwrap());
    }
}

fn instant(seconds: i64) -> Timestamp {
    DateTime::from_timestamp(seconds, 123_000).unwrap()
}

fn user(number: u128) -> UserId {
    UserId(Uuid::from_u128(number))
}

fn application(number: u128) -> ApplicationId {
    ApplicationId(Uuid::from_u128(number))
}

pub fn event(position: u64, stream: StreamName, version: u64) -> StoredEvent {
    StoredEvent {
        envelope: Envelope {
            position: Position(position),
            event_id: EventId(Uuid::from_u128(position.into())),
            stream,
            version: Version(version),
            recorded_at: instant(position.try_into().unwrap()),
            actor: Actor::System,
            on_behalf_of: None,
            client_address: None,
            request_id: None,
            command_id: None,
            causation: None,
        },
        type_name: "SomethingHappened".to_owned(),
        type_version: 1,
        payload: r#"{"b": 1,  "a": "é'\"" }"#.to_owned(),
    }
}

/// `count` events of one stream.
pub fn stream_of(count: u64) -> Vec<StoredEvent> {
    (1..=count).map(|position| event(position, StreamName::Site, position)).collect()
}

fn positions(events: &[StoredEvent]) -> Vec<u64> {
    events.iter().map(|stored| stored.envelope.position.0).collect()
}

fn upsert(table: &'static Table, key: Vec<Value>, given: &[(&'static str, Value)]) -> Change {
    let value =
        |name: &str| given.iter().find(|(known, _)| *known == name).map_or(Value::Null, |(_, value)| value.clone());
    Change::Upsert { table, key, set: table.columns.iter().map(|column| (column.name, value(column.name))).collect() }
}

async fn an_empty_log_ends_at_position_zero(database: Database) {
    let mut store = a_store(database).await;
    let head = store.log.head().await.unwrap();
    assert_eq!((head.epoch, head.position), (1, Position(0)));
    assert_eq!(store.writer.begin(&[]).await.unwrap().head, head);
    assert_eq!(store.log.read_log(Position(0), 10).await.unwrap(), []);
}

async fn events_are_read_as_they_were_written(database: Database) {
    let mut store = a_store(database).await;
    let mut full = event(1, StreamName::Vote(PostId(Uuid::from_u128(8)), user(9)), 1);
    full.envelope.actor = Actor::User(user(7));
    full.envelope.on_behalf_of = Some(application(3));
    full.envelope.client_address =
        Some(Personal::Sealed { key: DataKeyId(Uuid::from_u128(5)), bytes: vec![0, 255, 3] });
    full.envelope.request_id = Some("r".to_owned());
    full.envelope.command_id = Some("c".to_owned());
    full.envelope.causation = Some(EventId(Uuid::from_u128(6)));
    let mut erased = event(2, StreamName::Projection("inbox".to_owned()), 1);
    erased.envelope.client_address = Some(Personal::Erased);
    erased.envelope.actor = Actor::Cli("ann".to_owned());
    let written = vec![full, erased, event(3, StreamName::Site, 1)];
    store.append(&written).await.unwrap();
    assert_eq!(store.log.read_log(Position(0), 10).await.unwrap(), written);
    assert_eq!(store.log.head().await.unwrap().position, Position(3));
}

async fn a_clear_address_is_not_written(database: Database) {
    let mut store = a_store(database).await;
    let mut clear = event(1, StreamName::Site, 1);
    clear.envelope.client_address = Some("127.0.0.1".into());
    assert!(store.append(&[clear]).await.is_err());
    store.writer.rollback().await.unwrap();
    assert_eq!(store.log.read_log(Position(0), 10).await.unwrap(), []);
}

async fn any_number_of_events_is_written_at_once_and_read_in_pages(database: Database) {
    let mut store = a_store(database).await;
    let written = stream_of(2 * 64 + 3 * 16 + 2 * 4 + 3);
    store.append(&written).await.unwrap();
    let mut read = vec![];
    loop {
        let page = store.log.read_log(Position(read.len().try_into().unwrap()), 50).await.unwrap();
        if page.is_empty() {
            break;
        }
        read.extend(page);
    }
    assert_eq!(read, written);
}

async fn an_append_that_would_leave_a_gap_is_refused(database: Database) {
    let mut store = a_store(database).await;
    let appended = store.append(&[event(1, StreamName::Site, 1), event(3, StreamName::Site, 2)]).await;
    assert!(matches!(appended, Err(StoreError::Conflict(_))), "{appended:?}");
}

async fn a_gap_in_the_log_stops_its_reader(database: Database) {
    let mut store = a_store(database).await;
    store
        .append(&[event(1, StreamName::Site, 1), event(2, StreamName::Site, 2), event(3, StreamName::Site, 3)])
        .await
        .unwrap();
    let delete = "delete from events where position = 2";
    let on_sqlite = format!("drop trigger events_are_not_deleted; {delete}");
    let on_postgres = format!("drop trigger events_are_not_updated on events; {delete}");
    store.place.tamper(&on_sqlite, &on_postgres).await;
    let error = store.log.read_log(Position(0), 10).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { position: Position(2), .. }), "{error}");
}

async fn streams_positions_and_filters_find_their_events(database: Database) {
    let mut store = a_store(database).await;
    let (ann, ben) = (StreamName::Account(user(1)), StreamName::Account(user(2)));
    let mut other = event(4, ann.clone(), 3);
    "AnotherThingHappened".clone_into(&mut other.type_name);
    let written = [event(1, ann.clone(), 1), event(2, ben.clone(), 1), event(3, ann.clone(), 2), other];
    store.append(&written).await.unwrap();
    let log = &store.log;
    assert_eq!(positions(&log.read_stream(&ann, Version(0)).await.unwrap()), [1, 3, 4]);
    assert_eq!(positions(&log.read_stream(&ann, Version(1)).await.unwrap()), [3, 4]);
    let mut found = positions(&log.read_at(&[Position(4), Position(9), Position(2)]).await.unwrap());
    found.sort_unstable();
    assert_eq!(found, [2, 4]);
    let span = |above, below, newest_first| Span { above: Position(above), below: Position(below), newest_first };
    let of = async |stream: &StreamName, span, limit| log.stream_positions(stream, span, limit).await.unwrap();
    assert_eq!(of(&ann, span(0, 9, false), 9).await, [1, 3, 4].map(Position));
    assert_eq!(of(&ann, span(1, 9, false), 1).await, [Position(3)]);
    assert_eq!(of(&ann, span(1, 4, true), 9).await, [Position(3)]);
    assert_eq!(of(&ann, span(0, 9, true), 2).await, [4, 3].map(Position));
    assert_eq!(of(&ben, span(2, 9, false), 9).await, []);
    let mut also = log.of_stream(&ann, &[1, 2, 3, 9].map(Position)).await.unwrap();
    also.sort_unstable();
    assert_eq!(also, [1, 3].map(Position));
    let nobody = StreamName::Account(user(3));
    let mut newest = positions(&log.newest_of(&[ann, nobody, ben]).await.unwrap());
    newest.sort_unstable();
    assert_eq!(newest, [2, 4]);
    assert_eq!(log.newest_of(&[]).await.unwrap(), []);
}

async fn an_instant_finds_the_last_position_before_it(database: Database) {
    let mut store = a_store(database).await;
    assert_eq!(store.log.recorded_before(instant(5)).await.unwrap(), Position(0));
    store.append(&stream_of(9)).await.unwrap();
    let recorded: Vec<_> =
        store.log.read_log(Position(0), 9).await.unwrap().iter().map(|event| event.envelope.recorded_at).collect();
    let just_after = chrono::Duration::microseconds(1);
    for (at, position) in recorded.iter().zip(1_u64..) {
        assert_eq!(store.log.recorded_before(*at).await.unwrap(), Position(position - 1));
        assert_eq!(store.log.recorded_before(*at + just_after).await.unwrap(), Position(position));
    }
}

async fn subjects_are_found_in_a_stretch_of_the_log_from_either_end(database: Database) {
    let store = a_store(database).await;
    let (votes, ada) = (Subject::Type("VoteCast".to_owned()), Subject::User(user(1)));
    let row = |subject: &Subject, position: u32| Change::Upsert {
        table: &SUBJECTS,
        key: vec![subject.to_string().into(), position.into()],
        set: vec![],
    };
    let rows = (1..=6).map(|position| row(&votes, position)).chain([2, 4, 4, 9].map(|position| row(&ada, position)));
    store.follow(&TRAILING[3], rows.collect()).await;
    let span = |above, below, newest_first| Span { above: Position(above), below: Position(below), newest_first };
    let of = async |subject: &Subject, span, limit| store.models.positions_of(subject, span, limit).await.unwrap();
    assert_eq!(of(&votes, span(2, 9, false), 2).await, [3, 4].map(Position));
    assert_eq!(of(&votes, span(2, 9, true), 2).await, [6, 5].map(Position));
    assert_eq!(of(&ada, span(0, 9, false), 9).await, [2, 4].map(Position));
    let mut also = store.models.among(&ada, &[1, 2, 3, 9, 10].map(Position)).await.unwrap();
    also.sort_unstable();
    assert_eq!(also, [2, 9].map(Position));
    assert_eq!(store.models.among(&ada, &[]).await.unwrap(), []);
}

async fn an_event_that_exists_is_a_conflict_and_leaves_the_log_as_it_was(database: Database) {
    let mut store = a_store(database).await;
    store.append(&stream_of(2)).await.unwrap();
    let same_position = event(2, StreamName::Account(user(1)), 1);
    let mut same_id = event(3, StreamName::Account(user(1)), 1);
    same_id.envelope.event_id = EventId(Uuid::from_u128(1));
    let same_version = event(3, StreamName::Site, 2);
    for again in [same_position, same_id, same_version] {
        let error = store.append(&[again]).await.unwrap_err();
        assert!(matches!(error, StoreError::Conflict(_)), "{error}");
        store.writer.rollback().await.unwrap();
    }
    assert_eq!(store.log.read_log(Position(0), 10).await.unwrap(), stream_of(2));
}

async fn what_is_rolled_back_never_was(database: Database) {
    let mut store = a_store(database).await;
    store.writer.begin(&[]).await.unwrap();
    store.writer.insert(&stream_of(1)).await.unwrap();
    store.writer.rollback().await.unwrap();
    store.writer.rollback().await.unwrap();
    store.writer.begin(&[]).await.unwrap();
    store.writer.insert(&stream_of(1)).await.unwrap();
    // Begun anew without an end: what came before is undone.
    store.append(&stream_of(1)).await.unwrap();
    assert_eq!(store.log.read_log(Position(0), 10).await.unwrap(), stream_of(1));
}

async fn versions_of_many_streams_are_found_and_empty_ones_left_out(database: Database) {
    let mut store = a_store(database).await;
    store.append(&stream_of(5)).await.unwrap();
    store.writer.begin(&[]).await.unwrap();
    let mut streams: Vec<_> = (0..300).map(|number| StreamName::Inbox(user(number))).collect();
    streams.push(StreamName::Site);
    assert_eq!(store.writer.begin(&streams).await.unwrap().versions, [(StreamName::Site, Version(5))]);
    assert_eq!(store.writer.begin(&[]).await.unwrap().versions, []);
}

async fn outcomes_are_found_by_scope_and_id_and_recorded_once(database: Database) {
    let mut store = a_store(database).await;
    let key = |scope: &str, id: &str| CommandKey { scope: scope.to_owned(), id: id.to_owned() };
    let outcome = |id: usize| Outcome {
        key: key("user:\"1\" /x", &id.to_string()),
        body: [7; 32],
        answer: "{}".to_owned(),
        position: Position(4),
        recorded_at: instant(4),
    };
    let head = store.writer.begin(&[]).await.unwrap().head;
    let recorded: Vec<_> = (0..70).map(outcome).collect();
    store.writer.record(&recorded).await.unwrap();
    store.writer.commit(head).await.unwrap();
    assert_eq!(store.log.outcome(&outcome(3).key).await.unwrap(), Some(outcome(3)));
    assert_eq!(store.log.outcome(&key("other", "3")).await.unwrap(), None);
    store.writer.begin(&[]).await.unwrap();
    let asked = [outcome(69).key, key("user:\"1\" /x", "70"), key("other", "69")];
    assert_eq!(store.writer.outcomes(&asked).await.unwrap(), [outcome(69)]);
    assert!(matches!(store.writer.record(&[outcome(3)]).await, Err(StoreError::Conflict(_))));
}

async fn an_inline_model_begins_anew_without_a_revision(database: Database) {
    let mut store = a_store(database).await;
    let projection = &INLINE[0];
    store.apply(vec![an_account(1, "1-00000000000000000000000000000001", "active")]).await;
    store.writer.set_inline_revision(projection.name, 3).await.unwrap();
    assert_eq!(store.writer.inline_revision(projection.name).await.unwrap(), Some(3));
    assert_eq!(store.models.accounts(None, 10).await.unwrap().len(), 1);
    store.writer.reset_inline(projection).await.unwrap();
    assert_eq!(store.writer.inline_revision(projection.name).await.unwrap(), None);
    assert_eq!(store.models.accounts(None, 10).await.unwrap(), []);
}

fn an_account(number: u128, digest: &str, standing: &str) -> Change {
    let given = [
        ("username", "ann".into()),
        ("username_digest", digest.into()),
        ("standing", standing.into()),
        ("reviewer", true.into()),
        ("auditor", false.into()),
        ("operator", false.into()),
        ("admin", false.into()),
        ("verifier", id(Uuid::from_u128(1))),
        ("data_key", id(Uuid::from_u128(2))),
        ("registered_at", instant(5).into()),
    ];
    upsert(&ACCOUNTS, vec![id(user(number))], &given)
}

async fn members_are_found_by_id_by_name_and_in_pages(database: Database) {
    let mut store = a_store(database).await;
    let digest = "1-00000000000000000000000000000001";
    store.apply(vec![an_account(1, digest, "erased"), an_account(2, digest, "suspended")]).await;
    let models = &store.models;
    assert_eq!(models.account(user(1)).await.unwrap().unwrap().registered_at, instant(5));
    assert_eq!(models.account(user(3)).await.unwrap(), None);
    // A name that was given up may be somebody else's.
    assert_eq!(models.account_named(&digest.parse().unwrap()).await.unwrap().unwrap().user_id, user(2));
    let first = models.accounts(None, 1).await.unwrap();
    let second = models.accounts(Some(first[0].user_id), 9).await.unwrap();
    assert_eq!([first[0].user_id, second[0].user_id], [user(1), user(2)]);
    assert_eq!(second.len(), 1);
}

fn an_application(number: u128, standing: Standing, requested_at: i64) -> Change {
    let given = [
        ("owner_id", id(user(1))),
        ("standing", standing.as_str().into()),
        ("purpose", "web".into()),
        ("name", "App".into()),
        ("description", "Does".into()),
        ("redirect_uris", "https://a.example/\nhttps://b.example/".into()),
        ("scopes", "read vote".into()),
        ("revision", 1_u32.into()),
        ("holds", 1_u32.into()),
        ("revised_at", instant(requested_at).into()),
        ("client_id", format!("{number:022}").into()),
        ("requested_at", instant(requested_at).into()),
    ];
    upsert(&APPLICATIONS, vec![id(application(number))], &given)
}

async fn applications_are_found_by_client_by_owner_and_in_the_order_of_the_queue(database: Database) {
    let mut store = a_store(database).await;
    let asked = [(1, Standing::UnderReview, 9), (2, Standing::Approved, 8), (3, Standing::UnderReview, 7)];
    store.apply(asked.map(|(number, standing, at)| an_application(number, standing, at)).to_vec()).await;
    let models = &store.models;
    let ids = |rows: Vec<countersign::store::rows::ApplicationRow>| {
        rows.iter().map(|row| row.application_id.0.as_u128()).collect::<Vec<_>>()
    };
    let found = models.application_by_client(&format!("{:022}", 2).parse().unwrap()).await.unwrap().unwrap();
    assert_eq!((found.application_id, found.redirect_uris.len()), (application(2), 2));
    assert_eq!(ids(models.applications_of(user(1)).await.unwrap()), [1, 2, 3]);
    assert_eq!(ids(models.applications(None, 2).await.unwrap()), [3, 2]);
    let after = Some((instant(7), application(3)));
    assert_eq!(ids(models.applications(after, 9).await.unwrap()), [2, 1]);
    assert_eq!(models.application(application(4)).await.unwrap(), None);
}

async fn tokens_and_authorizations_are_found_and_come_in_pages(database: Database) {
    let mut store = a_store(database).await;
    let token = |number: u8| {
        let given = [
            ("token_id", id(Uuid::from_u128(number.into()))),
            ("application_id", id(application(1))),
            ("user_id", id(user(1))),
            ("granted", 1_u32.into()),
            ("kind", "personal".into()),
            ("scopes", "read".into()),
            ("issued_at", instant(number.into()).into()),
        ];
        upsert(&TOKENS, vec![Value::Bytes(vec![number; 32])], &given)
    };
    let authorization = |number: u128, rescinded: Option<Timestamp>| {
        let given = [
            ("granted", 2_u32.into()),
            ("scopes", "read".into()),
            ("via", "consent".into()),
            ("application_revision", 1_u32.into()),
            ("authorized_at", instant(1).into()),
            ("rescinded_at", rescinded.into()),
        ];
        upsert(&AUTHORIZATIONS, vec![id(application(number)), id(user(1))], &given)
    };
    let authorizations = [authorization(1, None), authorization(2, Some(instant(9)))];
    store.apply([token(1), token(2), token(255)].into_iter().chain(authorizations).collect()).await;
    let models = &store.models;
    let times: Vec<_> = models.tokens_of(user(1)).await.unwrap().iter().map(|row| row.issued_at).collect();
    assert_eq!(times, [instant(255), instant(2), instant(1)]);
    let page = models.tokens(Some([1; 32]), 9).await.unwrap();
    assert_eq!(page.iter().map(|row| row.digest.as_bytes()[0]).collect::<Vec<_>>(), [2, 255]);
    assert_eq!(models.tokens(None, 1).await.unwrap()[0].digest.as_bytes(), &[1; 32]);
    let found = models.token(countersign_events::ids::TokenId(Uuid::from_u128(2))).await.unwrap().unwrap();
    assert_eq!((found.digest.as_bytes(), found.expires_at), (&[2; 32], None));
    let live = models.authorizations_of(user(1)).await.unwrap();
    assert!(matches!(&live[..], [row] if row.grant == 2 && row.by_consent && !row.rescinded));
    let rest = models.authorizations(Some((application(1), user(1))), 9).await.unwrap();
    assert!(matches!(&rest[..], [row] if row.rescinded));
    assert_eq!(models.authorizations(None, 9).await.unwrap().len(), 2);
}

async fn a_cursor_moves_only_from_where_it_is_and_takes_the_rows_with_it(database: Database) {
    let store = a_store(database).await;
    let at = |position| Cursor { epoch: 1, position: Position(position) };
    let mut one = store.models.generation(&front_page::PROJECTION).await.unwrap();
    let mut two = store.models.generation(&front_page::PROJECTION).await.unwrap();
    assert_eq!(one.cursor().await.unwrap(), Cursor::default());
    assert!(one.advance(vec![a_post(1, 1)], Cursor::default(), at(5)).await.unwrap());
    assert!(!two.advance(vec![a_post(2, 1)], Cursor::default(), at(9)).await.unwrap());
    assert_eq!(two.cursor().await.unwrap(), at(5));
    let wrong = Change::Upsert { table: &front_page::POSTS, key: vec![Value::Null], set: vec![] };
    assert!(two.advance(vec![a_post(3, 1), wrong], at(5), at(6)).await.is_err());
    assert_eq!(store.models.cursor(&front_page::PROJECTION).await.unwrap(), at(5));
    assert_eq!(store.models.post_counts(None).await.unwrap().len(), 1);
    assert!(two.advance(vec![a_post(2, 1)], at(5), at(6)).await.unwrap());
    assert_eq!(store.models.post_counts(None).await.unwrap().len(), 2);
}

pub fn a_post(number: u128, created_at: i64) -> Change {
    let given = [
        ("author_id", id(user(1))),
        ("title", "Title".into()),
        ("created_at", instant(created_at).into()),
        ("comment_count", 0_u32.into()),
        ("upvotes", 0_u32.into()),
        ("downvotes", 0_u32.into()),
    ];
    upsert(&front_page::POSTS, vec![id(PostId(Uuid::from_u128(number)))], &given)
}

async fn posts_are_counted_since_a_time_and_read_by_id_with_their_comments(database: Database) {
    let store = a_store(database).await;
    let comment = |number: u128, at: i64| {
        let given = [
            ("post_id", id(PostId(Uuid::from_u128(2)))),
            ("author_id", id(user(1))),
            ("created_at", instant(at).into()),
        ];
        upsert(&front_page::COMMENTS, vec![id(Uuid::from_u128(number))], &given)
    };
    let vote = Change::Increment {
        table: &front_page::POSTS,
        key: vec![id(Uuid::from_u128(2))],
        by: vec![("upvotes", 3), ("downvotes", -1)],
    };
    store.follow(&TRAILING[1], vec![a_post(1, 1), a_post(2, 2), comment(8, 5), comment(9, 4)]).await;
    store.follow(&TRAILING[1], vec![vote]).await;
    let since = store.models.post_counts(Some(instant(2))).await.unwrap();
    assert!(matches!(since[..], [counts] if counts.upvotes == 3 && counts.downvotes == -1));
    let ids = [2, 7].map(|number| PostId(Uuid::from_u128(number)));
    let posts = store.models.posts(&ids, usize::MAX).await.unwrap();
    assert!(matches!(&posts[..], [post] if post.counts == since[0] && post.body.is_none()));
    let places = store.models.comment_places(ids[0], None, 9).await.unwrap();
    assert_eq!(places.iter().map(|place| place.comment_id.0.as_u128()).collect::<Vec<_>>(), [9, 8]);
    let after = Some((places[0].created_at, places[0].comment_id));
    assert_eq!(store.models.comment_places(ids[0], after, 9).await.unwrap(), places[1..]);
    assert_eq!(store.models.comment_places(ids[0], None, 1).await.unwrap(), places[..1]);
    let at = store.models.comment_at(ids[0], places[1].comment_id).await.unwrap();
    assert_eq!(at, Some(places[1].created_at));
    assert_eq!(store.models.comment_at(ids[1], places[1].comment_id).await.unwrap(), None, "of another post");
    let rows = store.models.comments(&[places[1].comment_id]).await.unwrap();
    assert!(matches!(&rows[..], [row] if row.comment_id == places[1].comment_id && row.post_id == ids[0]));
}

fn a_notification(number: i64, kind: &str, read: bool, secret: Option<&str>) -> Change {
    let given = [
        ("position", number.into()),
        ("kind", kind.into()),
        ("created_at", instant(number).into()),
        ("read", read.into()),
        ("secret", secret.into()),
        ("held_until", secret.map(|_| instant(number)).into()),
    ];
    let key = vec![id(user(1)), id(Uuid::from_u128(number.try_into().unwrap()))];
    upsert(&inbox::NOTIFICATIONS, key, &given)
}

async fn an_inbox_shows_messages_and_what_is_unread_newest_first(database: Database) {
    let store = a_store(database).await;
    let told = vec![
        a_notification(1, "reply", true, None),
        a_notification(2, "message", false, Some("held")),
        a_notification(3, "application_decision", true, Some("revealed")),
        a_notification(4, "authorization_change", false, Some("held")),
        a_notification(5, "mention", false, None),
    ];
    store.follow(&TRAILING[0], told).await;
    let models = &store.models;
    let shown = async |unread, messages, before: Option<u64>, limit| {
        let page = Page { before: before.map(Position), limit };
        let rows = models.notifications(user(1), unread, messages, page).await.unwrap();
        rows.iter().map(|row| row.position.0).collect::<Vec<_>>()
    };
    assert_eq!(shown(false, false, None, 9).await, [5, 4, 3, 2, 1]);
    assert_eq!(shown(false, false, Some(4), 2).await, [3, 2]);
    assert_eq!(shown(true, false, None, 9).await, [5, 4, 2]);
    assert_eq!(shown(false, true, None, 9).await, [4, 3, 2]);
    assert_eq!(shown(true, true, Some(4), 9).await, [2]);
    let decisions = Page { before: None, limit: 9 };
    let decided = models.notifications_of(user(1), ["application_decision"; 5], decisions).await.unwrap();
    assert_eq!(decided.iter().map(|row| row.position.0).collect::<Vec<_>>(), [3]);
    let kinds = ["reply", "mention", "message", "mention", "reply"];
    let newer = async |unread, than, limit| {
        let newer = models.newer_notifications(user(1), unread, kinds, Position(than), limit).await.unwrap();
        newer.iter().map(|position| position.0).collect::<Vec<_>>()
    };
    assert_eq!(newer(false, 0, 9).await, [1, 2, 5]);
    assert_eq!(newer(false, 1, 1).await, [2]);
    assert_eq!(newer(true, 0, 9).await, [2, 5]);
    assert_eq!(models.unread_count(user(1)).await.unwrap(), 3);
    assert_eq!(models.unread_count(user(2)).await.unwrap(), 0);
    let overdue = models.overdue_secrets(instant(2), 9).await.unwrap();
    assert_eq!(overdue.iter().map(|(_, message)| message.0.as_u128()).collect::<Vec<_>>(), [2]);
    assert_eq!(models.notification(user(1), Uuid::from_u128(3)).await.unwrap().unwrap().kind, "application_decision");
    assert_eq!(models.notification(user(2), Uuid::from_u128(3)).await.unwrap(), None);
}

async fn everybody_of_an_audience_is_told_once(database: Database) {
    let store = a_store(database).await;
    let member = |number: u128, of: u128| {
        upsert(&inbox::AUDIENCE, vec![id(application(of)), id(user(number))], &[("since", instant(1).into())])
    };
    let fixed = [
        ("position", 7_i64.into()),
        ("kind", "authorization_change".into()),
        ("created_at", instant(7).into()),
        ("read", false.into()),
    ];
    let tell = Change::Copy {
        into: &inbox::NOTIFICATIONS,
        from: &inbox::AUDIENCE,
        by: "application_id",
        equals: id(application(1)),
        columns: [("user_id", Source::Column("user_id")), ("id", Source::Value(id(Uuid::from_u128(7))))]
            .into_iter()
            .chain(fixed.map(|(name, value)| (name, Source::Value(value))))
            .collect(),
    };
    let changes = vec![member(1, 1), member(2, 1), member(3, 2), tell.clone(), tell, member(4, 1)];
    store.follow(&TRAILING[0], changes).await;
    let mut told = vec![];
    for number in 1..=4 {
        told.push(store.models.unread_count(user(number)).await.unwrap());
    }
    assert_eq!(told, [1, 1, 0, 0]);
}

static OF_LATER: Projection = Projection { revision: 99, ..front_page::PROJECTION };

async fn a_generation_of_another_revision_is_read_until_one_is_built(database: Database) {
    let mut store = a_store(database).await;
    store.append(&[event(1, StreamName::Site, 1), event(2, StreamName::Site, 2)]).await.unwrap();
    store.follow(&TRAILING[1], vec![a_post(1, 1)]).await;
    let before = store.models.current(&front_page::PROJECTION).await.unwrap();
    let made = store.models.availability(&OF_LATER).await.unwrap().made;
    assert_eq!(store.models.current(&OF_LATER).await.unwrap(), before);
    match database {
        // One program at a time: it moves what it reads.
        Database::Sqlite => {
            assert_eq!(made, Made::Outdated);
            store.follow(&OF_LATER, vec![a_post(2, 1)]).await;
            assert_eq!(store.models.post_counts(None).await.unwrap().len(), 2);
        }
        Database::Postgres => {
            assert_eq!(made, Made::Lent);
            let moved = store.models.generation(&OF_LATER).await.map(drop);
            assert!(matches!(moved, Err(StoreError::Building("front_page"))), "{moved:?}");
        }
    }
    let mut build = store.models.build(&OF_LATER, BuildPurpose::Switch).await.unwrap();
    let to = Cursor { epoch: 1, position: Position(2) };
    build.finish(&[], to).await.unwrap();
    store.models.switch(&OF_LATER, build).await.unwrap();
    let availability = Availability { made: Made::Current, answers: true };
    assert_eq!(store.models.availability(&OF_LATER).await.unwrap(), availability);
    assert_eq!(store.models.cursor(&OF_LATER).await.unwrap(), to);
    assert_ne!(store.models.current(&OF_LATER).await.unwrap(), before);
    let read = store.models.post_counts(None).await.unwrap().len();
    match database {
        Database::Sqlite => assert_eq!(read, 0),
        // Nodes of two releases run together, and each reads its own.
        Database::Postgres => assert_eq!(read, 1),
    }
}

async fn rows_that_are_added_to_a_build_replace_those_with_their_keys(database: Database) {
    let store = a_store(database).await;
    let row = |number: i64, since: i64| vec![Value::from(format!("{number:04}")), "ann".into(), since.into()];
    let subject = |number: i64| vec![Value::from("type VoteCast"), number.into()];
    let mut build = store.models.build(&inbox::PROJECTION, BuildPurpose::Compare).await.unwrap();
    build.fill(&inbox::AUDIENCE, (0..600).map(|number| row(number, 1)).collect()).await.unwrap();
    build.fill(&inbox::AUDIENCE, (600..700).map(|number| row(number, 1)).collect()).await.unwrap();
    build.add(&inbox::AUDIENCE, (300..1_000).map(|number| row(number, 2)).collect()).await.unwrap();
    build.finish(&[], Cursor::default()).await.unwrap();
    let rows = build.snapshot().await.unwrap().rows(&inbox::AUDIENCE, None, 10_000).await.unwrap();
    let wanted: Vec<_> = (0..1_000).map(|number| row(number, if number < 300 { 1 } else { 2 })).collect();
    assert_eq!(rows, wanted);
    // A table of nothing but a key.
    let mut build = store.models.build(&history::PROJECTION, BuildPurpose::Compare).await.unwrap();
    build.fill(&SUBJECTS, (0..10).map(subject).collect()).await.unwrap();
    build.add(&SUBJECTS, (5..20).map(subject).collect()).await.unwrap();
    build.finish(&[], Cursor::default()).await.unwrap();
    let rows = build.snapshot().await.unwrap().rows(&SUBJECTS, None, 100).await.unwrap();
    assert_eq!(rows, (0..20).map(subject).collect::<Vec<_>>());
}
