//! Makes a table as narrow as a terminal: shortens its longest texts, and nothing that would be of no use in part.

use std::borrow::Cow;

use serde_json::Value;

/// No text is shortened to less.
const LEAST: usize = 12;
/// Between two columns.
const GAP: usize = 2;

/// Takes from the widest of the columns whose texts may be shortened until all fit. Where they cannot, each line is
/// broken anyhow, and nothing is shortened in vain.
pub(super) fn fitted(whole: &[usize], least: &[Option<usize>], within: usize) -> Vec<usize> {
    let mut widths = whole.to_vec();
    let gaps = GAP * widths.len().saturating_sub(1);
    while widths.iter().sum::<usize>() + gaps > within {
        let may_shrink = |index: &usize| least[*index].is_some_and(|least| widths[*index] > least);
        match (0..widths.len()).filter(may_shrink).max_by_key(|index| widths[*index]) {
            Some(widest) => widths[widest] -= 1,
            None => return whole.to_vec(),
        }
    }
    widths
}

/// What a column keeps of its width at least; `None` where its values are of no use in part.
pub(super) fn least<'a>(header: &str, mut values: impl Iterator<Item = &'a Value>) -> Option<usize> {
    values.any(is_prose).then(|| header.chars().count().max(LEAST))
}

/// A cell in so many characters.
pub(super) fn shortened(cell: &str, width: usize) -> Cow<'_, str> {
    if cell.chars().count() <= width {
        return cell.into();
    }
    cell.chars().take(width.saturating_sub(1)).chain(['…']).collect::<String>().into()
}

/// Whether a value is made of words. Numbers, ids, instants, states and usernames have no space in them, and are read
/// or typed as a whole.
fn is_prose(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
        Value::String(text) => text.contains(char::is_whitespace),
        Value::Array(_) | Value::Object(_) => true,
    }
}
