//! How the front page is ranked. Pure functions over counts, and one ranking kept in memory until
//! the read model moves on.

use std::{cmp::Ordering, collections::HashMap, sync::Arc};

use chrono::Duration;
use countersign_events::{
    ids::PostId,
    recorded::{Position, Timestamp},
};
use tokio::sync::Mutex;

use crate::store::{StoreError, rows::PostCounts};

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

/// Posts in order.
pub type Ranked = Arc<Vec<PostCounts>>;

/// The orders that were asked for, as of one position of the board.
#[derive(Default)]
pub struct Ranking {
    kept: Mutex<(Position, HashMap<Sort, Ranked>)>,
}

impl Ranking {
    /// The order as of a position; it is made once, by whoever asks first, while the others wait.
    ///
    /// # Errors
    /// Those of `read`.
    pub async fn get<Fut>(
        &self,
        position: Position,
        sort: Sort,
        read: impl FnOnce() -> Fut + Send,
    ) -> Result<Ranked, StoreError>
    where
        Fut: Future<Output = Result<Vec<PostCounts>, StoreError>> + Send,
    {
        let mut kept = self.kept.lock().await;
        if kept.0 != position {
            *kept = (position, HashMap::new());
        }
        if let Some(ranked) = kept.1.get(&sort) {
            return Ok(ranked.clone());
        }
        let mut posts = read().await?;
        posts.sort_unstable_by(|a, b| order(sort, a, b));
        let ranked = Arc::new(posts);
        kept.1.insert(sort, ranked.clone());
        Ok(ranked)
    }
}

/// The part of an order that a page shows: from a time on, after a post or so many pages in. `true`: there is more.
#[must_use]
pub fn page(
    ranked: &[PostCounts],
    since: Option<Timestamp>,
    after: Option<PostId>,
    page: u32,
    limit: u32,
) -> (Vec<PostId>, bool) {
    let within =
        ranked.iter().filter(|post| since.is_none_or(|since| post.created_at >= since)).map(|post| post.post_id);
    let limit = limit as usize;
    let mut wanted: Vec<_> = match after {
        Some(after) => within.skip_while(|post| *post != after).skip(1).take(limit + 1).collect(),
        None => within.skip((page.max(1) - 1) as usize * limit).take(limit + 1).collect(),
    };
    let more = wanted.len() > limit;
    wanted.truncate(limit);
    (wanted, more)
}
