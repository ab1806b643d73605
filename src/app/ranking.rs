//! How the front page is ranked. Pure functions over counts, and the orders that were asked for, kept in memory: when
//! the read model moves on, only the posts that changed are read again.

use std::{
    cmp::Ordering,
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use chrono::Duration;
use countersign_events::{
    event::Event,
    ids::PostId,
    post::{PostEvent, VoteEvent},
    recorded::{Position, Recorded, Timestamp},
};

use crate::store::{ReadModels, StoreError, rows::PostCounts};

macro_rules! words {
    ($(#[$doc:meta])+ $name:ident { $($(#[$default:meta])? $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])+
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "the values of the parameter, by their names")]
        pub enum $name { $($(#[$default])? $variant,)+ }

        impl $name {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// As the parameter spells it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// From the parameter.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str() == text)
            }
        }
    };
}

words! {
    /// In which order.
    Sort {
        #[default]
        Hot = "hot",
        New = "new",
        Old = "old",
        Top = "top",
        Bottom = "bottom",
        Controversial = "controversial",
        Comments = "comments",
    }
}

words! {
    /// From which time.
    Span { Hour = "hour", Day = "day", Week = "week", Month = "month", Year = "year", #[default] All = "all", }
}

impl Span {
    /// Where it begins.
    #[must_use]
    pub fn since(self, now: Timestamp) -> Option<Timestamp> {
        let back = match self {
            Self::Hour => Duration::hours(1),
            Self::Day => Duration::days(1),
            Self::Week => Duration::weeks(1),
            Self::Month => Duration::days(30),
            Self::Year => Duration::days(365),
            Self::All => return None,
        };
        Some(now - back)
    }
}

/// Age weighs as much as a tenfold score every so many seconds.
const HOT_UNIT_SECONDS: f64 = 45_000.0;

#[expect(clippy::cast_precision_loss, reason = "counts and seconds stay far below 2^52")]
fn hot(post: &PostCounts) -> f64 {
    let score = post.upvotes - post.downvotes;
    let magnitude = (score.unsigned_abs().max(1) as f64).log10();
    let sign = f64::from(i8::try_from(score.signum()).unwrap_or_default());
    sign.mul_add(magnitude, post.created_at.timestamp() as f64 / HOT_UNIT_SECONDS)
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
fn controversial(post: &PostCounts) -> f64 {
    let (up, down) = (post.upvotes as f64, post.downvotes as f64);
    if up <= 0.0 || down <= 0.0 {
        return 0.0;
    }
    (up + down).powf(up.min(down) / up.max(down))
}

/// Which of two posts comes first; ties go to the newer one, then by id.
#[must_use]
pub fn order(sort: Sort, a: &PostCounts, b: &PostCounts) -> Ordering {
    let score = |post: &PostCounts| post.upvotes - post.downvotes;
    let newest = || b.created_at.cmp(&a.created_at).then(a.post_id.cmp(&b.post_id));
    match sort {
        Sort::New => newest(),
        Sort::Old => a.created_at.cmp(&b.created_at).then(a.post_id.cmp(&b.post_id)),
        Sort::Hot => hot(b).total_cmp(&hot(a)).then_with(newest),
        Sort::Top => score(b).cmp(&score(a)).then_with(newest),
        Sort::Bottom => score(a).cmp(&score(b)).then_with(newest),
        Sort::Controversial => controversial(b).total_cmp(&controversial(a)).then_with(newest),
        Sort::Comments => b.comment_count.cmp(&a.comment_count).then_with(newest),
    }
}

/// So many changes are remembered; an order that is older is made anew.
const REMEMBERED: usize = 4_096;
/// So many posts are read one by one; when more have changed, reading all of them is quicker.
const ONE_BY_ONE: usize = 200;

/// Which posts changed lately, as the log tells it.
pub struct Board(Mutex<Changes>);

struct Changes {
    /// The newest event that the board shows.
    newest: Position,
    /// Every change after this one is in `posts`.
    complete_after: Position,
    posts: VecDeque<(Position, PostId)>,
}

impl Board {
    /// As of the end of the log, where nothing is known of what was before.
    #[must_use]
    pub fn new(head: Position) -> Self {
        Self(Mutex::new(Changes { newest: head, complete_after: head, posts: VecDeque::new() }))
    }

    fn changes(&self) -> std::sync::MutexGuard<'_, Changes> {
        // Whoever panicked in here left nothing half done that a later change would not show.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of an event that was appended.
    pub fn note(&self, recorded: &Recorded<Event>) {
        let post = match &recorded.event {
            Event::Post(PostEvent::PostPublished { post_id, .. } | PostEvent::CommentPosted { post_id, .. })
            | Event::Vote(VoteEvent::VoteCast { post_id, .. }) => *post_id,
            Event::Account(_)
            | Event::Username(_)
            | Event::Application(_)
            | Event::Authorization(_)
            | Event::Inbox(_)
            | Event::Site(_)
            | Event::Projection(_) => return,
        };
        let mut changes = self.changes();
        changes.newest = recorded.envelope.position;
        changes.posts.push_back((recorded.envelope.position, post));
        if changes.posts.len() > REMEMBERED
            && let Some((position, _)) = changes.posts.pop_front()
        {
            changes.complete_after = position;
        }
    }

    /// The newest event that it shows.
    #[must_use]
    pub fn newest(&self) -> Position {
        self.changes().newest
    }

    /// The posts that changed after a position, each once; `None` when that is not known, or not worth asking.
    fn changed_after(&self, position: Position) -> Option<HashSet<PostId>> {
        let changes = self.changes();
        if position < changes.complete_after {
            return None;
        }
        let later = changes.posts.iter().rev().take_while(|(at, _)| *at > position);
        let posts: HashSet<_> = later.map(|(_, post)| *post).collect();
        (posts.len() <= ONE_BY_ONE).then_some(posts)
    }
}

/// Posts in order.
pub type Ranked = Arc<Vec<PostCounts>>;

/// As of when an order is: the generation of the read model, and how far that had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AsOf {
    /// The generation. Another one may count what was parked before.
    pub generation: u64,
    /// The last event of the board in it.
    pub position: Position,
}

/// The orders that were asked for.
#[derive(Default)]
pub struct Ranking {
    kept: tokio::sync::Mutex<HashMap<Sort, (AsOf, Ranked)>>,
}

impl Ranking {
    /// The order as of a position at least; it is made once, by whoever asks first, while the others wait.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn get(
        &self,
        models: &dyn ReadModels,
        board: &Board,
        wanted: AsOf,
        sort: Sort,
    ) -> Result<Ranked, StoreError> {
        let mut kept = self.kept.lock().await;
        let known = kept.get(&sort).filter(|(as_of, _)| as_of.generation == wanted.generation);
        let changed = known.and_then(|(as_of, _)| board.changed_after(as_of.position));
        let posts = match (known, changed) {
            (Some((as_of, ranked)), _) if as_of.position >= wanted.position => return Ok(ranked.clone()),
            (Some((_, ranked)), Some(changed)) => {
                let ids: Vec<_> = changed.iter().copied().collect();
                let now = models.posts(&ids, 0).await?.into_iter().map(|row| row.counts);
                reordered(sort, ranked, &changed, now)
            }
            (_, _) => {
                let mut posts = models.post_counts(None).await?;
                posts.sort_unstable_by(|a, b| order(sort, a, b));
                posts
            }
        };
        let ranked = Arc::new(posts);
        kept.insert(sort, (wanted, ranked.clone()));
        Ok(ranked)
    }
}

/// An order in which some posts have changed or are new.
fn reordered(
    sort: Sort,
    ranked: &[PostCounts],
    changed: &HashSet<PostId>,
    now: impl Iterator<Item = PostCounts>,
) -> Vec<PostCounts> {
    let mut posts = Vec::with_capacity(ranked.len() + changed.len());
    posts.extend(ranked.iter().filter(|post| !changed.contains(&post.post_id)));
    posts.extend(now);
    // The stable sort finds the long run that is in order already.
    posts.sort_by(|a, b| order(sort, a, b));
    posts
}

/// The part of an order that a page shows: from a time on, after a post or so many pages in. `true`: there is more.
/// `None` when there is no such post to begin after.
#[must_use]
pub fn page(
    ranked: &[PostCounts],
    since: Option<Timestamp>,
    after: Option<PostId>,
    page: u32,
    limit: u32,
) -> Option<(Vec<PostId>, bool)> {
    let limit = limit as usize;
    let (begins, skipped) = match after {
        // It may be older than the time by now.
        Some(after) => (ranked.iter().position(|post| post.post_id == after)? + 1, 0),
        None => (0, (page.max(1) - 1) as usize * limit),
    };
    let within = ranked[begins..].iter().filter(|post| since.is_none_or(|since| post.created_at >= since));
    let mut wanted: Vec<_> = within.map(|post| post.post_id).skip(skipped).take(limit + 1).collect();
    let more = wanted.len() > limit;
    wanted.truncate(limit);
    Some((wanted, more))
}

#[cfg(test)]
mod tests {
    use countersign_events::{
        ids::{EventId, UserId},
        post::Direction,
        recorded::{Actor, Envelope, StreamName, Version},
    };
    use uuid::Uuid;

    use super::*;

    fn post(id: u64) -> PostId {
        PostId(Uuid::from_u128(id.into()))
    }

    fn counts(id: u64, upvotes: i64) -> PostCounts {
        PostCounts { post_id: post(id), created_at: Timestamp::UNIX_EPOCH, comment_count: 0, upvotes, downvotes: 0 }
    }

    fn vote(position: u64, id: u64) -> Recorded<Event> {
        let user_id = UserId(Uuid::nil());
        let event = VoteEvent::VoteCast {
            post_id: post(id),
            user_id,
            direction: Direction::Up,
            previous: Direction::None,
            at: Timestamp::UNIX_EPOCH,
        };
        let envelope = Envelope {
            position: Position(position),
            event_id: EventId(Uuid::nil()),
            stream: StreamName::Vote(post(id), user_id),
            version: Version(1),
            recorded_at: Timestamp::UNIX_EPOCH,
            actor: Actor::System,
            on_behalf_of: None,
            client_address: None,
            request_id: None,
            command_id: None,
            causation: None,
        };
        Recorded { envelope, event: event.into() }
    }

    #[test]
    fn an_order_in_which_posts_changed_is_the_order_of_all_of_them() {
        let before: Vec<_> = (0..50).map(|id| counts(id, 50 - i64::try_from(id).unwrap())).collect();
        let now = [counts(3, 0), counts(40, 100), counts(77, 20)];
        let changed = now.iter().map(|counts| counts.post_id).collect();
        let reordered = reordered(Sort::Top, &before, &changed, now.into_iter());
        let mut anew: Vec<_> = before.into_iter().filter(|post| !changed.contains(&post.post_id)).chain(now).collect();
        anew.sort_unstable_by(|a, b| order(Sort::Top, a, b));
        assert_eq!(reordered, anew);
    }

    #[test]
    fn the_board_says_what_changed_after_a_position_and_what_it_does_not_know() {
        let board = Board::new(Position(10));
        for (position, id) in [(11, 1), (13, 2), (14, 1)] {
            board.note(&vote(position, id));
        }
        assert_eq!(board.newest(), Position(14));
        assert_eq!(board.changed_after(Position(9)), None, "it was not there");
        assert_eq!(board.changed_after(Position(10)), Some(HashSet::from([post(1), post(2)])));
        assert_eq!(board.changed_after(Position(13)), Some(HashSet::from([post(1)])));
        assert_eq!(board.changed_after(Position(14)), Some(HashSet::new()));
        for position in 0..REMEMBERED as u64 {
            board.note(&vote(20 + position, 3));
        }
        assert_eq!(board.changed_after(Position(13)), None, "that is too long ago");
        assert_eq!(board.changed_after(Position(14)), Some(HashSet::from([post(3)])));
        for id in 0..=ONE_BY_ONE as u64 {
            board.note(&vote(10_000 + id, 100 + id));
        }
        assert_eq!(board.changed_after(Position(9_999)), None, "those are too many");
    }
}
