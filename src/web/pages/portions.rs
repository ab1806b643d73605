//! What can be too much for one page, in parts: texts, lists, histories. With its style sheet and its script no page
//! has more than 50 KiB on the wire, whatever members have written and however long they have been here; but for a form
//! that comes back with all that was typed into it.

use std::borrow::Cow;

use axum::http::StatusCode;

use countersign_projections::markdown;

use super::PageError;
use crate::{app::history::Happening, web::extract::Fields};

/// A page has so many bytes of one text. No language compresses to more than four fifths of them.
pub(super) const TEXT: usize = 40 * 1024;
/// A list of cards has so many on a page.
const CARDS: usize = 20;
/// A history has so many bytes on a page.
const HISTORY: usize = 24 * 1024;
/// What a step of a history takes besides its words.
const STEP: usize = 100;

/// A text, or as much of it as so many bytes; then it says that there is more.
pub(super) fn shortened(text: &str, bytes: usize) -> Cow<'_, str> {
    match text.floor_char_boundary(bytes) {
        end if end == text.len() => text.into(),
        end => format!("{}…", &text[..end]).into(),
    }
}

/// A text, or as much of it as so many letters; then it says that there is more. A letter of three or four bytes is wide,
/// and counts as one and a half or two.
pub(super) fn beginning(text: &str, letters: usize) -> Cow<'_, str> {
    let end = text.char_indices().nth(letters).map_or(text.len(), |(end, _)| end);
    shortened(text, end.min(letters * 2))
}

/// A number from 1 that a query may name: a part, or a page.
pub(super) fn number(query: &Fields, name: &'static str) -> Result<usize, PageError> {
    let number = query.get(name).map_or(Some(1), |number| number.parse().ok().filter(|number| *number > 0));
    number.ok_or_else(|| PageError::request(StatusCode::BAD_REQUEST, format!("{name} is a number from 1.")))
}

/// The address of a part, on a page that may have a query already.
fn address(page: &str, name: &str, number: usize, place: &str) -> String {
    let mark = if page.contains('?') { '&' } else { '?' };
    format!("{page}{mark}{name}={number}#{place}")
}

/// A text that somebody wrote in Markdown, or a part of a long one.
pub(super) struct TextPart {
    pub html: String,
    pub number: usize,
    pub of: usize,
    page: String,
    place: String,
}

impl TextPart {
    /// The part with this number or the nearest. `html` is the whole of it, where that is kept; `place` is where on its page
    /// the text stands.
    pub fn of(text: &str, html: Option<String>, number: usize, page: String, place: String) -> Self {
        let mut parts = match html {
            Some(html) if text.len() <= TEXT => vec![html],
            _ => markdown::parts(text, TEXT),
        };
        let (of, number) = (parts.len(), number.min(parts.len()));
        Self { html: parts.swap_remove(number - 1), number, of, page, place }
    }

    pub fn address(&self, number: usize) -> String {
        address(&self.page, "part", number, &self.place)
    }
}

/// A list of cards, or a part of a long one.
pub(super) struct ListPart<T> {
    /// In the query, and of the list on its page.
    pub name: &'static str,
    pub items: Vec<T>,
    pub number: usize,
    pub of: usize,
    /// So many there are in all.
    pub total: usize,
    /// The query names it.
    pub named: bool,
    page: String,
}

impl<T> ListPart<T> {
    /// The part that the query names or the nearest.
    pub fn of(all: Vec<T>, name: &'static str, query: &Fields, page: &str) -> Result<Self, PageError> {
        let (total, of) = (all.len(), all.len().div_ceil(CARDS).max(1));
        let number = number(query, name)?.min(of);
        let items = all.into_iter().skip((number - 1) * CARDS).take(CARDS).collect();
        Ok(Self { name, items, number, of, total, named: query.get(name).is_some(), page: page.to_owned() })
    }

    pub fn address(&self, number: usize) -> String {
        address(&self.page, self.name, number, self.name)
    }
}

/// The newest steps of a history, or some before them; oldest first.
pub(super) struct HistoryPart {
    pub steps: Vec<Happening>,
    /// So many steps come before these.
    pub earlier: usize,
    /// Newer ones come after these.
    pub later: bool,
    page: String,
}

impl HistoryPart {
    /// What comes before the step that the query names, which links of this page do.
    pub fn of(mut steps: Vec<Happening>, query: &Fields, page: String) -> Result<Self, PageError> {
        let total = steps.len();
        steps.truncate(if query.get("before").is_some() { number(query, "before")? } else { total });
        let later = steps.len() < total;
        let weight = |step: &Happening| STEP + step.sentence.len() + step.text.as_deref().map_or(0, str::len);
        let mut used = 0;
        // The last one is shown whatever it weighs.
        let fits = |step: &&Happening| {
            let first = used == 0;
            used += weight(step);
            first || used <= HISTORY
        };
        let earlier = steps.len() - steps.iter().rev().take_while(fits).count();
        steps.drain(..earlier);
        Ok(Self { steps, earlier, later, page })
    }

    pub fn address_of_earlier(&self) -> String {
        address(&self.page, "before", self.earlier, "history")
    }

    pub fn address_of_newest(&self) -> String {
        format!("{}#history", self.page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_ends_between_letters_and_says_that_there_is_more() {
        assert_eq!(beginning("four", 4), "four");
        assert_eq!(beginning("fours", 4), "four…");
        assert_eq!(beginning("ёёёёё", 4), "ёёёё…");
        assert_eq!(beginning("中中中中", 4), "中中…", "three bytes each");
        assert_eq!(beginning("🔥🔥🔥", 4), "🔥🔥…");
        assert_eq!(shortened("中", 2), "…");
    }

    #[test]
    fn a_list_is_cut_into_parts_and_none_of_it_is_lost() {
        let part = |query: &str, length: usize| {
            let part = ListPart::of((0..length).collect(), "tokens", &Fields::parse(query.as_bytes()), "/page").ok()?;
            Some((part.items, part.number, part.of))
        };
        assert_eq!(part("", 0), Some((vec![], 1, 1)));
        assert_eq!(part("tokens=2", 20), Some(((0..20).collect(), 1, 1)), "the nearest");
        assert_eq!(part("tokens=2", 41), Some(((20..40).collect(), 2, 3)));
        assert_eq!(part("others=2&tokens=3", 41), Some((vec![40], 3, 3)));
        assert_eq!(part("tokens=0", 41), None);
        assert_eq!(part("tokens=x", 41), None);
        let part = ListPart::of(vec![0; 41], "tokens", &Fields::default(), "/page?x=1").expect("a part");
        assert_eq!(part.address(2), "/page?x=1&tokens=2#tokens");
    }
}
