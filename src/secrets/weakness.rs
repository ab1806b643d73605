//! Passwords that others guess first: the member's own name, and what stands on lists of common passwords or is made of
//! them (NIST SP 800-63B §3.1.1.2). The lists and the guessing are those of `zxcvbn`; limits of length belong to the forms.

use zxcvbn::{Score, zxcvbn};

/// A guesser tries whole words first; beyond so many characters a password is not guessed but by those.
const LOOKED_AT: usize = 64;

/// Why a password is guessed soon, with what to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Weakness {
    /// It is the member's name.
    #[error(
        "The password is the username, or made of it, which is what anybody tries first. A few words that do not belong \
         together are a good password."
    )]
    Username,
    /// It is common, or made of what is common.
    #[error(
        "The password is among the first that anybody tries: a common one, a row of keys, a date or the like. A few words \
         that do not belong together are a good password."
    )]
    Common,
}

/// Whether a password is guessed soon, and why. One that is empty has no strength to judge: it is refused elsewhere.
#[must_use]
pub fn weakness(password: &str, username: &str) -> Option<Weakness> {
    if password.is_empty() {
        return None;
    }
    let letters = |text: &str| text.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect::<String>();
    let (plain, name) = (letters(password), letters(username));
    let backwards: String = name.chars().rev().collect();
    // Names of three letters stand in many words.
    let made_of_it = |name: &str| {
        let rest = plain.replace(name, "");
        rest.len() < plain.len() && rest.chars().count() < 4
    };
    if !name.is_empty() && (made_of_it(&name) || made_of_it(&backwards)) {
        return Some(Weakness::Username);
    }
    let looked_at: String = password.chars().take(LOOKED_AT).collect();
    // Fewer than a million guesses.
    let is_common = zxcvbn(&looked_at, &[username, "countersign"]).score() <= Score::One;
    is_common.then_some(Weakness::Common)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_anybody_tries_first_is_refused() {
        let common = [
            "password",
            "Password",
            "PASSWORD",
            "password1",
            "Password1",
            "passw0rd",
            "p@ssw0rd",
            "P@ssw0rd1",
            "12345678",
            "123456789",
            "1234567890",
            "87654321",
            "11111111",
            "00000000",
            "88888888",
            "123123123",
            "qwertyui",
            "qwerty123",
            "qwertyuiop",
            "1q2w3e4r",
            "1qaz2wsx",
            "asdfghjk",
            "zxcvbnm1",
            "iloveyou",
            "iloveyou1",
            "sunshine",
            "princess",
            "football",
            "baseball",
            "superman",
            "letmein1",
            "trustno1",
            "welcome1",
            "Welcome123",
            "admin123",
            "abc12345",
            "abcdefgh",
            "aaaaaaaa",
            "monkey12",
            "dragon12",
            "master12",
            "computer",
            "starwars",
            "whatever",
            "jennifer",
            "michelle",
            "drowssap",
            "countersign",
            "aaaaaaaaaaaaaaaaaaaa",
            "1234567812345678",
            "01011990",
            "19900101",
            "2000-01-01",
            "changeme",
        ];
        for password in common {
            assert_eq!(weakness(password, "ada"), Some(Weakness::Common), "{password}");
        }
        let own = [
            "rosalind",
            "Rosalind",
            "ROSALIND",
            "dnilasor",
            "DNILASOR",
            "rosalind1",
            "rosalind99",
            "1rosalind",
            "rosalind!",
            "!rosalind!",
            "rosalind-1",
            "rosalindrosalind",
            "rosalind rosalind",
            "r.o.s.a.l.i.n.d",
            "rosalind123",
            "dnilasor12",
        ];
        for password in own {
            assert_eq!(weakness(password, "Rosalind"), Some(Weakness::Username), "{password}");
        }
        assert_eq!(weakness("ada_ada_ada", "ada"), Some(Weakness::Username));
        assert_eq!(weakness("mary-ann-lee", "mary_ann-lee"), Some(Weakness::Username));
    }

    #[test]
    fn a_few_words_are_a_good_password_for_everybody() {
        let good = [
            "correct horse battery",
            "another horse battery",
            "a third horse battery",
            "yet another horse",
            "not my pass phrase",
            "correct horse",
            "correct horse 17",
            "another horse 3",
            "tiefer Wald im Nebel",
            "пароль из трёх слов",
            "correct-horse-battery",
            "xK9#mQ2$vL",
            "the new password of mine",
            "ada likes long walks",
            "ben reads by the sea",
        ];
        for password in good {
            for name in ["ada", "ben", "rosalind"] {
                assert_eq!(weakness(password, name), None, "{password} of {name}");
            }
        }
        assert_eq!(weakness("", "ada"), None);
    }
}
