//! The front page: given what happened on the board, these rows change so.

use countersign_events::post::{Direction, PostEvent, VoteEvent};

use super::*;
use crate::front_page::{COMMENTS, POSTS};

fn project(recorded: &Recorded<Event>) -> Vec<Change> {
    (front_page::PROJECTION.project)(recorded)
}

fn published() -> PostEvent {
    PostEvent::PostPublished {
        post_id: post(1),
        author: user(1),
        mentions: vec![],
        title: "News".into(),
        url: Some("https://news.example/".into()),
        body: "Of today".into(),
        at: at(0),
    }
}

#[test]
fn a_post_begins_with_no_comments_and_no_votes() {
    let row = [
        ("author_id", change::id(user(1))),
        ("application_id", V::Null),
        ("title", "News".into()),
        ("url", "https://news.example/".into()),
        ("body", "Of today".into()),
        ("body_html", V::Null),
        ("created_at", recorded_at(4)),
        ("comment_count", 0_u32.into()),
        ("upvotes", 0_u32.into()),
        ("downvotes", 0_u32.into()),
    ];
    assert_eq!(project(&recorded(4, published())), [upsert(&POSTS, &[change::id(post(1))], &row)]);
}

#[test]
fn what_was_posted_through_an_application_says_so() {
    let mut through = recorded(4, published());
    through.envelope.on_behalf_of = Some(application(7));
    let [Change::Upsert { set, .. }] = &project(&through)[..] else { panic!("a post is a row") };
    assert_eq!(set[1], ("application_id", change::id(application(7))));
}

#[test]
fn a_post_of_an_erased_author_keeps_its_row_without_its_text() {
    let mut event = Event::from(published());
    for (_, _, field) in event.personal_fields() {
        *field = countersign_events::sensitive::Personal::Erased;
    }
    let [Change::Upsert { set, .. }] = &project(&recorded(4, event))[..] else { panic!("a post is a row") };
    assert_eq!(set[2..5], [("title", V::Null), ("url", V::Null), ("body", V::Null)]);
}

#[test]
fn a_comment_is_a_row_and_one_more_for_its_post() {
    let event = PostEvent::CommentPosted {
        post_id: post(1),
        comment_id: comment(2),
        parent: Some(comment(1)),
        author: user(2),
        answers: user(1),
        mentions: vec![],
        body: "Indeed".into(),
        at: at(0),
    };
    let row = [
        ("post_id", change::id(post(1))),
        ("parent_id", change::id(comment(1))),
        ("author_id", change::id(user(2))),
        ("application_id", V::Null),
        ("body", "Indeed".into()),
        ("body_html", V::Null),
        ("created_at", recorded_at(4)),
    ];
    let counted = Change::Increment { table: &POSTS, key: vec![change::id(post(1))], by: vec![("comment_count", 1)] };
    assert_eq!(project(&recorded(4, event)), [upsert(&COMMENTS, &[change::id(comment(2))], &row), counted]);
}

#[test]
fn a_vote_counts_against_what_it_was_before() {
    use Direction::{Down, None, Up};
    let cases = [
        (Up, None, 1, 0),
        (Down, None, 0, 1),
        (Down, Up, -1, 1),
        (Up, Down, 1, -1),
        (None, Up, -1, 0),
        (None, Down, 0, -1),
    ];
    for (direction, previous, up, down) in cases {
        let event = VoteEvent::VoteCast { post_id: post(1), user_id: user(2), direction, previous, at: at(0) };
        let by = vec![("upvotes", up), ("downvotes", down)];
        let counted = Change::Increment { table: &POSTS, key: vec![change::id(post(1))], by };
        assert_eq!(project(&recorded(4, event)), [counted]);
    }
}
