//! Markdown of posts, comments and messages, as HTML that is safe to show inside any page: no HTML of theirs passes,
//! links lead to the web only, nothing is fetched from elsewhere, and no heading of theirs stands among the page's own.

use std::fmt::{self, Write};

use comrak::{
    Arena, Options, create_formatter,
    html::{self, ChildRendering, Context},
    nodes::{Node, NodeValue},
    parse_document,
};

/// What a link that somebody wrote says of itself.
const REL: &str = "nofollow noopener noreferrer ugc";

/// How many links what is being written stands in.
type Links = usize;

create_formatter!(Formatter<Links>, {
    NodeValue::Heading(_) => |context, entering| {
        write_block(context, entering, "<p class=\"heading\"><strong>", "</strong></p>")?;
    },
    NodeValue::Link(ref link) => |context, entering| {
        if entering {
            context.user += 1;
            open_link(context, &link.url, &link.title)?;
        } else {
            context.user -= 1;
            context.write_str("</a>")?;
        }
    },
    // An image would be fetched from wherever its writer likes; whoever wants to see it follows a link.
    NodeValue::Image(ref link) => |context, node, entering| {
        // No link stands in another.
        let linked = context.user > 0;
        if entering {
            if !linked { open_link(context, &link.url, &link.title)?; }
            context.write_str("Image")?;
            if node.first_child().is_some() { context.write_str(": ")?; }
            return Ok(ChildRendering::Plain);
        }
        if !linked { context.write_str("</a>")?; }
    },
    // What is too wide scrolls in a box of its own, which the keyboard can reach.
    NodeValue::Table(_) => |context, node, entering| {
        if entering { context.write_str("<div class=\"scroll\" role=\"group\" aria-label=\"Table\" tabindex=\"0\">")?; }
        html::format_node_default(context, node, entering)?;
        if !entering { context.write_str("</div>\n")?; }
    },
    NodeValue::CodeBlock(ref block) => |context, entering| {
        if entering {
            context.cr()?;
            context.write_str("<pre tabindex=\"0\"><code>")?;
            context.escape(&block.literal)?;
            context.write_str("</code></pre>\n")?;
        }
    },
});

fn write_block(context: &mut Context<Links>, entering: bool, open: &str, close: &str) -> fmt::Result {
    if entering {
        context.cr()?;
        return context.write_str(open);
    }
    context.write_str(close)?;
    context.lf()
}

fn open_link(context: &mut Context<Links>, url: &str, title: &str) -> fmt::Result {
    context.write_str("<a href=\"")?;
    if !html::dangerous_url(url) {
        context.escape_href(url)?;
    }
    if !title.is_empty() {
        context.write_str("\" title=\"")?;
        context.escape(title)?;
    }
    write!(context, "\" rel=\"{REL}\">")
}
/// No excerpt looks at more, in bytes: what comes after would not be shown.
const LOOKED_AT: usize = 2_000;

/// As HTML.
#[must_use]
pub fn to_html(markdown: &str) -> String {
    let mut options = Options::default();
    options.extension.autolink = true;
    options.extension.strikethrough = true;
    options.extension.table = true;
    // Comrak escapes raw HTML as long as `unsafe` stays off; say so here.
    options.render.r#unsafe = false;
    options.render.escape = true;
    let arena = Arena::new();
    let document: Node<'_> = parse_document(&arena, markdown, &options);
    let mut html = String::with_capacity(markdown.len() * 5 / 4);
    // A text takes whatever is written to it.
    let _ = Formatter::format_document(document, &options, &mut html, 0);
    html
}

/// A text in parts of at most so many bytes. Each ends after a paragraph, a line, a sentence or a word, if one ends in
/// its second half.
#[must_use]
pub fn parts(markdown: &str, bytes: usize) -> Vec<&str> {
    let (mut parts, mut rest) = (vec![], markdown);
    while rest.len() > bytes {
        let most = &rest[..rest.floor_char_boundary(bytes)];
        let mut ends = ["\n\n", "\n", ". ", "。", " "].iter().filter_map(|mark| Some(most.rfind(mark)? + mark.len()));
        let end = ends.find(|end| *end > bytes / 2).unwrap_or(most.len());
        let (part, after) = rest.split_at(end);
        parts.push(part);
        rest = after;
    }
    parts.push(rest);
    parts
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
            NodeValue::Paragraph if text.ends_with(char::is_alphanumeric) => {
                let of_list = node.parent().is_some_and(|it| matches!(it.data.borrow().value, NodeValue::Item(_)));
                text.push_str(if of_list { "; " } else { ". " });
            }
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
    use super::{excerpt, parts, to_html};

    #[test]
    fn an_excerpt_is_one_line_of_words_without_marks() {
        assert_eq!(excerpt("Ada has approved **Reader**.\n\n* one\n* `two`", 80), "Ada has approved Reader. one; two");
        assert_eq!(excerpt("It may:\n\n* one\n* two\n\nRemove it.", 80), "It may: one; two. Remove it.");
        assert_eq!(excerpt("one two three", 8), "one two…");
        assert_eq!(excerpt(&"ü".repeat(9_000), 5), "üüüüü…");
        assert_eq!(excerpt("", 5), "");
    }

    #[test]
    fn a_long_text_is_cut_where_something_ends() {
        assert_eq!(parts("", 8), [""]);
        assert_eq!(parts("12345678", 8), ["12345678"]);
        assert_eq!(parts("12\n\n56 89", 8), ["12\n\n56 ", "89"], "a paragraph that ends too early is none");
        assert_eq!(parts("123\n\n6 89", 8), ["123\n\n", "6 89"]);
        assert_eq!(parts("12345\n7 9", 8), ["12345\n", "7 9"]);
        assert_eq!(parts("1234. 7 9", 8), ["1234. ", "7 9"]);
        assert_eq!(parts("üüüüü", 5), ["üü", "üü", "ü"]);
        let text = "中文。 one\n\ntwo three\n".repeat(50);
        assert_eq!(parts(&text, 40).concat(), text);
    }

    #[test]
    fn html_and_scripts_do_not_pass() {
        let html = to_html("<script>alert(1)</script>\n\n[x](javascript:alert(1)) <b onclick=x>y</b> **z**");
        assert!(!html.contains("<script") && !html.contains("javascript:") && !html.contains("<b "), "{html}");
        assert!(html.contains("<strong>z</strong>"), "{html}");
    }

    #[test]
    fn links_say_that_the_site_does_not_vouch_for_them() {
        let rel = "rel=\"nofollow noopener noreferrer ugc\"";
        assert_eq!(
            to_html("[a \"b\"](https://a.example/?x=1&y=\" \"t\\\"\") https://b.example/"),
            format!(
                "<p><a href=\"https://a.example/?x=1&amp;y=%22\" title=\"t&quot;\" {rel}>a &quot;b&quot;</a> \
                 <a href=\"https://b.example/\" {rel}>https://b.example/</a></p>\n"
            )
        );
    }

    #[test]
    fn an_image_is_a_link_with_its_words_and_is_fetched_by_nobody() {
        let rel = "rel=\"nofollow noopener noreferrer ugc\"";
        let shown = |markdown| to_html(markdown).trim().replace(rel, "rel");
        assert_eq!(
            shown("![A *cat*](https://x.example/a.png)"),
            "<p><a href=\"https://x.example/a.png\" rel>Image: A cat</a></p>"
        );
        assert_eq!(shown("![](https://x.example/a.png)"), "<p><a href=\"https://x.example/a.png\" rel>Image</a></p>");
        assert_eq!(shown("![<b>\"](javascript:x)"), "<p><a href=\"\" rel>Image: &lt;b&gt;&quot;</a></p>");
        assert_eq!(
            shown("[![a](/b.png)](https://x.example/)"),
            "<p><a href=\"https://x.example/\" rel>Image: a</a></p>"
        );
        assert_eq!(shown("![a [b](/c) d](/e.png)").matches("<a ").count(), 1);
    }

    #[test]
    fn headings_of_a_text_are_none_of_the_page() {
        let html = to_html("# One\n\nTwo\n===\n\n###### *Six*\n");
        assert!(!html.contains("<h"), "{html}");
        assert!(html.contains("<p class=\"heading\"><strong>One</strong></p>\n"), "{html}");
        assert!(html.contains("<strong><em>Six</em></strong></p>"), "{html}");
    }

    #[test]
    fn what_is_wide_can_be_scrolled_by_keyboard() {
        let html =
            to_html("| a | b |\n|---|--:|\n| 1 | 2 |\n\nafter\n\n```rust\nlet x = \"<\";\n```\n\n    indented\n");
        assert!(html.contains("<div class=\"scroll\" role=\"group\" aria-label=\"Table\" tabindex=\"0\">"), "{html}");
        assert!(html.contains("</table>\n</div>\n<p>after</p>"), "{html}");
        assert!(html.contains("<pre tabindex=\"0\"><code>let x = &quot;&lt;&quot;;\n</code></pre>"), "{html}");
        assert!(html.contains("<pre tabindex=\"0\"><code>indented\n</code></pre>"), "{html}");
    }
}
