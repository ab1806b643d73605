//! What any history adds up to, against a recount of the history itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use countersign_events::{
    application::ApplicationEvent,
    authorization::{AuthorizationEvent, Ended, Via},
    decider::Decider,
    ids::{DataKeyId, UsernameDigest, VerifierId},
    inbox::{InboxEvent, Topic},
    post::{CastVote, Direction, PostEvent, Vote, VoteEvent},
    sensitive::{Personal, Subject},
    token::TokenKind,
};
use proptest::prelude::*;

use super::{interpreter::Memory, *};
use crate::{
    authorizations::AUTHORIZATIONS,
    front_page::{COMMENTS, POSTS},
    inbox::{AUDIENCE, NOTIFICATIONS},
    tokens::TOKENS,
};

/// What happens, which post or application, which member, which way.
type Ask = (u8, u8, u8, u8);

fn asks() -> impl Strategy<Value = Vec<Ask>> {
    prop::collection::vec((0_u8..14, 1_u8..4, 1_u8..5, 0_u8..3), 0..80)
}

/// A log of what the asks lead to; votes go through their decider.
fn log(asks: &[Ask]) -> Vec<Recorded<Event>> {
    let (mut votes, mut published, mut log) = (BTreeMap::<_, Vote>::new(), BTreeSet::new(), vec![]);
    for (number, (kind, which, who, way)) in (1_u8..).zip(asks.iter().copied()) {
        let (post_id, user_id, at) = (post(which), user(who), at(number.into()));
        let event: Option<Event> = match kind {
            // A vote may be older than its post in what a projection sees; it then has no row to count in.
            0 => published.insert(which).then(|| {
                let (mentions, title, body) = (vec![], "News".into(), "Of today".into());
                PostEvent::PostPublished { post_id, author: user_id, mentions, title, url: None, body, at }.into()
            }),
            1..=4 => {
                let vote = votes.entry((which, who)).or_default();
                let direction = [Direction::Up, Direction::Down, Direction::None][usize::from(way)];
                let Ok(events) = vote.decide(CastVote { post_id, user_id, direction, at });
                *vote = events.iter().fold(*vote, Vote::evolve);
                events.into_iter().next().map(Event::from)
            }
            _ => Some(simple_event(number, (kind, which, who, way))),
        };
        log.extend(event.map(|event| recorded(number, event)));
    }
    log
}

/// What needs no look at the log before: comments, consents and their end, suspensions, letters.
fn simple_event(number: u8, (kind, which, who, way): Ask) -> Event {
    let (post_id, application_id, user_id, at) = (post(which), application(which), user(who), at(number.into()));
    match kind {
        5 | 6 => PostEvent::CommentPosted {
            post_id,
            comment_id: comment(number),
            parent: None,
            author: user_id,
            answers: user(way + 1),
            mentions: vec![user(1)],
            body: "Indeed".into(),
            at,
        }
        .into(),
        7 | 8 => AuthorizationEvent::UserAuthorized {
            application_id,
            user_id,
            grant: 1,
            application_revision: 1,
            scopes: scopes("read"),
            via: if way == 0 { Via::Approval } else { Via::Consent },
            at,
        }
        .into(),
        9 => AuthorizationEvent::AuthorizationRescinded { application_id, user_id, at }.into(),
        10 => {
            let decision = decision(user(9), number.into());
            ApplicationEvent::ApplicationSuspended { application_id, decision }.into()
        }
        11 => AccountEvent::UserErased { user_id, at }.into(),
        12 => AccountEvent::UserRegistered {
            user_id,
            username: "member".into(),
            username_digest: UsernameDigest::new([who; 16]),
            verifier: VerifierId(user_id.0),
            data_key: DataKeyId(user_id.0),
            at,
        }
        .into(),
        _ => InboxEvent::PrivateMessageSent {
            message_id: message(number),
            to: user_id,
            from: None,
            topic: Topic::Letter,
            title: "Hello".into(),
            body: "You".into(),
            held: None,
            at,
        }
        .into(),
    }
}

/// Votes and comments of a post since it was published, counted from the log.
fn recount(log: &[Recorded<Event>], wanted: PostId) -> (i64, i64, i64) {
    let (mut last, mut comments, mut before) = (BTreeMap::new(), 0, None);
    for recorded in log {
        match &recorded.event {
            Event::Post(PostEvent::PostPublished { post_id, .. }) if *post_id == wanted => {
                before = Some(last.clone());
                comments = 0;
            }
            Event::Post(PostEvent::CommentPosted { post_id, .. }) if *post_id == wanted => comments += 1,
            Event::Vote(VoteEvent::VoteCast { post_id, user_id, direction, .. }) if *post_id == wanted => {
                last.insert(*user_id, *direction);
            }
            _ => {}
        }
    }
    let sum = |votes: &BTreeMap<UserId, Direction>| {
        votes.values().fold((0, 0), |sum, vote| (sum.0 + vote.counts().0, sum.1 + vote.counts().1))
    };
    let (all, old) = (sum(&last), sum(&before.unwrap_or_default()));
    (all.0 - old.0, all.1 - old.1, comments)
}

/// Who was told, of which event.
type Told = BTreeSet<(UserId, String)>;
/// Who consents to which application.
type Audience = BTreeSet<(ApplicationId, UserId)>;

/// Who must have been told of what: a member of each consent and of each end of one by others, and of each suspension
/// those who had consented then and not rescinded since.
fn audience_told(log: &[Recorded<Event>]) -> (Told, Audience) {
    let (mut told, mut audience) = (BTreeSet::new(), BTreeSet::new());
    for recorded in log {
        match &recorded.event {
            Event::Authorization(AuthorizationEvent::UserAuthorized {
                application_id,
                user_id,
                via: Via::Consent,
                ..
            }) => {
                audience.insert((*application_id, *user_id));
                told.insert((*user_id, recorded.envelope.event_id.to_string()));
            }
            Event::Authorization(AuthorizationEvent::AuthorizationRescinded { application_id, user_id, .. }) => {
                // Nobody in these logs rescinds their own.
                told.insert((*user_id, recorded.envelope.event_id.to_string()));
                audience.remove(&(*application_id, *user_id));
            }
            Event::Account(AccountEvent::UserErased { user_id, .. }) => {
                audience.retain(|(_, user)| user != user_id);
                told.retain(|(user, _)| user != user_id);
            }
            Event::Application(ApplicationEvent::ApplicationSuspended { application_id, .. }) => {
                let now = audience.iter().filter(|(application, _)| application == application_id);
                told.extend(now.map(|(_, user)| (*user, recorded.envelope.event_id.to_string())));
            }
            _ => {}
        }
    }
    (told, audience)
}

/// Takes the texts of these members out of an event.
fn erase(event: &mut Event, members: &BTreeSet<UserId>) {
    for (_, subject, field) in event.personal_fields() {
        if matches!(subject, Subject::User(user) if members.contains(&user)) {
            *field = Personal::Erased;
        }
    }
}

fn text(value: &V) -> &str {
    if let V::Text(text) = value { text } else { panic!("a text, not {value:?}") }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn a_fold_of_the_log_has_the_rows_that_applying_each_change_leads_to(asks in asks()) {
        let log = log(&asks);
        let memory = Memory::of(&log);
        for projection in INLINE.iter().chain(TRAILING) {
            let mut fold = crate::fold::Fold::default();
            for change in log.iter().flat_map(projection.project) {
                fold.apply(change);
            }
            for table in projection.tables {
                prop_assert_eq!(fold.take(table), memory.sorted(table), "{}", table.name);
            }
        }
    }

    #[test]
    fn replaying_a_log_makes_the_same_rows_also_with_a_stop_in_between(asks in asks(), cut in any::<prop::sample::Index>()) {
        let log = log(&asks);
        let memory = Memory::of(&log);
        prop_assert_eq!(&memory, &Memory::of(&log));
        let (before, after) = log.split_at(cut.index(log.len() + 1));
        let mut resumed = Memory::of(before);
        resumed.follow(after);
        prop_assert_eq!(&memory, &resumed);
    }

    /// A rebuild reads a log whose erased members have lost every text, those of before included; who followed
    /// live read them while they could.
    #[test]
    fn a_replay_after_erasures_makes_the_rows_of_those_who_followed_live(asks in asks()) {
        let mut live = log(&asks);
        let mut erased = BTreeSet::new();
        for recorded in &mut live {
            if let Event::Account(AccountEvent::UserErased { user_id, .. }) = &recorded.event {
                erased.insert(*user_id);
            }
            erase(&mut recorded.event, &erased);
        }
        let mut anew = live.clone();
        for recorded in &mut anew {
            erase(&mut recorded.event, &erased);
        }
        let memory = Memory::of(&live);
        prop_assert_eq!(&memory, &Memory::of(&anew));
        for user in erased {
            let mine = |column: &str, row: &HashMap<&str, V>| row[column] == change::id(user);
            for (_, row) in memory.rows(&POSTS).filter(|(_, row)| mine("author_id", row)) {
                prop_assert_eq!([&row["title"], &row["url"], &row["body"]], [&V::Null; 3]);
            }
            for (_, row) in memory.rows(&COMMENTS).filter(|(_, row)| mine("author_id", row)) {
                prop_assert_eq!(&row["body"], &V::Null);
            }
        }
    }

    /// Dead rows may go at any moments, by a cut-off that only grows: what is left in the end is what a
    /// rebuild keeps that applies the last cut-off once.
    #[test]
    fn purging_on_the_way_leaves_what_purging_at_the_end_leaves(
        asks in prop::collection::vec((0_u8..4, 1_u8..4, 0_u8..60), 0..80)
    ) {
        let (mut live, mut log, mut cut_off) = (Memory::default(), vec![], at(0));
        let (mut granted, mut ended) = (false, BTreeSet::new());
        for (number, (kind, which, seconds)) in (1_u8..).zip(asks) {
            let (application_id, user_id, at) = (application(1), user(1), at(number.into()));
            let event: AuthorizationEvent = match kind {
                0 => {
                    granted = true;
                    AuthorizationEvent::UserAuthorized {
                        application_id, user_id, grant: number.into(), application_revision: 1,
                        scopes: scopes("read"), via: Via::Approval, at,
                    }
                }
                // What is not granted is not rescinded.
                1 if granted => {
                    granted = false;
                    AuthorizationEvent::AuthorizationRescinded { application_id, user_id, at }
                }
                // Digests are of random tokens: none is issued twice, and none ends twice.
                2 => AuthorizationEvent::TokenIssued {
                    application_id, user_id, grant: 1, token_id: token_id(number), kind: TokenKind::Access,
                    digest: TokenDigest::from_bytes([number; 32]), scopes: scopes("read"),
                    expires_at: (which > 1).then(|| at + chrono::Duration::seconds(seconds.into())), held: None, at,
                },
                _ if number > which && ended.insert(number - which) => AuthorizationEvent::TokenRevoked {
                    application_id, user_id, token_id: token_id(number - which),
                    digest: TokenDigest::from_bytes([number - which; 32]), why: Ended::Revoked, at,
                },
                _ => continue,
            };
            let recorded = recorded(number, event);
            live.follow(std::slice::from_ref(&recorded));
            log.push(recorded);
            if seconds % 3 == 0 {
                cut_off = cut_off.max(at - chrono::Duration::seconds(which.into()));
                live.purge(&TOKENS, cut_off);
            }
            if seconds % 5 == 0 {
                live.purge(&AUTHORIZATIONS, cut_off);
            }
        }
        let mut anew = Memory::of(&log);
        for memory in [&mut live, &mut anew] {
            memory.purge(&TOKENS, cut_off);
            memory.purge(&AUTHORIZATIONS, cut_off);
        }
        prop_assert_eq!(live, anew);
    }

    #[test]
    fn counts_of_votes_and_comments_equal_a_recount(asks in asks()) {
        let log = log(&asks);
        let memory = Memory::of(&log);
        let was_published = |which: PostId| {
            log.iter().any(|recorded| {
                matches!(&recorded.event, Event::Post(PostEvent::PostPublished { post_id, .. }) if *post_id == which)
            })
        };
        for which in (1..4).map(post) {
            let Some(row) = memory.row(&POSTS, &[change::id(which)]) else {
                prop_assert!(!was_published(which));
                continue;
            };
            let (up, down, comments) = recount(&log, which);
            let counted = [&row["upvotes"], &row["downvotes"], &row["comment_count"]];
            prop_assert_eq!(counted, [&V::Integer(up), &V::Integer(down), &V::Integer(comments)]);
        }
        let comments = log.iter().filter(|r| matches!(r.event, Event::Post(PostEvent::CommentPosted { .. }))).count();
        prop_assert_eq!(memory.rows(&COMMENTS).count(), comments);
    }

    #[test]
    fn exactly_those_who_had_consented_are_told_of_a_suspension_and_each_once(asks in asks()) {
        let log = log(&asks);
        let memory = Memory::of(&log);
        let (told, audience) = audience_told(&log);
        let rows = memory.rows(&NOTIFICATIONS).filter(|(_, row)| row["kind"] == "authorization_change".into());
        let rows: BTreeSet<_> =
            rows.map(|(key, _)| (text(&key[0]).parse::<UserId>().unwrap(), text(&key[1]).to_owned())).collect();
        prop_assert_eq!(rows, told);
        let rows: BTreeSet<_> = memory
            .rows(&AUDIENCE)
            .map(|(key, _)| (text(&key[0]).parse().unwrap(), text(&key[1]).parse().unwrap()))
            .collect();
        prop_assert_eq!(rows, audience);
    }
}
