//! The text of secrets: how a token is built, checked without a look-up, and turned into the digest
//! that alone is stored. Random bytes come from the caller; where digests live, and whether a token
//! is still good, is decided elsewhere.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

#[cfg(test)]
mod tests;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 62^43 is the first power of 62 beyond 2^256.
const VALUE_WIDTH: usize = 43;
/// 62^6 is the first power of 62 beyond 2^32.
const CHECKSUM_WIDTH: usize = 6;
/// 62^22 is the first power of 62 beyond 2^128.
const CLIENT_ID_WIDTH: usize = 22;
/// Part of every stored digest: changing it would orphan every token there is.
const DIGEST_CONTEXT: &str = "countersign token digest v1";

/// What a token is for. Its letter stands in the token's text, so that a finder, a scanner or a
/// support desk knows at a glance what leaked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenKind {
    /// A member's own token, for a bot or script.
    Personal,
    /// What an application calls the API with for a member (RFC 6749 §1.4).
    Access,
    /// What an application gets its next access token with (RFC 6749 §1.5).
    Refresh,
    /// What a confidential client proves itself with (RFC 6749 §2.3.1).
    ClientSecret,
    /// An authorization code (RFC 6749 §1.3.1).
    Code,
    /// A registration access token (RFC 7592).
    Registration,
}

impl TokenKind {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Personal => "personal",
            Self::Access => "access",
            Self::Refresh => "refresh",
            Self::ClientSecret => "client_secret",
            Self::Code => "code",
            Self::Registration => "registration",
        }
    }

    /// The letter between prefix and underscore.
    #[must_use]
    pub fn letter(self) -> char {
        match self {
            Self::Personal => 'p',
            Self::Access => 'a',
            Self::Refresh => 'r',
            Self::ClientSecret => 's',
            Self::Code => 'c',
            Self::Registration => 'g',
        }
    }

    /// The kind that is written so.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Personal, Self::Access, Self::Refresh, Self::ClientSecret, Self::Code, Self::Registration]
            .into_iter()
            .find(|kind| kind.as_str() == name)
    }

    fn from_letter(letter: char) -> Option<Self> {
        match letter {
            'p' => Some(Self::Personal),
            'a' => Some(Self::Access),
            'r' => Some(Self::Refresh),
            's' => Some(Self::ClientSecret),
            'c' => Some(Self::Code),
            'g' => Some(Self::Registration),
            _ => None,
        }
    }
}

/// The site's own start of every token: 2 to 8 lower-case ASCII letters, `cs` unless configured.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenPrefix(String);

/// The text is no token prefix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a token prefix is 2 to 8 lower-case letters a-z, such as \"cs\"")]
pub struct InvalidTokenPrefix;

impl TokenPrefix {
    /// The letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for TokenPrefix {
    fn default() -> Self {
        Self("cs".to_owned())
    }
}

impl fmt::Display for TokenPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for TokenPrefix {
    type Error = InvalidTokenPrefix;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let letters_only = text.bytes().all(|byte| byte.is_ascii_lowercase());
        if letters_only && (2..=8).contains(&text.len()) { Ok(Self(text)) } else { Err(InvalidTokenPrefix) }
    }
}

impl FromStr for TokenPrefix {
    type Err = InvalidTokenPrefix;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.to_owned().try_into()
    }
}

impl From<TokenPrefix> for String {
    fn from(prefix: TokenPrefix) -> Self {
        prefix.0
    }
}

/// A token in clear: shown once, then forgotten. It has neither `Serialize` nor `Display`, so it
/// cannot enter an event, a row or a log line by accident; its memory is wiped when it is dropped.
pub struct PlainToken {
    text: Zeroizing<String>,
    kind: TokenKind,
}

/// The text is no token of this site; no look-up is needed to say so. Never holds any of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedToken {
    /// Another prefix, another length, or characters that no token has.
    #[error("this does not have the form of a token of this site: copy the whole token again")]
    Shape,
    /// It came under another scheme than ours (RFC 6750 section 2.1).
    #[error("this is no token of this site: send `Authorization: Bearer <token>`")]
    Scheme,
    /// The letter after the prefix names no kind.
    #[error("this is no kind of token that this site hands out: copy the whole token again")]
    Kind,
    /// The checksum is wrong, or the number in front of it is beyond 256 bits: a typo or an invention.
    #[error("the token's checksum is wrong: it was mistyped, copy the whole token again")]
    Checksum,
}

impl PlainToken {
    /// Builds `{prefix}{kind}_`, the 256 random bits in 43 base62 characters, and the checksum.
    #[must_use]
    pub fn from_random(prefix: &TokenPrefix, kind: TokenKind, random: &[u8; 32]) -> Self {
        let value = Zeroizing::new(base62(random, VALUE_WIDTH));
        // Reserved at once: growing would leave copies of the secret in freed memory.
        let length = prefix.0.len() + 2 + VALUE_WIDTH + CHECKSUM_WIDTH;
        let mut text = Zeroizing::new(String::with_capacity(length));
        text.push_str(&prefix.0);
        text.push(kind.letter());
        text.push('_');
        text.push_str(&value);
        let checksum = checksum(&text);
        text.push_str(&checksum);
        Self { text, kind }
    }

    /// Accepts exactly the texts that [`PlainToken::from_random`] can build for this prefix.
    ///
    /// # Errors
    /// [`MalformedToken`] says which part is wrong.
    pub fn parse(prefix: &TokenPrefix, text: &str) -> Result<Self, MalformedToken> {
        let rest = text.strip_prefix(&prefix.0).ok_or(MalformedToken::Shape)?;
        let (letter, body) = rest.split_once('_').ok_or(MalformedToken::Shape)?;
        let mut letters = letter.chars();
        let (Some(letter), None) = (letters.next(), letters.next()) else {
            return Err(MalformedToken::Shape);
        };
        if !is_base62(body, VALUE_WIDTH + CHECKSUM_WIDTH) {
            return Err(MalformedToken::Shape);
        }
        let kind = TokenKind::from_letter(letter).ok_or(MalformedToken::Kind)?;
        let (covered, given) = text.split_at(text.len() - CHECKSUM_WIDTH);
        if checksum(covered) != given || !fits_256_bits(&body[..VALUE_WIDTH]) {
            return Err(MalformedToken::Checksum);
        }
        Ok(Self { text: Zeroizing::new(text.to_owned()), kind })
    }

    /// What the token is for.
    #[must_use]
    pub fn kind(&self) -> TokenKind {
        self.kind
    }

    /// The only form of the token that is stored.
    #[must_use]
    pub fn digest(&self) -> TokenDigest {
        // The context's own compression is the same for every token: it is done once.
        static CONTEXT: LazyLock<blake3::Hasher> = LazyLock::new(|| blake3::Hasher::new_derive_key(DIGEST_CONTEXT));
        TokenDigest(*CONTEXT.clone().update(self.text.as_bytes()).finalize().as_bytes())
    }

    /// The text, for the one answer or page that hands it over. The name is meant to stand out in review.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for PlainToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlainToken(…)")
    }
}

/// BLAKE3 (derive-key mode) of a whole token text. A token has 256 random bits, so its digest needs no
/// salt and no key, and tells nobody anything.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenDigest([u8; 32]);

/// The text is no digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a token digest is 64 lower-case hexadecimal digits")]
pub struct InvalidTokenDigest;

impl TokenDigest {
    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// A digest read back from where it was stored.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenDigest({self})")
    }
}

impl FromStr for TokenDigest {
    type Err = InvalidTokenDigest;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = HEXLOWER.decode(text.as_bytes()).map_err(|_| InvalidTokenDigest)?;
        bytes.try_into().map(Self).map_err(|_| InvalidTokenDigest)
    }
}

impl TryFrom<String> for TokenDigest {
    type Error = InvalidTokenDigest;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<TokenDigest> for String {
    fn from(digest: TokenDigest) -> Self {
        digest.to_string()
    }
}

/// How an approved application appears to OAuth (RFC 6749 §2.2): 22 base62 characters. Public.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClientId(String);

/// The text is no client id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a client id is 22 letters and digits: copy it from the application's own page")]
pub struct InvalidClientId;

impl ClientId {
    /// 128 random bits in base62.
    #[must_use]
    pub fn from_random(random: &[u8; 16]) -> Self {
        Self(base62(random, CLIENT_ID_WIDTH))
    }

    /// The 22 characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for ClientId {
    type Error = InvalidClientId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if is_base62(&text, CLIENT_ID_WIDTH) { Ok(Self(text)) } else { Err(InvalidClientId) }
    }
}

impl FromStr for ClientId {
    type Err = InvalidClientId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.to_owned().try_into()
    }
}

impl From<ClientId> for String {
    fn from(id: ClientId) -> Self {
        id.0
    }
}

/// A big-endian number in base62 (0-9, A-Z, a-z), padded with zeros to `width` characters. A number
/// that needs more characters gets them: nothing is ever cut off.
#[must_use]
pub fn base62(bytes_be: &[u8], width: usize) -> String {
    let mut number = Zeroizing::new(bytes_be.to_vec());
    // 8 bits take less than 1.344 base62 characters; reserved at once, so that no copy is left behind.
    let mut digits = Zeroizing::new(Vec::with_capacity(width.max(bytes_be.len() * 11 / 8 + 1)));
    while number.iter().any(|byte| *byte != 0) {
        let mut remainder = 0_u16;
        for byte in number.iter_mut() {
            let value = remainder << 8 | u16::from(*byte);
            // The remainder before was below 62, so the quotient is one byte.
            *byte = (value / 62).to_le_bytes()[0];
            remainder = value % 62;
        }
        digits.push(ALPHABET[usize::from(remainder)]);
    }
    while digits.len() < width {
        digits.push(ALPHABET[0]);
    }
    digits.iter().rev().map(|digit| char::from(*digit)).collect()
}

fn is_base62(text: &str, width: usize) -> bool {
    text.len() == width && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// 2^256 - 1 in base62; 62^43 is a little beyond.
const LARGEST_VALUE: &str = "yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp1";

/// Whether base62 text of a value's width is a number below 2^256. The digits stand in the order of
/// their bytes, so numbers of one width compare as texts do.
fn fits_256_bits(text: &str) -> bool {
    text <= LARGEST_VALUE
}

fn checksum(covered: &str) -> String {
    base62(&crc32fast::hash(covered.as_bytes()).to_be_bytes(), CHECKSUM_WIDTH)
}
