//! The clauses of the site's policy that decisions name: those built in, or those of a file. What a decision does with
//! them is the reviews' affair.

use std::{fs, path::Path};

use serde::Deserialize;

/// The clause that an approval names when its reviewer names none. Every policy has it.
pub const MEETS_POLICY: &str = "meets_policy";
/// No policy has more clauses.
const MOST: usize = 100;

/// A clause.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clause {
    /// How decisions name it: lower-case letters, digits and `_`; at most 40.
    pub code: String,
    /// What people read: a line of at most 100 characters.
    pub title: String,
    /// What it says in full; at most 2,000 characters.
    #[serde(default)]
    pub text: String,
}

/// All clauses, in the order in which reviewers choose among them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    #[serde(rename = "clause")]
    clauses: Vec<Clause>,
}

impl Default for Policy {
    fn default() -> Self {
        let clauses = [
            (MEETS_POLICY, "It meets the policy"),
            ("incomplete", "The request does not say enough"),
            ("misleading", "Name, description or website mislead"),
            ("forbidden_use", "The policy forbids this use"),
            ("abuse", "It was used to abuse members or the site"),
            ("security", "It endangers members' accounts"),
            ("owner_request", "Its owner asked for it"),
            ("other", "Another reason, given in the text"),
        ];
        Self { clauses: clauses.map(|(code, title)| Clause::new(code, title)).into() }
    }
}

impl Clause {
    fn new(code: &str, title: &str) -> Self {
        Self { code: code.to_owned(), title: title.to_owned(), text: String::new() }
    }

    fn problem(&self) -> Option<&'static str> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let line = |text: &str| !text.trim().is_empty() && !text.chars().any(char::is_control);
        let controls = |c: char| c.is_control() && c != '\n';
        if self.code.is_empty() || self.code.len() > 40 || !self.code.chars().all(plain) {
            Some("a code has 1 to 40 lower-case letters, digits and `_`")
        } else if !line(&self.title) || self.title.chars().count() > 100 {
            Some("a title is one line of 1 to 100 characters")
        } else if self.text.chars().count() > 2_000 || self.text.chars().any(controls) {
            Some("a text has at most 2,000 characters and no control characters")
        } else {
            None
        }
    }
}

impl Policy {
    /// From a file; an empty path stands for the clauses that are built in.
    ///
    /// # Errors
    /// A sentence that names the file, the clause and what it has to be.
    pub fn load(path: &Path) -> Result<Self, String> {
        if path.as_os_str().is_empty() {
            return Ok(Self::default());
        }
        let place = path.display();
        let text = fs::read_to_string(path).map_err(|error| format!("review_policy: cannot read {place}: {error}"))?;
        Self::parse(&text).map_err(|problem| format!("review_policy: {place}: {problem}"))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut policy: Self = toml::from_str(text).map_err(|error| error.to_string().trim().to_owned())?;
        if policy.clauses.is_empty() || policy.clauses.len() > MOST {
            return Err(format!("a policy has 1 to {MOST} clauses"));
        }
        for (index, clause) in policy.clauses.iter().enumerate() {
            if let Some(problem) = clause.problem() {
                return Err(format!("clause {} (`{}`): {problem}", index + 1, clause.code.escape_debug()));
            }
            if policy.clauses[..index].iter().any(|earlier| earlier.code == clause.code) {
                return Err(format!("clause {}: the code `{}` is there twice", index + 1, clause.code));
            }
        }
        if policy.title(MEETS_POLICY) == MEETS_POLICY {
            policy.clauses.insert(0, Self::default().clauses.swap_remove(0));
        }
        Ok(policy)
    }

    /// All clauses.
    #[must_use]
    pub fn clauses(&self) -> &[Clause] {
        &self.clauses
    }

    /// Whether there is a clause of this code.
    #[must_use]
    pub fn has(&self, code: &str) -> bool {
        self.clauses.iter().any(|clause| clause.code == code)
    }

    /// The title of a clause; of one that the policy had once, its code.
    #[must_use]
    pub fn title<'a>(&'a self, code: &'a str) -> &'a str {
        self.clauses.iter().find(|clause| clause.code == code).map_or(code, |clause| &clause.title)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_names_the_clauses_and_approvals_always_have_theirs() {
        let policy = Policy::parse("[[clause]]\ncode = \"spam\"\ntitle = \"It is spam\"\ntext = \"No spam.\"").unwrap();
        let codes: Vec<_> = policy.clauses().iter().map(|clause| clause.code.as_str()).collect();
        assert_eq!(codes, [MEETS_POLICY, "spam"]);
        assert_eq!((policy.title("spam"), policy.title("gone")), ("It is spam", "gone"));
        assert!(!policy.has("other"));
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        let clause = |code: &str, title: &str| format!("[[clause]]\ncode = \"{code}\"\ntitle = \"{title}\"\n");
        for (text, said) in [
            (String::new(), "missing field `clause`"),
            ("clause = []".to_owned(), "1 to 100 clauses"),
            (clause("Spam!", "x"), "clause 1 (`Spam!`): a code has"),
            (clause("spam", ""), "clause 1 (`spam`): a title is"),
            (clause("spam", "x") + &clause("spam", "y"), "clause 2: the code `spam` is there twice"),
            (clause("spam", "x") + "colour = \"red\"", "unknown field `colour`"),
        ] {
            let problem = Policy::parse(&text).unwrap_err();
            assert!(problem.contains(said), "{problem}");
        }
        let missing = Policy::load(Path::new("/nowhere/policy.toml")).unwrap_err();
        assert!(missing.contains("review_policy: cannot read /nowhere/policy.toml"), "{missing}");
    }

    #[test]
    fn no_file_stands_for_the_clauses_built_in() {
        assert_eq!(Policy::load(Path::new("")), Ok(Policy::default()));
        assert!(Policy::default().clauses().iter().all(|clause| clause.problem().is_none()));
    }
}
