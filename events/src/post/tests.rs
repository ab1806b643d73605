//! What may happen on the board, one sentence a test.

use proptest::prelude::*;

use super::{PostCommand as C, PostEvent as E, *};
use crate::spec::{self, at, comment, post, user};

const ADA: UserId = user(1);
const BEN: UserId = user(2);
const CLEO: UserId = user(3);

fn given(events: impl IntoIterator<Item = E>) -> spec::Given<Post> {
    spec::given(events)
}

fn published() -> E {
    E::PostPublished {
        post_id: post(1),
        author: ADA,
        mentions: vec![CLEO],
        title: "News".into(),
        url: None,
        body: "Of today".into(),
        at: at(0),
    }
}

fn publish(author: UserId) -> C {
    let (title, body) = ("News".into(), "Of today".into());
    C::Publish { post_id: post(1), author, mentions: vec![CLEO], title, url: None, body, at: at(0) }
}

fn write(number: u32, parent: Option<u32>, author: UserId) -> C {
    C::Comment {
        post_id: post(1),
        comment_id: comment(number),
        parent: parent.map(comment),
        author,
        mentions: vec![CLEO],
        body: "Indeed".into(),
        at: at(5),
    }
}

fn commented(number: u32, parent: Option<u32>, author: UserId, answers: UserId) -> E {
    E::CommentPosted {
        post_id: post(1),
        comment_id: comment(number),
        parent: parent.map(comment),
        author,
        answers,
        mentions: vec![CLEO],
        body: "Indeed".into(),
        at: at(5),
    }
}

#[test]
fn a_post_is_published_once() {
    given([]).when(publish(ADA)).then([published()]);
    for author in [ADA, BEN] {
        given([published()]).when(publish(author)).refused(PostRefusal::AlreadyPublished);
    }
}

#[test]
fn nobody_comments_on_a_post_that_does_not_exist() {
    given([]).when(write(1, None, BEN)).refused(PostRefusal::NoSuchPost);
}

#[test]
fn a_comment_answers_the_author_of_the_post() {
    given([published()]).when(write(1, None, BEN)).then([commented(1, None, BEN, ADA)]);
}

#[test]
fn a_reply_answers_the_author_of_the_comment() {
    given([published(), commented(1, None, BEN, ADA)]).when(write(2, Some(1), CLEO)).then([commented(
        2,
        Some(1),
        CLEO,
        BEN,
    )]);
}

#[test]
fn a_reply_to_a_comment_under_another_post_is_refused() {
    given([published()]).when(write(2, Some(1), CLEO)).refused(PostRefusal::NoSuchComment);
}

#[test]
fn a_comment_is_posted_once_and_keeps_its_author() {
    let there = given([published(), commented(1, None, BEN, ADA)]);
    there.when(write(1, None, BEN)).then_nothing();
    there.when(write(1, None, CLEO)).refused(PostRefusal::AlreadyPublished);
}

fn cast(direction: Direction) -> CastVote {
    CastVote { post_id: post(1), user_id: ADA, direction, at: at(0) }
}

fn vote_cast(direction: Direction, previous: Direction) -> VoteEvent {
    VoteEvent::VoteCast { post_id: post(1), user_id: ADA, direction, previous, at: at(0) }
}

#[test]
fn a_vote_says_what_it_was_before() {
    let directions = [Direction::Up, Direction::Down, Direction::None];
    for before in directions {
        let vote = spec::given::<Vote>([vote_cast(before, Direction::None)]);
        for direction in directions {
            let outcome = vote.when(cast(direction));
            if direction == before { outcome.then_nothing() } else { outcome.then([vote_cast(direction, before)]) }
        }
    }
}

#[test]
fn taking_back_a_vote_that_was_never_cast_records_nothing() {
    spec::given::<Vote>([]).when(cast(Direction::None)).then_nothing();
}

fn direction() -> impl Strategy<Value = Direction> {
    prop_oneof![Just(Direction::Up), Just(Direction::Down), Just(Direction::None)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn a_vote_s_previous_is_always_the_last_direction_and_its_counts_add_up(
        asks in prop::collection::vec(direction(), 0..40)
    ) {
        let steps = spec::play(asks, |_: &Vote, _, direction| cast(direction));
        let (mut last, mut sum) = (Direction::None, (0, 0));
        for VoteEvent::VoteCast { direction, previous, .. } in steps.iter().flat_map(spec::Step::events) {
            prop_assert_eq!(*previous, last);
            prop_assert_ne!(direction, previous);
            let ((up, down), (old_up, old_down)) = (direction.counts(), previous.counts());
            sum = (sum.0 + up - old_up, sum.1 + down - old_down);
            prop_assert_eq!(sum, direction.counts());
            last = *direction;
        }
    }

    #[test]
    fn a_post_keeps_its_author_and_every_answer_names_the_author_it_answers(
        asks in prop::collection::vec((0_u8..6, 1_u32..6, 0_u32..6, 1_u32..4), 0..40)
    ) {
        let steps = spec::play(asks, |_: &Post, _, (kind, number, parent, by)| match kind {
            0 => publish(user(by)),
            _ => write(number, (parent > 0).then_some(parent), user(by)),
        });
        for step in &steps {
            prop_assert!(step.before.author.is_none() || step.before.author == step.after.author);
            prop_assert!(step.events().len() <= 1);
            for (id, author) in &step.before.comments {
                prop_assert_eq!(step.after.comments.get(id), Some(author));
            }
            if let [E::CommentPosted { parent, answers, comment_id, .. }] = step.events() {
                prop_assert!(!step.before.comments.contains_key(comment_id));
                let answered = parent.map_or(step.before.author, |id| step.before.comments.get(&id).copied());
                prop_assert_eq!(answered, Some(*answers));
            }
        }
    }
}
