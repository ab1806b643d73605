//! Markdown of posts, comments and messages, as HTML that is safe to show inside any page: no HTML of theirs passes,
//! links lead to the web, to places of this site and to mailboxes only, nothing is fetched from elsewhere, and no heading of
//! theirs stands among the page's own.
//! What is written is bounded by what was typed: a text whose HTML would be more is shown as it was typed.

use std::fmt::{self, Write};

use comrak::{
    Arena, Options, create_formatter,
    html::{self, ChildRendering, Context},
    nodes::{Node, NodeValue},
    parse_document,
};
use url::Url;

/// What a link that somebody wrote says of itself.
const REL: &str = "nofollow noopener noreferrer ugc";
/// No link is longer, in bytes: its text is there without it.
const LONGEST_LINK: usize = 2_048;
/// Rows of a table are filled up to its width. A text that could have so many cells more than bytes by it has no tables.
const CELLS: usize = 1_000;
/// A text together with its HTML, as JSON writes them, takes at most so many times the bytes that were typed…
const TIMES: usize = 4;
/// …and so many bytes more.
const ROOM: usize = 12 * 1024;
/// What an element takes on the wire besides its text.
const ELEMENT: usize = 4;

/// How many links what is being written stands in.
type Links = usize;

create_formatter!(Formatter<Links>, {
    NodeValue::Heading(_) => |context, entering| {
        write_block(context, entering, "<p class=\"heading\"><strong>", "</strong></p>")?;
    },
    NodeValue::Link(ref link) => |context, entering| {
        if !is_link(&link.url) {
            return Ok(ChildRendering::HTML);
        }
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
        let linked = context.user > 0 || !is_link(&link.url);
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
    write_href(context, url)?;
    if !title.is_empty() {
        context.write_str("\" title=\"")?;
        context.escape(title)?;
    }
    write!(context, "\" rel=\"{REL}\">")
}

/// Whether an address becomes a link; else its words stand there alone. What a browser takes for the scheme must be one of
/// three, as it is written: whatever hides another one in it, such as a tab, is none of them.
fn is_link(url: &str) -> bool {
    // Browsers overlook further slashes, other programs do not.
    let has_host = |address: &str| {
        let written = address.split_once("//").is_some_and(|(_, rest)| !rest.starts_with(['/', '\\']));
        written && Url::parse(address).is_ok_and(|address| address.has_host())
    };
    let leads_somewhere = match url.find([':', '/', '?', '#']) {
        // A place of this site, or another host by the scheme of this page.
        Some(0) if url.starts_with("//") => has_host(&format!("https:{url}")),
        Some(0) => !url.starts_with(':'),
        Some(at) if url[at..].starts_with(':') => match url[..at].to_ascii_lowercase().as_str() {
            "http" | "https" => url[at + 1..].starts_with("//") && has_host(url),
            "mailto" => url.len() > at + 1,
            _ => false,
        },
        // A path from wherever the text happens to be shown.
        Some(_) | None => false,
    };
    leads_somewhere && url.len() <= LONGEST_LINK
}

/// Letters beyond ASCII stay, which browsers encode by themselves: encoded here each would be nine. Everything else is
/// encoded, since browsers leave out of an address what would hide its scheme.
fn write_href(context: &mut Context<Links>, url: &str) -> fmt::Result {
    let mut rest = url;
    while !rest.is_empty() {
        let (plain, after) = rest.split_at(rest.find(|letter: char| !letter.is_ascii()).unwrap_or(rest.len()));
        context.escape_href(plain)?;
        let (others, after) = after.split_at(after.find(|letter: char| letter.is_ascii()).unwrap_or(after.len()));
        context.write_str(others)?;
        rest = after;
    }
    Ok(())
}

/// No excerpt looks at more, in bytes: what comes after would not be shown.
const LOOKED_AT: usize = 2_000;

fn options(markdown: &str) -> Options<'static> {
    let columns = markdown.lines().map(|line| line.matches('|').count()).max().unwrap_or_default();
    let mut options = Options::default();
    options.extension.autolink = true;
    options.extension.strikethrough = true;
    options.extension.table = columns * markdown.lines().count() <= CELLS + markdown.len();
    // Comrak escapes raw HTML as long as `unsafe` stays off; say so here.
    options.render.r#unsafe = false;
    options.render.escape = true;
    options
}

/// HTML that is being written, as far as there is room for it.
struct Bounded {
    html: String,
    left: usize,
}

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.left = self.left.checked_sub(in_json(text)).ok_or(fmt::Error)?;
        self.html.push_str(text);
        Ok(())
    }
}

/// The bytes of a text as JSON writes it.
#[must_use]
pub fn in_json(text: &str) -> usize {
    text.len() + text.bytes().filter(|byte| matches!(byte, b'"' | b'\\' | b'\n' | b'\r' | b'\t')).count()
}

/// As HTML, which is made but once: `None` where that is so easy that it is not worth keeping.
#[must_use]
pub fn kept(markdown: &str) -> Option<String> {
    if is_plain(markdown) { None } else { Some(formatted(markdown).unwrap_or_else(|| as_typed(markdown))) }
}

/// As HTML.
#[must_use]
pub fn to_html(markdown: &str) -> String {
    kept(markdown).unwrap_or_else(|| plain(markdown))
}

/// Whether a text is nothing but paragraphs of words.
fn is_plain(markdown: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || " .,;:?!'()/%\"".contains(c);
    let is_line =
        |line: &str| line.starts_with(char::is_alphabetic) && !line.ends_with(' ') && line.chars().all(is_word);
    let links = ["://", "www.", "WWW."];
    let paragraphs = markdown.matches("\n\n").count();
    !markdown.is_empty()
        // Of many short ones the marks would be more than the words.
        && paragraphs * 64 <= markdown.len() + 512
        && markdown.trim_end_matches('\n').split('\n').all(|line| line.is_empty() || is_line(line))
        && !markdown.starts_with('\n')
        && !links.iter().any(|link| markdown.contains(link))
}

/// Paragraphs of words as HTML.
fn plain(markdown: &str) -> String {
    let mut html = String::with_capacity(markdown.len() + 16);
    for paragraph in markdown.split("\n\n").map(|paragraph| paragraph.trim_matches('\n')) {
        if !paragraph.is_empty() {
            html.push_str("<p>");
            html.push_str(paragraph);
            html.push_str("</p>\n");
        }
    }
    html
}

/// With its marks carried out; `None` when that would be too much.
fn formatted(markdown: &str) -> Option<String> {
    let (arena, options) = (Arena::new(), options(markdown));
    formatted_within(parse_document(&arena, markdown, &options), &options, markdown)
}

fn formatted_within(node: Node<'_>, options: &Options<'_>, markdown: &str) -> Option<String> {
    let left = TIMES * markdown.len() + ROOM - in_json(markdown);
    let mut out = Bounded { html: String::with_capacity(markdown.len() * 5 / 4), left };
    Formatter::format_document(node, options, &mut out, 0).is_ok().then_some(out.html)
}

fn format(node: Node<'_>, options: &Options<'_>, length: usize) -> String {
    let mut html = String::with_capacity(length * 5 / 4);
    // A text takes whatever is written to it.
    let _ = Formatter::format_document(node, options, &mut html, 0);
    html
}

/// As it was typed, with its lines and without its marks carried out.
fn as_typed(text: &str) -> String {
    let mut html = TYPED.0.to_owned();
    escape(&mut html, text);
    html + TYPED.1
}

/// What is shown as it was typed.
const TYPED: (&str, &str) = ("<p class=\"typed\">", "</p>\n");

/// A text between tags. What can begin neither a tag nor a reference stays as it is (HTML, 13.2.5.1 and 13.2.5.6), so that
/// no text becomes more than three times as long.
fn escape(html: &mut String, text: &str) {
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let next = letters.peek();
        match letter {
            '&' if next.is_none_or(|next| next.is_ascii_alphanumeric() || *next == '#') => html.push_str("&amp;"),
            '<' if next.is_none_or(|next| next.is_ascii_alphabetic() || "/!?".contains(*next)) => {
                html.push_str("&lt;");
            }
            _ => html.push(letter),
        }
    }
}

/// A long text as HTML, in parts of at most so many bytes of text. They end between paragraphs, lists and whatever else
/// stands at the top. What is longer than a part by itself is shown as it was typed.
#[must_use]
pub fn parts(markdown: &str, bytes: usize) -> Vec<String> {
    if markdown.len() <= bytes {
        return vec![to_html(markdown)];
    }
    let (arena, options) = (Arena::new(), options(markdown));
    let document = parse_document(&arena, markdown, &options);
    if formatted_within(document, &options, markdown).is_none() {
        return pieces(markdown, TYPED, bytes).into_iter().map(|(html, _)| html).collect();
    }
    let blocks: Vec<_> = document.children().collect();
    let (mut parts, mut part, mut used) = (vec![], String::new(), 0);
    for (at, block) in blocks.iter().enumerate() {
        let weight = weight(block);
        let pieces = if weight > bytes {
            let before = at.checked_sub(1).map(|before| blocks[before]);
            block_as_typed(block, lines_between(markdown, before, blocks.get(at + 1).copied()), bytes)
        } else {
            vec![(format(block, &options, weight), weight)]
        };
        for (html, weight) in pieces {
            if used > 0 && used + weight > bytes {
                parts.push(std::mem::take(&mut part));
                used = 0;
            }
            used += weight;
            part.push_str(&html);
        }
    }
    parts.push(part);
    parts
}

/// What a block takes on the wire, before that is compressed.
fn weight(block: Node<'_>) -> usize {
    let of_node = |node: Node<'_>| match &node.data.borrow().value {
        NodeValue::Text(text) => text.len(),
        NodeValue::Code(code) => code.literal.len(),
        NodeValue::CodeBlock(block) => block.literal.len(),
        NodeValue::HtmlBlock(block) => block.literal.len(),
        NodeValue::HtmlInline(html) => html.len(),
        NodeValue::Link(link) | NodeValue::Image(link) => link.url.len().min(LONGEST_LINK) + link.title.len(),
        _ => 0,
    };
    block.descendants().map(|node| ELEMENT + of_node(node)).sum()
}

/// The lines after one block and before another.
fn lines_between<'t>(markdown: &'t str, before: Option<Node<'_>>, after: Option<Node<'_>>) -> &'t str {
    let skipped = before.map_or(0, |block| block.data.borrow().sourcepos.end.line);
    let until = after.map_or(usize::MAX, |block| block.data.borrow().sourcepos.start.line - 1);
    let lines = markdown.split_inclusive('\n');
    let start: usize = lines.clone().take(skipped).map(str::len).sum();
    let length: usize = lines.skip(skipped).take(until.saturating_sub(skipped)).map(str::len).sum();
    &markdown[start..start + length]
}

/// A block that is longer than a part, in pieces with their weights.
fn block_as_typed(block: Node<'_>, source: &str, bytes: usize) -> Vec<(String, usize)> {
    match &block.data.borrow().value {
        NodeValue::CodeBlock(block) => pieces(&block.literal, ("<pre tabindex=\"0\"><code>", "</code></pre>\n"), bytes),
        _ => pieces(source.trim_start_matches('\n').trim_end(), TYPED, bytes),
    }
}

/// A text as it was typed, in pieces with their weights.
fn pieces(text: &str, (open, close): (&str, &str), bytes: usize) -> Vec<(String, usize)> {
    let piece = |piece: &str| {
        let mut html = open.to_owned();
        escape(&mut html, piece);
        (html + close, piece.len())
    };
    cut(text, bytes).into_iter().map(piece).collect()
}

/// In pieces of at most so many bytes. Each ends after a line, a sentence or a word, if one ends in its second half.
fn cut(text: &str, bytes: usize) -> Vec<&str> {
    let (mut pieces, mut rest) = (vec![], text);
    while rest.len() > bytes {
        let most = &rest[..rest.floor_char_boundary(bytes)];
        let mut ends = ["\n", ". ", "。", " "].iter().filter_map(|mark| Some(most.rfind(mark)? + mark.len()));
        let end = ends.find(|end| *end > bytes / 2).unwrap_or(most.len());
        let (piece, after) = rest.split_at(end);
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    pieces
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
    use proptest::prelude::{prop, proptest};

    use super::{ROOM, TIMES, cut, excerpt, formatted, in_json, is_plain, kept, parts, plain, to_html};

    proptest! {
        #[test]
        fn what_is_plain_is_as_it_is_formatted(text in "[a-cA0-2 .,;:?!'()/%\"\n*#>&@-]{0,24}") {
            if is_plain(&text) {
                let formatted = formatted(&text).expect("it is short").replace("&quot;", "\"");
                assert_eq!(plain(&text), formatted, "{text:?}");
                assert_eq!(kept(&text), None);
            }
        }

        #[test]
        fn no_text_becomes_much_longer(
            piece in prop::sample::select(PIECES.as_slice()),
            other in prop::sample::select(PIECES.as_slice()),
            length in 0_usize..20_000,
        ) {
            let text: String = piece.chars().chain(other.chars()).cycle().take(length).collect();
            is_bounded(&text);
        }
    }

    /// What is known to grow, or to take long.
    pub const PIECES: [&str; 40] = [
        "|",
        "|a",
        "|-",
        "a|b|c\n",
        "|-|-|\n",
        "<",
        "<a",
        "</",
        "<!--",
        "&",
        "&a",
        "&#",
        "\"",
        "'",
        "\\",
        "\n",
        "a\n\n",
        "> ",
        ">",
        "* ",
        "- a\n",
        "1. a\n",
        "    ",
        "*a ",
        "_a_ ",
        "**a",
        "~~a~~",
        "`",
        "```\n",
        "[",
        "![",
        "[a](b) ",
        "[a][b] ",
        "[b]: /u\n",
        "www.a.b ",
        "http://a.b ",
        "a@b.cd ",
        "# a\n",
        "a\n=\n",
        "語",
    ];

    fn is_bounded(text: &str) {
        let most = TIMES * text.len() + ROOM;
        let html = to_html(text);
        assert!(in_json(&html) + in_json(text) <= most + 64, "{} of {}", in_json(&html), text.len());
        let whole: usize = parts(text, 4_096).iter().map(String::len).sum();
        assert!(whole <= most + 64 * (text.len() / 2_048 + 1), "{whole} of {}", text.len());
    }

    #[test]
    fn a_text_of_one_thing_again_and_again_does_not_grow() {
        for piece in PIECES {
            is_bounded(&piece.chars().cycle().take(20_000).collect::<String>());
        }
        is_bounded(&format!("|{}\n|{}\n{}", "a|".repeat(100), "-|".repeat(100), "|b\n".repeat(5_000)));
        is_bounded(&format!("{}a\n{}", ">".repeat(9_000), "b\n".repeat(5_000)));
    }

    #[test]
    fn what_would_grow_is_shown_as_it_was_typed() {
        let links = "www.a.b ".repeat(2_000);
        assert_eq!(to_html(&links), format!("<p class=\"typed\">{links}</p>\n"));
        assert_eq!(kept("Words.\n\nMore \"words\".\n"), None);
        assert_eq!(to_html("Words.\n\nMore \"words\".\n"), "<p>Words.</p>\n<p>More \"words\".</p>\n");
        assert_eq!(kept("*a*").as_deref(), Some("<p><em>a</em></p>\n"));
    }

    #[test]
    fn what_can_begin_a_tag_or_a_reference_is_none() {
        let mut html = String::new();
        super::escape(&mut html, "<b <!-- </b <?x < << <1 & &a; &#1; &&x <");
        assert_eq!(html, "&lt;b &lt;!-- &lt;/b &lt;?x < << <1 & &amp;a; &amp;#1; &&amp;x &lt;");
    }

    #[test]
    fn an_excerpt_is_one_line_of_words_without_marks() {
        assert_eq!(excerpt("Ada has approved **Reader**.\n\n* one\n* `two`", 80), "Ada has approved Reader. one; two");
        assert_eq!(excerpt("It may:\n\n* one\n* two\n\nRemove it.", 80), "It may: one; two. Remove it.");
        assert_eq!(excerpt("one two three", 8), "one two…");
        assert_eq!(excerpt(&"ü".repeat(9_000), 5), "üüüüü…");
        assert_eq!(excerpt("", 5), "");
    }

    #[test]
    fn what_is_too_long_is_cut_where_something_ends() {
        assert_eq!(cut("", 8), [""]);
        assert_eq!(cut("12345678", 8), ["12345678"]);
        assert_eq!(cut("123\n56 89", 8), ["123\n56 ", "89"], "a line that ends too early is none");
        assert_eq!(cut("12345\n7 9", 8), ["12345\n", "7 9"]);
        assert_eq!(cut("1234. 7 9", 8), ["1234. ", "7 9"]);
        assert_eq!(cut("üüüüü", 5), ["üü", "üü", "ü"]);
        let text = "中文。 one\n\ntwo three\n".repeat(50);
        assert_eq!(cut(&text, 40).concat(), text);
    }

    #[test]
    fn parts_of_a_long_text_end_between_its_blocks() {
        let text = "one\n\n```\ntwo\n\nthree three\n```\n\n[four][4]\n\n* five\n* six\n\n[4]: https://a.example/\n";
        let found = parts(text, 40);
        assert_eq!(found.concat(), to_html(text), "together they are the whole");
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].ends_with("two\n\nthree three\n</code></pre>\n"), "{found:?}");
        assert!(found[1].starts_with("<p><a href=\"https://a.example/\""), "{found:?}");
        assert_eq!(parts(text, 1_000), [to_html(text)]);
        assert_eq!(parts("", 10), [""]);
    }

    #[test]
    fn a_block_that_is_longer_than_a_part_is_shown_as_it_was_typed() {
        let code = parts(&format!("a\n```\n{}```\n", "*line*\n".repeat(20)), 60);
        assert!(code[1..].iter().all(|part| part.starts_with("<pre tabindex=\"0\"><code>*line*\n")), "{code:?}");
        assert_eq!((code.len() > 2, code.concat().matches("*line*").count()), (true, 20));
        for (block, mark) in [
            (format!("> {}", "Said. ".repeat(20)), "Said."),
            ("* item\n".repeat(20), "* item"),
            (format!("|a|b|\n|-|-|\n{}", "|cell|\n".repeat(20)), "|cell|"),
            (format!("words\n{}", "[a]: /b\n".repeat(20)), "[a]: /b"),
            ("question&answer ".repeat(20), "question&amp;answer"),
        ] {
            for text in [block.clone(), format!("before\n\n{block}\n\n# after\n")] {
                let found = parts(&text, 60);
                let html = found.concat();
                assert_eq!(html.matches(mark).count(), 20, "{text}: {found:?}");
                assert!(html.matches("<p class=\"typed\">").count() > 2, "{text}: {found:?}");
                assert_eq!(html.matches("before</p>").count(), text.matches("before").count(), "{found:?}");
                assert_eq!(html.matches("after</strong>").count(), text.matches("after").count(), "{found:?}");
                assert!(found.iter().all(|part| !part.is_empty()), "{found:?}");
            }
        }
    }

    #[test]
    fn parts_are_no_heavier_than_they_may_be() {
        let text = format!("{}\n\n{}\n", "語".repeat(50), "語".repeat(101));
        let lengths: Vec<_> = parts(&text, 300).iter().map(|part| part.matches('語').count()).collect();
        assert_eq!(lengths, [50, 100, 1]);
        let found = parts(&format!("[see][z]\n\n{}", "[z]: https://a.example/\n".repeat(20)), 100);
        assert_eq!(
            (found.len(), found[0].contains(">see</a>")),
            (1, true),
            "what is not shown has no weight: {found:?}"
        );
    }

    #[test]
    fn a_text_does_not_grow_beyond_measure() {
        let table = |rows: usize| format!("|{}\n|{}\n{}", "a|".repeat(100), "-|".repeat(100), "|b\n".repeat(rows));
        assert!(to_html(&table(10)).contains("<table>"));
        assert!(!to_html(&table(100)).contains("<table>"), "ten thousand cells for eight hundred bytes");
        let full = format!("|a|b|c|\n|-|-|-|\n{}", "|one|two|three|\n".repeat(300));
        assert_eq!(to_html(&full).matches("<tr>").count(), 301);
        let letters = "語".repeat(700);
        assert_eq!(to_html(&format!("https://a.example/{letters}")), format!("<p>https://a.example/{letters}</p>\n"));
        assert_eq!(to_html(&format!("[b](https://a.example/{letters}) ![c](/{letters})")), "<p>b Image: c</p>\n");
        let shorter = "語".repeat(600);
        assert!(to_html(&format!("[b](https://a.example/{shorter})")).len() < 2_048, "no letter is written as nine");
    }

    #[test]
    fn html_and_scripts_do_not_pass() {
        let html = to_html("<script>alert(1)</script>\n\n[x](javascript:alert(1)) <b onclick=x>y</b> **z**");
        assert!(!html.contains("<script") && !html.contains("javascript:") && !html.contains("<b "), "{html}");
        assert!(html.contains("<strong>z</strong>"), "{html}");
        let html = to_html("[x](https://a.example/é\"ü&<é#(<>)ж)");
        assert!(!html.contains("é\"") && !html.contains("&<"), "{html}");
    }

    /// OWASP's cheat sheet on filters of scripts, and schemes that programs register.
    const HOSTILE_ADDRESSES: &[&str] = &[
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "JAVASCRIPT:alert(1)",
        "java&#9;script:x",
        "java&#10;script:x",
        "java&#13;script:x",
        "java&Tab;script:x",
        "java&NewLine;script:x",
        "&#1;javascript:x",
        "&#14;javascript:x",
        "&#32;javascript:x",
        "&#xA0;javascript:x",
        "é&#9;javascript:x",
        "&#106;avascript:x",
        "&#x6A;&#x61;vascript:x",
        "javascript&colon;x",
        "javascript&#58;x",
        "javascript&#x3A;x",
        "javascript%3Ax",
        "%6Aavascript:x",
        "%6aavascript%3ax",
        "java%09script:x",
        "javascript&#8203;:x",
        "java&shy;script:x",
        "jav\\ascript:x",
        "vbscript:x",
        "data:text/html,x",
        "DATA:text/html;base64,PHg+",
        "data&colon;text/html,x",
        "blob:https://a.example/x",
        "file:///etc/passwd",
        "filesystem:https://a.example/x",
        "about:blank",
        "view-source:https://a.example/",
        "ftp://a.example/x",
        "ftps://a.example/x",
        "sftp://a.example/x",
        "ssh://a.example",
        "telnet://a.example",
        "gopher://a.example",
        "ldap://a.example",
        "smb://a.example/x",
        "tel:123",
        "sms:123",
        "skype:x?call",
        "steam://run/1",
        "ms-word:ofe",
        "ms-msdt:/id",
        "search-ms:query=x",
        "intent://a.example#Intent;end",
        "market://x",
        "itms-services://?action=x",
        "vscode://x",
        "org.example.app:/cb",
        "magnet:?xt=x",
        "bitcoin:x",
        "web+app:x",
        "chrome://settings",
        "jar:https://a.example!/x",
        "feed:https://a.example/",
        "ws://a.example",
        "xmpp:a@b.example",
        "urn:x:y",
        "x:",
        ":x",
        "http:",
        "https:a.example",
        "http:/a.example",
        "https:///",
        "https:///a.example",
        "https://",
        "http://[::1",
        "//",
        "///x",
        "mailto:",
        "hxxps://a.example",
        "https\u{200b}://a.example",
        "ｈttps://a.example",
        "httрs://a.example",
        "page",
        "a/b",
        "../x",
        "./x",
        "",
    ];

    #[test]
    fn only_three_schemes_and_places_of_this_site_become_links() {
        assert!(HOSTILE_ADDRESSES.len() >= 60);
        for address in HOSTILE_ADDRESSES {
            for (way, markdown) in [
                ("inline", format!("[x]({address})")),
                ("in angles", format!("[x](<{address}>)")),
                ("with a title", format!("[x](<{address}> \"title\")")),
                ("by reference", format!("[x][1]\n\n[1]: <{address}>")),
                ("by its own name", format!("[x]\n\n[x]: <{address}>")),
                ("collapsed", format!("[x][]\n\n[x]: <{address}>")),
                ("image", format!("![x](<{address}>)")),
                ("image by reference", format!("![x][1]\n\n[1]: <{address}>")),
                ("image in a link", format!("[![x](<{address}>)](<{address}>)")),
                ("autolink", format!("<{address}>")),
                ("bare", format!("see {address} there")),
                ("in a table", format!("|a|\n|-|\n|[x](<{address}>)|\n")),
                ("raw HTML", format!("<a href=\"{address}\">x</a>")),
            ] {
                let html = to_html(&markdown);
                // Addresses of the web that stand in a text are links by themselves, whatever stands before them.
                let rest = html.replace("href=\"https://a.example", "").replace("href=\"http://a.example", "");
                let rest = rest.replace("href=\"mailto:a@b.example", "");
                assert!(!rest.contains("href=\""), "{way} {address:?}: {html}");
            }
        }
        for (address, href) in [
            ("http://a.example/", "http://a.example/"),
            ("HTTPS://A.example/?x=1#y", "HTTPS://A.example/?x=1#y"),
            ("https://a.example:8443/a:b", "https://a.example:8443/a:b"),
            ("//a.example/x", "//a.example/x"),
            ("/posts/1?comment=2#2", "/posts/1?comment=2#2"),
            ("?page=2", "?page=2"),
            ("#top", "#top"),
            ("/a:b", "/a:b"),
            ("mailto:ada@a.example", "mailto:ada@a.example"),
            ("MAILTO:ada@a.example?subject=x", "MAILTO:ada@a.example?subject=x"),
        ] {
            for markdown in [format!("[x]({address})"), format!("[x][1]\n\n[1]: {address}"), format!("![x]({address})")]
            {
                let html = to_html(&markdown);
                assert!(html.contains(&format!("<a href=\"{href}\"")), "{markdown}: {html}");
            }
        }
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
        assert_eq!(shown("![<b>\"](javascript:x)"), "<p>Image: &lt;b&gt;&quot;</p>");
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
