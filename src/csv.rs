//! Comma-separated values (RFC 4180), one cell at a time. What the columns are is for whoever writes them.

use std::borrow::Cow;

/// A cell with a text, whoever wrote it: in quotes where RFC 4180 or a reader that separates by something else wants it,
/// and none that a spreadsheet takes for a formula.
#[must_use]
pub fn cell(text: &str) -> String {
    quoted(&harmless(text))
}

fn quoted(cell: &str) -> String {
    let wants_quotes = cell.contains([',', ';', '"', '\n', '\r', '\t']);
    if wants_quotes { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.to_owned() }
}

/// What begins like a formula gets an apostrophe before it, which tells spreadsheets that a text follows. White space,
/// what nobody sees and quotes at the beginning are overlooked: some programs drop them.
fn harmless(cell: &str) -> Cow<'_, str> {
    let is_dropped = |c: char| {
        matches!(c, '"' | '\'' | '\u{ad}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
            || (c.is_whitespace() && !matches!(c, '\t' | '\r' | '\n'))
            || (c.is_control() && !matches!(c, '\t' | '\r' | '\n'))
    };
    let first = cell.trim_start_matches(is_dropped).chars().next();
    // Some take the full-width and other forms of the signs for the plain ones.
    let acts = |c| {
        matches!(
            c,
            '=' | '+'
                | '-'
                | '@'
                | '|'
                | '%'
                | '\t'
                | '\r'
                | '\n'
                | '＝'
                | '＋'
                | '－'
                | '＠'
                | '﹦'
                | '﹢'
                | '﹣'
                | '﹫'
                | '−'
                | '｜'
                | '％'
        )
    };
    if first.is_some_and(acts) { Cow::Owned(format!("'{cell}")) } else { Cow::Borrowed(cell) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_a_quote_and_a_line_break_are_put_in_quotes() {
        let cells = ["plain", "a,b", "say \"so\"", "two\nlines", "two\r\nlines", "a;b", ""];
        let written = ["plain", "\"a,b\"", "\"say \"\"so\"\"\"", "\"two\nlines\"", "\"two\r\nlines\"", "\"a;b\"", ""];
        assert_eq!(cells.map(quoted), written);
    }

    #[test]
    fn what_begins_like_a_formula_is_a_text() {
        // OWASP, "CSV Injection", and what testers of spreadsheets try.
        let formulas = [
            "=1+1",
            "={{7*7}}",
            "=cmd|'/C calc'!A0",
            "=HYPERLINK(\"https://evil.example\",\"a\")",
            "=IMPORTXML(A1,\"//a\")",
            "=WEBSERVICE(\"https://evil.example\")",
            "+1",
            "+cmd|' /C calc'!A0",
            "-1",
            "-2+3+cmd|' /C calc'!A0",
            "@SUM(A1)",
            "@SUM(1+1)*cmd|' /C calc'!A0",
            "\t=1",
            "\r=1",
            "\n=1",
            "\r\n=1",
            " =1",
            "   +1",
            "\u{a0}=1",
            "\u{3000}=1",
            "\u{feff}=1",
            "\u{200b}=1",
            "\u{202f}-1",
            "\u{0}=1",
            "\u{1b}=1",
            "\"=1\"",
            "\"\"=1",
            "'=1",
            "' =1",
            "＝1",
            "＋1",
            "－1",
            "＠SUM(A1)",
            "−1",
            "|calc",
            "%0A=1",
            "\u{2066}=1",
        ];
        assert!(formulas.len() >= 30);
        for formula in formulas {
            assert_eq!(harmless(formula), format!("'{formula}"), "{formula:?}");
            let written = cell(formula);
            assert!(written.starts_with('\'') || written.starts_with("\"'"), "{written:?}");
        }
        for cell in ["", " ", "ada = ben", "2026-01-31", "{\"a\":1}", "“=1”"] {
            assert_eq!(harmless(cell), cell);
            assert!(!super::cell(cell).contains('\''));
        }
    }
}
