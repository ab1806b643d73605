//! The order in which a discussion is read: each comment with the answers to it below, and where its pages begin.
//! Pure; what a comment looks like is the template's.

use std::{collections::HashMap, hash::Hash, ops::Range};

/// A comment in its discussion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Which of the comments.
    pub comment: usize,
    /// How many comments stand above it, each answered by the next.
    pub depth: usize,
    /// Which comment it answers.
    pub answers: Option<usize>,
}

/// Every comment once, each below the one that it answers, siblings in the order given. One whose parent is unknown
/// answers nobody.
#[must_use]
pub fn in_order<Id: Copy + Eq + Hash>(comments: &[(Id, Option<Id>)]) -> Vec<Place> {
    let known: HashMap<Id, usize> = comments.iter().enumerate().map(|(index, (id, _))| (*id, index)).collect();
    let mut answers: Vec<Vec<usize>> = vec![vec![]; comments.len()];
    let mut waiting = vec![];
    for (index, (_, parent)) in comments.iter().enumerate() {
        match parent.and_then(|parent| known.get(&parent)) {
            Some(parent) => answers[*parent].push(index),
            None => waiting.push(Place { comment: index, depth: 0, answers: None }),
        }
    }
    // What is waiting longest is read last.
    waiting.reverse();
    let mut order = Vec::with_capacity(comments.len());
    while let Some(place) = waiting.pop() {
        order.push(place);
        let below = answers[place.comment].iter().rev();
        waiting.extend(below.map(|answer| Place {
            comment: *answer,
            depth: place.depth + 1,
            answers: Some(place.comment),
        }));
    }
    order
}

/// Where pages begin and end, when each holds things of this much weight together; one that is too heavy for any page
/// has a page of its own. The first page has less room by `taken`, and may have none. There is always a page.
#[must_use]
pub fn pages(weights: impl Iterator<Item = usize>, taken: usize, room: usize) -> Vec<Range<usize>> {
    let (mut pages, mut begin, mut end, mut used) = (vec![], 0, 0, taken);
    for weight in weights {
        if used > 0 && used + weight > room {
            pages.push(begin..end);
            (begin, used) = (end, 0);
        }
        used += weight;
        end += 1;
    }
    pages.push(begin..end);
    pages
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(comments: &[(u32, Option<u32>)]) -> Vec<(u32, usize)> {
        in_order(comments).iter().map(|place| (comments[place.comment].0, place.depth)).collect()
    }

    #[test]
    fn answers_stand_below_what_they_answer_oldest_first() {
        let comments = [(1, None), (2, None), (3, Some(1)), (4, Some(2)), (5, Some(1)), (6, Some(3)), (7, None)];
        assert_eq!(order(&comments), [(1, 0), (3, 1), (6, 2), (5, 1), (2, 0), (4, 1), (7, 0)]);
        let answered = in_order(&comments)[2].answers.map(|parent| comments[parent].0);
        assert_eq!(answered, Some(3), "6 answers 3");
    }

    #[test]
    fn an_answer_that_comes_before_its_comment_is_below_it_and_one_to_nobody_known_is_not_lost() {
        assert_eq!(order(&[(2, Some(1)), (1, None), (3, Some(9))]), [(1, 0), (2, 1), (3, 0)]);
        assert_eq!(order(&[]), []);
    }

    #[test]
    fn a_discussion_of_any_depth_is_walked_through() {
        let comments: Vec<_> = (0_u32..20_000).map(|id| (id, id.checked_sub(1))).collect();
        let order = in_order(&comments);
        assert!(order.iter().enumerate().all(|(index, place)| (place.comment, place.depth) == (index, index)));
    }

    #[test]
    fn a_page_ends_where_the_next_thing_would_be_too_much() {
        let cut = |weights: &[usize], taken| pages(weights.iter().copied(), taken, 10);
        assert_eq!(cut(&[4, 4, 4, 2, 9], 0), [0..2, 2..4, 4..5]);
        assert_eq!(cut(&[4, 4], 3), [0..1, 1..2], "the first page has less room");
        assert_eq!(cut(&[40, 40], 0), [0..1, 1..2], "each page has one at least");
        assert_eq!(cut(&[4, 40], 30), [0..0, 0..1, 1..2], "but the first, when there is no room");
        assert_eq!(cut(&[], 30), vec![0..0; 1]);
    }
}
