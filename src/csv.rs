//! Comma-separated values (RFC 4180), one cell at a time. What the columns are is for whoever writes them.

use std::borrow::Cow;

/// A cell: in quotes when it has a comma, a quote or a line break in it (RFC 4180 s2).
#[must_use]
pub fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.to_owned() }
}

/// A cell that no spreadsheet takes for a formula: what begins like one gets an apostrophe before it, which tells
/// spreadsheets that a text follows.
#[must_use]
pub fn harmless(cell: &str) -> Cow<'_, str> {
    let first = cell.trim_start_matches([' ', '\u{a0}', '\u{feff}']).chars().next();
    // Some take the full-width signs for the plain ones.
    let acts = |c| matches!(c, '=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '＝' | '＋' | '－' | '＠');
    if first.is_some_and(acts) { Cow::Owned(format!("'{cell}")) } else { Cow::Borrowed(cell) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_a_quote_and_a_line_break_are_put_in_quotes() {
        let cells = ["plain", "a,b", "say \"so\"", "two\nlines", "two\r\nlines", ""];
        let written = ["plain", "\"a,b\"", "\"say \"\"so\"\"\"", "\"two\nlines\"", "\"two\r\nlines\"", ""];
        assert_eq!(cells.map(quoted), written);
    }

    #[test]
    fn what_begins_like_a_formula_is_a_text() {
        for cell in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "\u{feff}=1", "＝1"] {
            assert_eq!(harmless(cell), format!("'{cell}"));
        }
        for cell in ["", " ", "ada = ben", "2026-01-31", "{\"a\":1}", "“=1”"] {
            assert_eq!(harmless(cell), cell);
        }
    }
}
