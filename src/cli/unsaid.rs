//! Keeps secrets that were typed in the wrong place out of what is printed about it: terminals are shared, copied and
//! logged.

use std::{borrow::Cow, ffi::OsStr, path::PathBuf};

use clap::{
    Arg, Command,
    builder::TypedValueParser,
    error::{Error, ErrorKind},
};
use countersign_events::ids::TokenId;

/// What stands for a secret.
const UNSAID: &str = "[not repeated: it looks like a secret]";
/// A run of letters of both cases as long as this is a token without its beginning; a username, an id or a client id is
/// shorter, and digests in the names of files have one case.
const LONG: usize = 28;
/// Behind the beginning of a token so many are enough: it may have been cut off.
const CUT_OFF: usize = 12;
/// The longest beginning of a token: prefix and letter.
const BEGINNING: std::ops::RangeInclusive<usize> = 3..=9;

/// The text with everything left out that looks like a token. The words of these paths, which are the site's own, may be as
/// long as a token without its beginning.
pub(super) fn unsaid<'a>(text: &'a str, own: &[PathBuf]) -> Cow<'a, str> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let own: Vec<_> = own.iter().map(|path| path.to_string_lossy()).collect();
    let is_own = |word: &str| own.iter().any(|path| path.split(|c| !is_word(c)).any(|one| one == word));
    let mut kept = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(is_word) {
        let (before, from) = rest.split_at(start);
        let (word, after) = from.split_at(from.find(|c| !is_word(c)).unwrap_or(from.len()));
        kept.push_str(before);
        let is_secret = begins_as_a_token(word) || is_long(word) && !is_own(word);
        kept.push_str(if is_secret { UNSAID } else { word });
        rest = after;
    }
    kept.push_str(rest);
    if kept == text { Cow::Borrowed(text) } else { Cow::Owned(kept) }
}

fn has(part: &str, kind: fn(&u8) -> bool) -> bool {
    part.bytes().any(|byte| kind(&byte))
}

fn both_cases(part: &str) -> bool {
    has(part, u8::is_ascii_lowercase) && has(part, u8::is_ascii_uppercase)
}

/// Whether a word of letters, digits and `_` has a part that is as long as a token.
fn is_long(word: &str) -> bool {
    word.split('_').any(|part| part.len() >= LONG && both_cases(part))
}

/// Whether it begins as a token does, and goes on as one.
fn begins_as_a_token(word: &str) -> bool {
    let parts: Vec<_> = word.split('_').collect();
    let begins = |part: &str| BEGINNING.contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_lowercase());
    // Plain words are written in one case, and have no digits between their letters.
    let is_plain = |part: &str| !both_cases(part) && !has(part, u8::is_ascii_digit);
    parts.windows(2).any(|pair| begins(pair[0]) && pair[1].len() >= CUT_OFF && !is_plain(pair[1]))
}

/// Reads the id of a token. What is none is never repeated: most likely it is the token itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct TokenIds;

impl TypedValueParser for TokenIds {
    type Value = TokenId;

    fn parse_ref(&self, command: &Command, _: Option<&Arg>, value: &OsStr) -> Result<TokenId, Error> {
        value.to_str().and_then(|text| text.parse().ok()).ok_or_else(|| {
            let message = "that is no id of a token, and is not repeated here, since it may be a token. `token issue` \
                           prints the id; `events list --type TokenIssued --user NAME --format json` has those of a \
                           member";
            Error::raw(ErrorKind::ValueValidation, format!("{message}\n")).with_cmd(command)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_left_out_whole_and_in_part_wherever_they_stand() {
        let value = "0Ab1Cd2Ef3Gh4Ij5Kl6Mn7Op8Qr9St0Uv1Wx2Yz3Ab4Cd5Ef6";
        for secret in [format!("csp_{value}"), value[..LONG].to_owned(), format!("exampleg_{}", &value[..CUT_OFF])] {
            let text = format!("there is no member called `{secret}`; see (token={secret})");
            assert_eq!(unsaid(&text, &[]), format!("there is no member called `{UNSAID}`; see (token={UNSAID})"));
        }
    }

    #[test]
    fn names_ids_and_settings_are_said() {
        for text in [
            "there is no token 01926f3e-8a00-7000-8000-000000000001",
            "the client id 0Ab1Cd2Ef3Gh4Ij5Kl6Mn7",
            "limits_messages_per_hour COUNTERSIGN_MIGRATE_DATABASE_URL front_page-1234 two_person_rule",
            "/var/lib/site_new/log.db: “Grüße”, ApplicationApproved, the_longestplainwordsaresaid",
            "a-name_of-25-characters-x, and /nix/store/q1w2e3r4t5y6u7i8o9p0a1s2d3f4g5h6-countersign.toml",
        ] {
            assert_eq!(unsaid(text, &[]), text);
        }
    }

    #[test]
    fn a_long_name_in_a_path_of_the_site_is_said_and_a_token_in_one_is_not() {
        let name = "TheDataDirectoryOfTheForumOfTheTown2026OnTheLargeDisk";
        let (text, own) =
            (format!("there is no site in /srv/{name}/data"), [PathBuf::from(format!("/srv/{name}/data"))]);
        assert_eq!(unsaid(&text, &own), text);
        assert_eq!(unsaid(&text, &[]), format!("there is no site in /srv/{UNSAID}/data"));
        let token = "csp_0Ab1Cd2Ef3Gh4Ij5Kl6Mn7Op8Qr9St0Uv1Wx2Yz3Ab4Cd5Ef6";
        let (text, own) = (format!("there is no site in {token}"), [PathBuf::from(token)]);
        assert_eq!(unsaid(&text, &own), format!("there is no site in {UNSAID}"));
    }
}
