//! What a stranger can make large, and how large: bounds that hold wherever something passes. Settings that a site can
//! change are in `config`; docs/operating.md has a table of all.

/// No query and no form has more parameters.
pub const PARAMETERS: usize = 200;
/// No request body has more bytes.
pub const BODY_BYTES: usize = 256 * 1024;
/// The texts of one list with their HTML take at most so many bytes.
pub const LIST_BYTES: usize = 768 * 1024;

/// How much each may have at most, so that all of these lengths fit into one room.
#[must_use]
pub fn most_of_each(mut lengths: Vec<usize>, room: usize) -> usize {
    lengths.sort_unstable();
    let (mut left, count) = (room, lengths.len());
    for (at, length) in lengths.into_iter().enumerate() {
        let each = left / (count - at);
        if length > each {
            return each;
        }
        left -= length;
    }
    room
}

/// How many of these, in turn, fit into one room; the first does in any case.
#[must_use]
pub fn that_fit(lengths: impl Iterator<Item = usize>, room: usize) -> usize {
    let mut used = 0_usize;
    lengths
        .enumerate()
        .take_while(|(at, length)| {
            used = used.saturating_add(*length);
            *at == 0 || used <= room
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::{most_of_each, that_fit};

    #[test]
    fn what_is_short_is_whole_and_the_long_ones_share_the_rest() {
        assert_eq!(most_of_each(vec![], 100), 100);
        assert_eq!(most_of_each(vec![60, 20, 20], 100), 100, "all fit");
        assert_eq!(most_of_each(vec![90, 20, 20], 100), 60, "one is cut");
        assert_eq!(most_of_each(vec![90, 10, 90], 100), 45, "two are");
        assert_eq!(most_of_each(vec![90; 4], 100), 25);
        assert_eq!(most_of_each(vec![90; 400], 100), 0);
    }

    #[test]
    fn a_list_ends_where_the_next_would_be_too_much_and_has_one_in_any_case() {
        assert_eq!(that_fit([10, 10, 10].into_iter(), 20), 2);
        assert_eq!(that_fit([90, 1].into_iter(), 20), 1);
        assert_eq!(that_fit([usize::MAX, usize::MAX].into_iter(), 20), 1);
        assert_eq!(that_fit([].into_iter(), 20), 0);
    }
}
