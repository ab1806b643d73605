//! What people type: its limits, its normal form, and characters that nobody can see. A caller gets
//! back the text to store, or a [`FieldError`] to show beside the field. Escaping belongs to whoever
//! prints the text.
//!
//! Lengths are counted in characters (Unicode scalar values) of the normal form.

use serde::Serialize;
use unicode_normalization::UnicodeNormalization;
use unicode_security::skeleton;
use url::Url;
use zeroize::Zeroizing;

use crate::host::{self, Names};

#[cfg(test)]
mod tests;

/// What is wrong with one field of a form. `code` is one of `required`, `too_short`, `too_long`,
/// `control_character`, `invisible_character`, `malformed`, `looks_like_site`, `reserved`, `weak`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{message}")]
pub struct FieldError {
    /// The name of the field, as the form and the JSON call it.
    pub field: &'static str,
    /// A stable word for programs.
    pub code: &'static str,
    /// A sentence for people, with what to do about it.
    pub message: String,
}

impl FieldError {
    /// An error of a field; the message is a whole sentence.
    #[must_use]
    pub fn new(field: &'static str, code: &'static str, message: String) -> Self {
        Self { field, code, message }
    }
}

/// The name of an application: one line of 1 to 50 characters.
///
/// # Errors
/// `required`, `too_long`, `control_character`, `invisible_character`.
pub fn application_name(text: &str) -> Result<String, FieldError> {
    single_line("name", text, 50)
}

/// The description of an application: up to 256 characters, line breaks allowed; may be empty.
///
/// # Errors
/// `too_long`, `control_character`, `invisible_character`.
pub fn description(text: &str) -> Result<String, FieldError> {
    Ok(body("description", text, 256)?.trim().to_owned())
}

/// The website of an application: a web address of up to 256 characters, or nothing.
///
/// # Errors
/// `too_long`, `control_character`, `invisible_character`, `malformed`.
pub fn website(text: &str) -> Result<Option<String>, FieldError> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    web_address("website", text, 256).map(Some)
}

/// A username: 3 to 25 of `A-Z a-z 0-9 _ -`, beginning with a letter or digit. Case is kept.
///
/// # Errors
/// `required`, `too_short`, `too_long`, `control_character`, `invisible_character`, `malformed`.
pub fn username(text: &str) -> Result<String, FieldError> {
    const FIELD: &str = "username";
    refuse_empty(FIELD, text)?;
    refuse_control(FIELD, text, &[])?;
    refuse_invisible(FIELD, text, is_invisible)?;
    let all_known = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if !all_known || text.starts_with(['_', '-']) {
        let message = "The username has only the letters A to Z, digits, _ and -, and begins with a \
                       letter or digit. Remove everything else, spaces too.";
        return Err(FieldError::new(FIELD, "malformed", message.to_owned()));
    }
    refuse_short(FIELD, text, 3)?;
    refuse_long(FIELD, text, 25)?;
    Ok(text.to_owned())
}

/// A password: 8 to 200 characters, spaces included, in the normal form NFC, so that it is the same
/// whichever keyboard composes its accents. Log-in must read what was typed through this function, too.
///
/// # Errors
/// `required`, `too_short`, `too_long`, `control_character`.
pub fn password(text: &str) -> Result<Zeroizing<String>, FieldError> {
    const FIELD: &str = "password";
    if text.is_empty() {
        return Err(required(FIELD));
    }
    refuse_control(FIELD, text, &[])?;
    // Four bytes a character and some more: growing would leave copies of the password in freed memory.
    let mut normal = Zeroizing::new(String::with_capacity(text.len() * 4));
    normal.extend(text.nfc());
    refuse_short(FIELD, &normal, 8)?;
    refuse_long(FIELD, &normal, 200)?;
    Ok(normal)
}

/// The title of a post: one line of 1 to 300 characters.
///
/// # Errors
/// `required`, `too_long`, `control_character`, `invisible_character`.
pub fn post_title(text: &str) -> Result<String, FieldError> {
    single_line("title", text, 300)
}

/// The link of a post: a web address of up to 2048 characters.
///
/// # Errors
/// `required`, `too_long`, `control_character`, `invisible_character`, `malformed`.
pub fn post_url(text: &str) -> Result<String, FieldError> {
    web_address("url", text, 2048)
}

/// A text of several lines, such as that of a post or message; may be empty. Line breaks become `\n`,
/// white space at the end goes, indentation stays (it means something in Markdown). Joiners between
/// characters are allowed, since emoji and many scripts need them; controls of direction are not.
///
/// # Errors
/// `too_long`, `control_character`, `invisible_character`.
pub fn body(field: &'static str, text: &str, max: usize) -> Result<String, FieldError> {
    let text = text.replace("\r\n", "\n");
    refuse_control(field, &text, &['\n', '\t'])?;
    refuse_invisible(field, &text, is_bidi_control)?;
    let normal = text.trim_end().nfc().collect::<String>();
    refuse_long(field, &normal, max)?;
    Ok(normal)
}

/// A text of several lines that cannot be left out, such as a comment.
///
/// # Errors
/// `required`, `too_long`, `control_character`, `invisible_character`.
pub fn required_body(field: &'static str, text: &str, max: usize) -> Result<String, FieldError> {
    let normal = body(field, text, max)?;
    if normal.chars().all(|c| c.is_whitespace() || is_invisible(c)) {
        return Err(required(field));
    }
    Ok(normal)
}

/// The reason of a decision: 1 to 2,000 characters, line breaks allowed.
///
/// # Errors
/// `required`, `too_long`, `control_character`, `invisible_character`.
pub fn reason(text: &str) -> Result<String, FieldError> {
    Ok(required_body("reason", text, 2_000)?.trim().to_owned())
}

/// Refuses a name that could be taken for the site's own.
///
/// # Errors
/// `looks_like_site`.
pub fn refuse_look_alike(field: &'static str, name: &str, site_name: &str) -> Result<(), FieldError> {
    if !looks_like(name, site_name) {
        return Ok(());
    }
    let message = format!(
        "The {} looks like that of this site, so members could take it for official. Choose one \
         without \"{site_name}\" in it.",
        label(field),
    );
    Err(FieldError::new(field, "looks_like_site", message))
}

/// Names of members that would speak for the site or for who runs it.
const RESERVED: [&str; 8] =
    ["system", "countersign", "admin", "administrator", "root", "moderator", "erased", "deleted"];
/// A site's name with fewer letters than this stands in too many words to be looked for inside of usernames.
const FOUND_INSIDE: usize = 5;

/// Refuses a username that could be taken for the site, or for who runs it.
///
/// # Errors
/// `reserved`.
pub fn refuse_reserved(username: &str, site_name: &str) -> Result<(), FieldError> {
    if !speaks_for_site(username, site_name) {
        return Ok(());
    }
    let message = "The username could be taken for this site itself, or for who runs it. Choose another one.";
    Err(FieldError::new("username", "reserved", message.to_owned()))
}

/// Whether a username is, or looks like, a reserved word or the site's name: case, separators, look-alike letters and
/// digits in the place of letters aside, and numbers before or behind it. A site's name of five letters or more counts
/// wherever it stands in the username.
#[must_use]
pub fn speaks_for_site(username: &str, site_name: &str) -> bool {
    RESERVED.iter().any(|word| is_like(username, word)) || looks_like_site(username, site_name)
}

/// The same, for the site's name alone.
#[must_use]
pub fn looks_like_site(username: &str, site_name: &str) -> bool {
    let inside = || {
        let site_name = seen(site_name);
        site_name.chars().count() >= FOUND_INSIDE && seen(username).contains(&site_name)
    };
    is_like(username, site_name) || inside()
}

/// Whether the eye may take a username for a word.
fn is_like(username: &str, word: &str) -> bool {
    let word = seen(word);
    let without_numbers = username.trim_matches(|c: char| !c.is_alphabetic());
    // A digit at the end may be a number behind the word, or a letter of it.
    !word.is_empty() && [username, without_numbers].iter().any(|name| seen(name) == word)
}

/// What the eye makes of a name in which digits and pairs stand for letters.
fn seen(name: &str) -> String {
    let plain = plain_form(&name.to_lowercase());
    let letters = plain.chars().map(|c| match c {
        '0' => 'o',
        '1' | 'i' | 'j' => 'l',
        '2' => 'z',
        '3' => 'e',
        '4' => 'a',
        '5' => 's',
        '6' | '8' => 'b',
        '7' => 't',
        '9' => 'g',
        other => other,
    });
    letters.collect::<String>().replace("vv", "w").replace("cl", "d")
}

/// Whether a name could be taken for the site's own: whether, look-alike letters, case, white space and
/// punctuation aside, the site's name stands anywhere in it. On the site "Acme", "Acme Official",
/// "A C M E", "Αcme" (with a Greek letter) and "Macmeal" all count: words are not told apart, because a
/// wrong refusal costs another name and a wrong pass a member's account. Only a site's name of one or
/// two characters must be the whole name to count.
#[must_use]
pub fn looks_like(name: &str, site_name: &str) -> bool {
    let whole_name_only = site_name.chars().filter(|c| c.is_alphanumeric()).count() < 3;
    let (name, site_name) = (Likeness::of(name), Likeness::of(site_name));
    name.0.iter().zip(&site_name.0).any(|(name, site_name)| {
        if whole_name_only || site_name.is_empty() {
            return name == site_name && !name.is_empty();
        }
        name.contains(site_name)
    })
}

/// What the eye makes of a name, in two forms: lower-casing hides one kind of look-alike (`PaypaI` with a capital i)
/// and reveals another (`АCME` with a capital Cyrillic а).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Likeness([String; 2]);

impl Likeness {
    /// Of a name.
    #[must_use]
    pub fn of(name: &str) -> Self {
        Self([plain_form(name), plain_form(&name.to_lowercase())])
    }

    /// Whether one name could be taken for the other: white space, punctuation and case aside, the eye sees the same.
    #[must_use]
    pub fn resembles(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).any(|(one, other)| one == other && !one.is_empty())
    }
}

/// What the eye makes of a text (UTS 39 §4), in lower case and without white space and punctuation.
fn plain_form(text: &str) -> String {
    let seen: String = skeleton(text).collect();
    // Punctuation goes last: "|" and "1" are look-alikes of "l".
    skeleton(&seen.to_lowercase()).filter(|c| c.is_alphanumeric()).collect()
}

fn single_line(field: &'static str, text: &str, max: usize) -> Result<String, FieldError> {
    // White space goes first: a tab inside a pasted name is a space, not an attack.
    let words: Vec<&str> = text.split_whitespace().collect();
    let normal: String = words.join(" ").nfc().collect();
    refuse_control(field, &normal, &[])?;
    refuse_invisible(field, &normal, is_invisible)?;
    refuse_empty(field, &normal)?;
    refuse_long(field, &normal, max)?;
    Ok(normal)
}

/// An http or https address. ASCII stays as typed; anything else becomes the form that browsers use,
/// which shows look-alike letters in a host as `xn--`.
fn web_address(field: &'static str, text: &str, max: usize) -> Result<String, FieldError> {
    let text = text.trim();
    refuse_empty(field, text)?;
    refuse_control(field, text, &[])?;
    refuse_invisible(field, text, is_invisible)?;
    refuse_long(field, text, max)?;
    let malformed = |message: String| FieldError::new(field, "malformed", message);
    let incomplete = || {
        let label = label(field);
        malformed(format!("The {label} is no complete web address. Write it as https://example.org/page."))
    };
    let (scheme, rest) = text.split_once("://").ok_or_else(incomplete)?;
    if !scheme.eq_ignore_ascii_case("https") && !scheme.eq_ignore_ascii_case("http") {
        let label = label(field);
        return Err(malformed(format!("The {label} must start with https:// or http://.")));
    }
    // Browsers overlook these where other programs do not: an address must mean the same to both.
    if rest.starts_with('/') || text.contains(|c: char| c == '\\' || c.is_whitespace()) {
        return Err(incomplete());
    }
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    if authority.contains('@') {
        let label = label(field);
        return Err(malformed(format!(
            "The {label} must not contain a user name or password. Remove everything up to the @."
        )));
    }
    let url = Url::parse(text).map_err(|_| incomplete())?;
    // Letters of a host beyond ASCII are written as browsers read them before they are shown.
    let written = if authority.is_ascii() { authority } else { url.authority() };
    host::judge(written, &url, Names::OfTheWeb).map_err(|_| {
        let label = label(field);
        malformed(format!(
            "The host of the {label} may be read as another one. Write it with letters, digits, - and dots, or as an IP \
             address in its usual form, and nothing percent-encoded; a port as a plain number."
        ))
    })?;
    if text.is_ascii() {
        return Ok(text.to_owned());
    }
    refuse_long(field, url.as_str(), max)?;
    Ok(url.into())
}

/// The field as a sentence calls it.
fn label(field: &str) -> String {
    field.replace('_', " ")
}

fn required(field: &'static str) -> FieldError {
    let message = format!("The {} is missing. Fill it in.", label(field));
    FieldError::new(field, "required", message)
}

fn refuse_empty(field: &'static str, text: &str) -> Result<(), FieldError> {
    if text.trim().is_empty() { Err(required(field)) } else { Ok(()) }
}

fn refuse_short(field: &'static str, text: &str, min: usize) -> Result<(), FieldError> {
    let count = text.chars().count();
    if count >= min {
        return Ok(());
    }
    let message =
        format!("The {} is too short: it has {count} of at least {min} characters. Lengthen it.", label(field));
    Err(FieldError::new(field, "too_short", message))
}

fn refuse_long(field: &'static str, text: &str, max: usize) -> Result<(), FieldError> {
    let count = text.chars().count();
    if count <= max {
        return Ok(());
    }
    let message = format!("The {} is too long: it has {count} characters and {max} fit. Shorten it.", label(field));
    Err(FieldError::new(field, "too_long", message))
}

fn refuse_control(field: &'static str, text: &str, allowed: &[char]) -> Result<(), FieldError> {
    let Some(found) = text.chars().find(|c| c.is_control() && !allowed.contains(c)) else {
        return Ok(());
    };
    let message = format!(
        "The {} contains the control character U+{:04X}. Remove it, or type the text anew.",
        label(field),
        u32::from(found),
    );
    Err(FieldError::new(field, "control_character", message))
}

fn refuse_invisible(field: &'static str, text: &str, refused: fn(char) -> bool) -> Result<(), FieldError> {
    let Some(found) = text.chars().find(|c| refused(*c)) else {
        return Ok(());
    };
    let message = format!(
        "The {} contains the invisible character U+{:04X}. Remove it, or type the text anew.",
        label(field),
        u32::from(found),
    );
    Err(FieldError::new(field, "invisible_character", message))
}

/// Characters that turn the direction of the text around them.
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{200E}' | '\u{200F}' | '\u{061C}')
}

/// Those, and characters without width: two names that differ in one look the same.
fn is_invisible(c: char) -> bool {
    is_bidi_control(c)
        || matches!(c,
            '\u{00AD}' | '\u{034F}' | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200D}'
            | '\u{2060}'..='\u{2065}' | '\u{206A}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}'
            // Fillers of Hangul, the blank of Braille, and tags, which spell a hidden text.
            | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{2800}' | '\u{3164}' | '\u{FFA0}'
            | '\u{E0000}'..='\u{E0FFF}')
}
