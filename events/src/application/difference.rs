//! What differs between two revisions of what is asked for, field by field, as people read it.

use super::Asked;

/// A field that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Its name, as the JSON API spells it.
    pub field: &'static str,
    /// What it said.
    pub before: String,
    /// What it says.
    pub after: String,
}

impl Difference {
    /// Its name for people to read.
    #[must_use]
    pub fn label(&self) -> &'static str {
        if self.field == "redirect_uris" { "redirect URIs" } else { self.field }
    }
}

/// The fields that differ, in the order in which an application shows them.
#[must_use]
pub fn difference(before: &Asked, after: &Asked) -> Vec<Difference> {
    let fields = |asked: &Asked| {
        let uris: Vec<_> = asked.redirect_uris.iter().map(ToString::to_string).collect();
        [
            ("name", asked.name.clone()),
            ("description", asked.description.clone()),
            ("website", asked.website.clone().unwrap_or_default()),
            // One a line: a redirect URI holds no line break.
            ("redirect_uris", uris.join("\n")),
            ("purpose", asked.purpose.to_string()),
            ("scopes", asked.scopes.to_string()),
        ]
    };
    let pairs = fields(before).into_iter().zip(fields(after));
    pairs
        .filter(|(before, after)| before != after)
        .map(|((field, before), (_, after))| Difference { field, before, after })
        .collect()
}
