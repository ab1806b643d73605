//! Shows how far long work is, on standard error: a bar on a terminal, a line every few seconds elsewhere.

use std::{
    io::{self, IsTerminal as _, Write as _},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::projector::Pace;

/// Characters of a bar.
const WIDTH: u64 = 24;
/// Where nobody watches a terminal, so often there is a line.
const BETWEEN: Duration = Duration::from_secs(3);

/// The progress of one command.
pub struct Progress {
    terminal: bool,
    shown: Mutex<Option<(String, Instant)>>,
}

impl Progress {
    /// For this process's standard error.
    #[must_use]
    pub fn new() -> Self {
        Self { terminal: io::stderr().is_terminal(), shown: Mutex::default() }
    }

    /// Shows a pace. Whoever cannot be told does not stop the work.
    pub fn show(&self, pace: &Pace) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if self.terminal {
            // One name, one line: it ends when another begins, or with the command.
            let other = shown.as_ref().is_some_and(|(name, _)| *name != pace.name);
            let begin = if other { "\n" } else { "" };
            let _ = write!(io::stderr(), "{begin}\r\x1b[2K{} {}", bar(pace), sentence(pace));
            *shown = Some((pace.name.clone(), Instant::now()));
            return;
        }
        match shown.as_ref().filter(|(name, _)| *name == pace.name) {
            Some((_, at)) if at.elapsed() < BETWEEN => {}
            Some(_) => {
                let _ = writeln!(io::stderr(), "{}", sentence(pace));
                *shown = Some((pace.name.clone(), Instant::now()));
            }
            // What is done in a moment needs no line.
            None => *shown = Some((pace.name.clone(), Instant::now())),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        let shown = self.shown.get_mut().unwrap_or_else(PoisonError::into_inner);
        if self.terminal && shown.is_some() {
            let _ = writeln!(io::stderr());
        }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

fn bar(pace: &Pace) -> String {
    let full = (pace.done * WIDTH).checked_div(pace.of).unwrap_or(WIDTH).min(WIDTH);
    let part = |sign: &str, count: u64| sign.repeat(usize::try_from(count).unwrap_or_default());
    format!("[{}{}]", part("#", full), part(".", WIDTH - full))
}

fn sentence(pace: &Pace) -> String {
    let Pace { name, done, of, events_per_second, seconds_left } = pace;
    let percent = (done * 100).checked_div(*of).unwrap_or(100);
    let left = seconds_left.map(|left| format!(", {left} s left")).unwrap_or_default();
    format!("{name}: {percent} %, {done} of {of} events, {events_per_second} events/s{left}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(done: u64, seconds_left: Option<u64>) -> Pace {
        Pace { name: "inbox".to_owned(), done, of: 1_000, events_per_second: 250, seconds_left }
    }

    #[test]
    fn a_pace_is_told_in_one_line() {
        assert_eq!(sentence(&pace(500, Some(2))), "inbox: 50 %, 500 of 1000 events, 250 events/s, 2 s left");
        assert_eq!(sentence(&pace(0, None)), "inbox: 0 %, 0 of 1000 events, 250 events/s");
        assert_eq!(bar(&pace(500, None)), "[############............]");
        assert_eq!(bar(&Pace { of: 0, ..pace(0, None) }), format!("[{}]", "#".repeat(24)));
    }
}
