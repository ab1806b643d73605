//! Markdown of posts, comments and messages, as HTML that is safe to show: no HTML of theirs passes,
//! and links lead to the web only.

use comrak::{Arena, Options, markdown_to_html, nodes::NodeValue, parse_document};

/// No excerpt looks at more, in bytes: what comes after would not be shown.
const LOOKED_AT: usize = 2_000;

/// As HTML.
#[must_use]
pub fn to_html(markdown: &str) -> String {
    let mut options = Options::default();
    options.extension.autolink = true;
    options.extension.strikethrough = true;
    options.extension.table = true;
    // Comrak escapes raw HTML and drops `javascript:` links as long as `unsafe` stays off; say so here.
    options.render.r#unsafe = false;
    options.render.escape = true;
    markdown_to_html(markdown, &options)
}

/// How a text begins, without its marks, on one line.
#[must_use]
pub fn excerpt(markdown: &str, characters: usize) -> String {
    let start = markdown.floor_char_boundary(LOOKED_AT);
    let arena = Arena::new();
    let mut text = String::new();
    for node in parse_document(&arena, &markdown[..start], &Options::default()).descendants() {
        match &node.data.borrow().value {
            NodeValue::Text(words) => text.push_str(words),
            NodeValue::Code(code) => text.push_str(&code.literal),
            // What stood below is told behind: lines of a list have no end of their own.
            NodeValue::Paragraph if text.ends_with(char::is_alphanumeric) => text.push_str("; "),
            NodeValue::Paragraph | NodeValue::SoftBreak | NodeValue::LineBreak | NodeValue::Heading(_) => {
                text.push(' ');
            }
            _ => {}
        }
    }
    let mut words = String::new();
    for word in text.split_whitespace() {
        if words.chars().count() + word.chars().count() > characters {
            let room = characters.saturating_sub(words.chars().count());
            words.extend(word.chars().take(if words.is_empty() { room } else { 0 }));
            return format!("{}…", words.trim_end_matches([' ', ':', ';', ',']));
        }
        words.push_str(word);
        words.push(' ');
    }
    words.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::{excerpt, to_html};

    #[test]
    fn an_excerpt_is_one_line_of_words_without_marks() {
        assert_eq!(excerpt("Ada has approved **Reader**.\n\n* one\n* `two`", 80), "Ada has approved Reader. one; two");
        assert_eq!(excerpt("one two three", 8), "one two…");
        assert_eq!(excerpt(&"ü".repeat(9_000), 5), "üüüüü…");
        assert_eq!(excerpt("", 5), "");
    }

    #[test]
    fn html_and_scripts_do_not_pass() {
        let html = to_html("<script>alert(1)</script>\n\n[x](javascript:alert(1)) <b onclick=x>y</b> **z**");
        assert!(!html.contains("<script") && !html.contains("javascript:") && !html.contains("<b "), "{html}");
        assert!(html.contains("<strong>z</strong>"), "{html}");
    }
}
