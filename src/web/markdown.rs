//! Markdown of posts, comments and messages, as HTML that is safe to show: no HTML of theirs passes,
//! and links lead to the web only.

use comrak::{Options, markdown_to_html};

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

#[cfg(test)]
mod tests {
    use super::to_html;

    #[test]
    fn html_and_scripts_do_not_pass() {
        let html = to_html("<script>alert(1)</script>\n\n[x](javascript:alert(1)) <b onclick=x>y</b> **z**");
        assert!(!html.contains("<script") && !html.contains("javascript:") && !html.contains("<b "), "{html}");
        assert!(html.contains("<strong>z</strong>"), "{html}");
    }
}
