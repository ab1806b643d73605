//! What a store relies on: the shape of tables and of every change.

use std::collections::BTreeSet;

use super::*;

fn tables() -> Vec<&'static Table> {
    INLINE.iter().chain(TRAILING).flat_map(|projection| projection.tables).copied().collect()
}

/// Samples as they are, and as an erased member's are: with their personal fields gone.
fn all_samples() -> Vec<Recorded<Event>> {
    let opened = samples();
    let mut erased = opened.clone();
    for event in &mut erased {
        for (_, _, field) in event.personal_fields() {
            *field = countersign_events::sensitive::Personal::Erased;
        }
    }
    opened.into_iter().chain(erased).map(|event| recorded(9, event)).collect()
}

#[test]
fn names_of_projections_and_tables_are_unique() {
    let projections: Vec<_> = INLINE.iter().chain(TRAILING).map(|projection| projection.name).collect();
    let tables: Vec<_> = tables().iter().map(|table| table.name).collect();
    for names in [projections, tables] {
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{names:?}");
    }
}

#[test]
fn columns_have_unique_names_and_indexes_name_them() {
    for table in tables() {
        let names: Vec<_> = table.key.iter().chain(table.columns).map(|column| column.name).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{}", table.name);
        assert!(!table.key.is_empty());
        for column in table.indexes.iter().copied().flatten() {
            assert!(names.contains(column), "{}: an index over {column}", table.name);
        }
    }
}

#[test]
fn what_tells_that_a_row_is_over_is_an_instant_with_an_index() {
    for table in tables() {
        for column in table.ends {
            assert_eq!(kind(table.columns, column), Kind::Integer, "{}.{column}", table.name);
            assert!(leads_a_key_or_index(table, column), "{}.{column}", table.name);
        }
    }
}

#[test]
fn an_event_of_another_category_changes_nothing() {
    for (sample, known) in samples().into_iter().zip(codec::TYPES) {
        let recorded = recorded(9, sample);
        for projection in INLINE.iter().chain(TRAILING) {
            if !projection.categories.contains(&known.category) {
                assert_eq!((projection.project)(&recorded), [], "{} looks at {}", projection.name, known.name);
            }
        }
    }
}

#[test]
fn a_projection_that_keeps_no_texts_looks_at_none() {
    for sample in all_samples() {
        let mut sealed = sample.clone();
        for (_, _, field) in sealed.event.personal_fields() {
            *field = countersign_events::sensitive::Personal::Erased;
        }
        for projection in INLINE.iter().chain(TRAILING).filter(|projection| !projection.keeps_texts()) {
            assert_eq!((projection.project)(&sealed), (projection.project)(&sample), "{}", projection.name);
        }
    }
    let keeps: Vec<_> = INLINE.iter().chain(TRAILING).filter(|one| one.keeps_texts()).map(|one| one.name).collect();
    assert_eq!(keeps, ["accounts", "front_page"]);
}

#[test]
fn what_a_replay_does_not_read_is_looked_at_by_no_projection() {
    for sample in all_samples() {
        let mut told = sample.clone();
        told.envelope.client_address = Some("203.0.113.7".into());
        told.envelope.request_id = Some("request".to_owned());
        told.envelope.command_id = Some("command".to_owned());
        told.envelope.causation = Some(event_id(8));
        assert_eq!(changes(&told), changes(&sample));
    }
}

#[test]
fn what_projections_write_fits_and_what_does_not_is_found() {
    for recorded in all_samples() {
        for projection in INLINE.iter().chain(TRAILING) {
            for change in (projection.project)(&recorded) {
                assert_eq!(projection.check(&change), Ok(()), "{change:?}");
            }
        }
    }
    let (posts, board) = (&front_page::POSTS, &front_page::PROJECTION);
    let key = || vec![V::from("p")];
    let misfits = [
        Change::Delete { table: &inbox::NOTIFICATIONS, key: key() },
        Change::Delete { table: posts, key: vec![] },
        Change::Delete { table: posts, key: vec![V::Null] },
        Change::Delete { table: posts, key: vec![V::from(1_i64)] },
        Change::Patch { table: posts, key: key(), set: vec![("upvotes", "many".into())] },
        Change::Patch { table: posts, key: key(), set: vec![("nowhere", V::Null)] },
        Change::Increment { table: posts, key: key(), by: vec![("title", 1)] },
        Change::Copy {
            into: &front_page::COMMENTS,
            from: posts,
            by: "post_id",
            equals: "p".into(),
            columns: vec![("comment_id", Source::Column("title"))],
        },
    ];
    for change in misfits {
        board.check(&change).unwrap_err();
    }
}

#[test]
fn every_stored_type_has_a_sample() {
    assert_eq!(samples().len(), codec::TYPES.len());
}

#[test]
fn every_change_of_every_sample_has_the_shape_that_a_store_relies_on() {
    for recorded in all_samples() {
        for projection in INLINE.iter().chain(TRAILING) {
            for change in (projection.project)(&recorded) {
                check(projection, &change);
            }
        }
    }
}

fn check(projection: &Projection, change: &Change) {
    let own = |table: &Table| assert!(projection.tables.iter().any(|known| known.name == table.name), "{change:?}");
    match change {
        Change::Upsert { table, key, set } => {
            own(table);
            check_key(table, key);
            let names: Vec<_> = set.iter().map(|(name, _)| *name).collect();
            let columns: Vec<_> = table.columns.iter().map(|column| column.name).collect();
            assert_eq!(names, columns, "an upsert sets every other column of {} in its order", table.name);
            check_set(table, set);
        }
        Change::Patch { table, key, set } => {
            own(table);
            check_key(table, key);
            assert!(!set.is_empty(), "{change:?}");
            check_set(table, set);
        }
        Change::Increment { table, key, by } => {
            own(table);
            check_key(table, key);
            assert!(!by.is_empty());
            for (name, _) in by {
                assert_eq!(kind(table.columns, name), Kind::Integer, "{change:?}");
            }
        }
        Change::Delete { table, key } => {
            own(table);
            check_key(table, key);
        }
        Change::PatchWhere { table, by, equals, set } => {
            own(table);
            assert!(leads_a_key_or_index(table, by), "{} is not found by {by}", table.name);
            assert!(fits(all_kind(table, by), equals) && *equals != V::Null);
            assert!(!set.is_empty() && set.iter().all(|(column, _)| column != by), "{change:?}");
            check_set(table, set);
        }
        Change::DeleteWhere { table, by, equals } => {
            own(table);
            assert!(leads_a_key_or_index(table, by), "{} is not found by {by}", table.name);
            assert!(fits(all_kind(table, by), equals) && *equals != V::Null);
        }
        Change::Copy { into, from, by, equals, columns } => {
            own(into);
            own(from);
            assert!(leads_a_key_or_index(from, by), "{} is not found by {by}", from.name);
            assert!(fits(all_kind(from, by), equals) && *equals != V::Null);
            let names: Vec<_> = columns.iter().map(|(name, _)| *name).collect();
            let all: Vec<_> = into.key.iter().chain(into.columns).map(|column| column.name).collect();
            assert_eq!(names, all, "a copied row has every column of {} in its order", into.name);
            for (name, source) in columns {
                match source {
                    Source::Value(value) => assert!(fits(all_kind(into, name), value), "{name}"),
                    Source::Column(column) => assert_eq!(all_kind(from, column), all_kind(into, name)),
                }
            }
        }
    }
}

fn leads_a_key_or_index(table: &Table, column: &str) -> bool {
    table.key[0].name == column || table.indexes.iter().any(|index| index[0] == column)
}

fn check_key(table: &Table, key: &[V]) {
    assert_eq!(key.len(), table.key.len(), "{}", table.name);
    for (column, value) in table.key.iter().zip(key) {
        assert!(fits(column.kind, value) && *value != V::Null, "{}.{}: {value:?}", table.name, column.name);
    }
}

fn check_set(table: &Table, set: &Set) {
    let names: BTreeSet<_> = set.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), set.len(), "{} sets a column twice: {set:?}", table.name);
    for (name, value) in set {
        assert!(fits(kind(table.columns, name), value), "{}.{name}: {value:?}", table.name);
    }
}

fn kind(columns: &[Column], name: &str) -> Kind {
    columns.iter().find(|column| column.name == name).unwrap_or_else(|| panic!("there is no column {name}")).kind
}

fn all_kind(table: &Table, name: &str) -> Kind {
    let all: Vec<_> = table.key.iter().chain(table.columns).copied().collect();
    kind(&all, name)
}

const fn fits(kind: Kind, value: &V) -> bool {
    matches!(
        (kind, value),
        (_, V::Null) | (Kind::Integer, V::Integer(_)) | (Kind::Text, V::Text(_)) | (Kind::Bytes, V::Bytes(_))
    )
}

/// Which event changes which read model; an event that is not listed here shows nowhere.
#[test]
fn every_event_shows_where_this_table_says_and_nowhere_else() {
    let expected = |name: &str| -> &[&str] {
        match name {
            "UserRegistered" | "RoleGranted" | "RoleWithdrawn" | "PasswordChanged" | "UserSuspended"
            | "UserReinstated" => &["accounts"],
            "UserErased" => &["accounts", "inbox", "front_page"],
            "ApplicationRequested"
            | "ChangesRequested"
            | "ApplicationResubmitted"
            | "ApplicationApproved"
            | "ApplicationDenied"
            | "ApplicationAppealed"
            | "ChangeProposed"
            | "ChangeDenied"
            | "ChangeWithdrawn"
            | "ChangeApproved" => &["applications", "statistics"],
            "ApplicationEdited" | "ReviewClaimed" | "ReviewReleased" | "ReviewSigned" => &["applications"],
            "ClientIdRotated" => &["applications", "former_client_ids"],
            "ApplicationSuspended" | "ApplicationReinstated" => &["applications", "inbox"],
            "ApplicationRevoked" | "ApplicationWithdrawn" => &["applications", "inbox", "statistics"],
            "UserAuthorized" | "AuthorizationRescinded" => &["authorizations", "inbox"],
            // Those of the samples: a token that a message brings, and one that nobody revealed.
            "TokenIssued" | "TokenRevoked" => &["tokens"],
            "PrivateMessageSent" | "SecretRevealed" | "SecretExpired" | "NotificationsRead" => &["inbox"],
            "VoteCast" => &["front_page"],
            "PostPublished" | "CommentPosted" => &["inbox", "front_page"],
            "UsernameClaimed"
            | "UsernameReleased"
            | "AuthorizationDenied"
            | "FirstAdministratorNamed"
            | "ConfigurationChanged"
            | "AuditExported"
            | "ClockAccepted"
            | "CutOffLowered"
            | "ProjectionRebuilt"
            | "EventParked"
            | "ParkedEventRetried"
            | "ParkedEventDiscarded" => &[],
            unknown => panic!("say where {unknown} shows"),
        }
    };
    for (known, event) in codec::TYPES.iter().zip(samples()) {
        let mut shows: Vec<_> = changes(&recorded(9, event)).into_iter().map(|(name, _)| name).collect();
        assert_eq!(shows.pop(), Some("history"), "{} can be looked up", known.name);
        assert_eq!(shows, expected(known.name), "{}", known.name);
    }
}

#[test]
fn the_inline_changes_of_an_event_are_those_of_all_inline_projections() {
    for recorded in all_samples() {
        let each: Vec<_> = INLINE.iter().flat_map(|projection| (projection.project)(&recorded)).collect();
        assert_eq!(project_inline(&recorded), each);
    }
}

#[test]
fn an_inline_event_changes_one_row_of_a_projection_and_no_set_of_rows() {
    for recorded in all_samples() {
        for projection in INLINE {
            let changes = (projection.project)(&recorded);
            assert!(changes.len() <= 1, "O(1) rows inside the lock: {changes:?}");
            let is_set = |change: &Change| {
                matches!(change, Change::Copy { .. } | Change::PatchWhere { .. } | Change::DeleteWhere { .. })
            };
            assert!(!changes.iter().any(is_set));
        }
    }
}

#[test]
fn no_inline_or_trailing_row_repeats_the_text_of_a_message_or_reason() {
    for recorded in samples().into_iter().map(|event| self::recorded(9, event)) {
        let texts = match &recorded.event {
            Event::Inbox(_) | Event::Application(_) => recorded.event.clone(),
            _ => continue,
        };
        let mut texts = texts;
        for (name, _, _) in texts.personal_fields() {
            let shown = format!("{:?}", changes(&recorded));
            assert!(!shown.contains(&format!("Text(\"{name}\")")), "{name}: {shown}");
        }
    }
}
