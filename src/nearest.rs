//! What somebody may have meant who wrote a word that is not known: one that differs in few letters, or none.

/// One letter in so many may be wrong; a short word may have one wrong all the same.
const LETTERS: usize = 3;

/// The nearest of the known words; `None` when none is near. A known word with a dot can be written without what
/// stands before it.
#[must_use]
pub fn nearest(written: &str, known: impl IntoIterator<Item = String>) -> Option<String> {
    let written = written.to_lowercase();
    let distance = |known: &str| strsim::damerau_levenshtein(&written, &known.to_lowercase());
    let is_near = |(distance, length): &(usize, usize)| *distance <= (*length).max(LETTERS) / LETTERS;
    known
        .into_iter()
        .filter_map(|known| {
            let parts = [known.as_str(), known.rsplit('.').next().unwrap_or_default()];
            let measured = parts.map(|part| (distance(part), part.chars().count().min(written.chars().count())));
            let near = measured.iter().filter(|measured| is_near(measured)).map(|(distance, _)| *distance).min()?;
            Some((near, known))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(written: &str) -> Option<String> {
        let known = ["inbox", "front_page", "tokens", "history", "limits.login_per_minute", "ApplicationApproved"];
        nearest(written, known.map(ToOwned::to_owned))
    }

    #[test]
    fn a_slip_of_the_hand_finds_what_was_meant() {
        for (written, meant) in [
            ("inbx", "inbox"),
            ("Inbox", "inbox"),
            ("frontpage", "front_page"),
            ("histroy", "history"),
            ("applicationaproved", "ApplicationApproved"),
            ("login_per_minit", "limits.login_per_minute"),
            ("limits_login_per_minute", "limits.login_per_minute"),
        ] {
            assert_eq!(found(written).as_deref(), Some(meant), "{written}");
        }
    }

    #[test]
    fn an_unrelated_word_finds_nothing() {
        for written in ["", "x", "banana", "everything", "postgres", "a_setting_of_another_program"] {
            assert_eq!(found(written), None, "{written}");
        }
    }
}
