//! What a command shows, and on which stream: results on standard output, what explains them on standard error,
//! so that `token=$(countersign token issue …)` holds the token and nothing else.

use std::io::{self, IsTerminal as _, Write};

use serde::{Deserialize, Serialize};

use super::{
    doctor::{self, Finding},
    events::{Listing, write_event},
    table::{Format, Table},
};

/// What a command shows. It may be a secret, so it has no printed form for debugging.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// A sentence that says what was done.
    Sentence(String),
    /// Something to be copied or piped, alone on standard output; `about` says on standard error what it is.
    Secret {
        /// The thing itself.
        secret: String,
        /// What it is.
        about: String,
    },
    /// Rows.
    Listing(Table),
    /// Rows, with a sentence about them on standard error.
    Noted {
        /// The rows.
        table: Table,
        /// The sentence.
        note: Option<String>,
    },
    /// One row, shown as a thing of its own.
    Record(Table),
    /// What was found at a look at the site.
    Findings(Vec<Finding>),
    /// Events.
    Events(Listing),
    /// One event.
    Event(serde_json::Value),
    /// What a search for problems came to: a row each, and what was looked at.
    Checked {
        /// The problems.
        table: Table,
        /// What was looked at and what to do.
        about: String,
        /// Whether there is a problem: the process says so in its exit code.
        found: bool,
    },
}

impl Output {
    /// Prints it. A reader that went away, such as `head`, is no failure.
    ///
    /// # Errors
    /// When the streams cannot be written to.
    pub fn print(&self, format: Format) -> io::Result<()> {
        match self.write(format, terminal_width(), &mut io::stdout().lock(), &mut io::stderr().lock()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written,
        }
    }

    /// Whether it tells of something that needs mending.
    #[must_use]
    pub fn is_problem(&self) -> bool {
        match self {
            Self::Findings(findings) => doctor::has_problem(findings),
            Self::Checked { found, .. } => *found,
            _ => false,
        }
    }

    fn write(
        &self,
        format: Format,
        width: Option<usize>,
        out: &mut dyn Write,
        explain: &mut dyn Write,
    ) -> io::Result<()> {
        match self {
            Self::Sentence(sentence) => writeln!(out, "{sentence}")?,
            Self::Secret { secret, about } => {
                // The thing itself comes first: it is there once, and the explanation can be done without.
                writeln!(out, "{secret}")?;
                out.flush()?;
                writeln!(explain, "{about}")?;
            }
            Self::Listing(table) => table.write_within(format, width, out)?,
            Self::Noted { table, note } => {
                table.write_within(format, width, out)?;
                out.flush()?;
                if let Some(note) = note {
                    writeln!(explain, "{note}")?;
                }
            }
            Self::Record(table) => table.write_record(format, out)?,
            Self::Findings(findings) => doctor::write(findings, format, out)?,
            Self::Events(listing) => listing.write(format, width, out, explain)?,
            Self::Event(event) => write_event(event, format, out)?,
            // People need no table without rows; programs do.
            Self::Checked { about, found: false, .. } if format == Format::Table => writeln!(out, "{about}")?,
            Self::Checked { table, about, .. } => {
                table.write_within(format, width, out)?;
                out.flush()?;
                writeln!(explain, "{about}")?;
            }
        }
        out.flush()
    }
}

/// How many characters a line of the terminal has; nothing where standard output is none: what is piped stays whole.
fn terminal_width() -> Option<usize> {
    let out = io::stdout();
    if !out.is_terminal() {
        return None;
    }
    let said = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let real = || rustix::termios::tcgetwinsize(&out).ok().map(|size| usize::from(size.ws_col));
    said.or_else(real).filter(|columns| *columns > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_a_listing_and_nothing_found_a_sentence() {
        let written = |format, found| {
            let (mut out, mut explain) = (vec![], vec![]);
            let mut table = Table::new(&["key"]);
            if found {
                table.push([serde_json::json!("k")]);
            }
            let output = Output::Checked { table, about: "Looked.".to_owned(), found };
            output.write(format, None, &mut out, &mut explain).unwrap();
            assert_eq!(output.is_problem(), found);
            (String::from_utf8(out).unwrap(), String::from_utf8(explain).unwrap())
        };
        assert_eq!(written(Format::Table, false), ("Looked.\n".to_owned(), String::new()));
        assert_eq!(written(Format::Json, false), ("[]\n".to_owned(), "Looked.\n".to_owned()));
        assert_eq!(written(Format::Csv, true), ("key\nk\n".to_owned(), "Looked.\n".to_owned()));
    }

    #[test]
    fn a_secret_stands_alone_on_standard_output() {
        let (mut out, mut explain) = (vec![], vec![]);
        let output = Output::Secret { secret: "cs_p_x".to_owned(), about: "A token.".to_owned() };
        output.write(Format::Table, None, &mut out, &mut explain).unwrap();
        assert_eq!((out.as_slice(), explain.as_slice()), (&b"cs_p_x\n"[..], &b"A token.\n"[..]));
    }
}
