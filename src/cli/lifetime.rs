//! How long a token lives, as it is typed: `90d`, `12h`, `30m`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A time to live, in whole minutes, from one minute to a hundred years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Lifetime {
    minutes: u32,
}

const LONGEST: u32 = 36_500 * 24 * 60;

impl Lifetime {
    /// As a duration.
    #[must_use]
    pub fn duration(self) -> chrono::Duration {
        chrono::Duration::minutes(self.minutes.min(LONGEST).into())
    }
}

/// A text that is no time to live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write a number and d for days, h for hours or m for minutes, such as 90d, 12h or 30m; at most 36500d")]
pub struct MalformedLifetime;

impl FromStr for Lifetime {
    type Err = MalformedLifetime;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unit = text.chars().last().ok_or(MalformedLifetime)?;
        let number = text.strip_suffix(unit).unwrap_or_default();
        let minutes_each: u32 = match unit {
            'd' => 24 * 60,
            'h' => 60,
            'm' => 1,
            _ => return Err(MalformedLifetime),
        };
        // `parse` alone would take "+90".
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(MalformedLifetime);
        }
        let number: u32 = number.parse().map_err(|_| MalformedLifetime)?;
        let minutes = number.checked_mul(minutes_each).filter(|minutes| (1..=LONGEST).contains(minutes));
        minutes.map(|minutes| Self { minutes }).ok_or(MalformedLifetime)
    }
}

impl fmt::Display for Lifetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.minutes {
            minutes if minutes.is_multiple_of(24 * 60) => write!(f, "{}d", minutes / (24 * 60)),
            minutes if minutes.is_multiple_of(60) => write!(f, "{}h", minutes / 60),
            minutes => write!(f, "{minutes}m"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_hours_and_minutes_are_read() {
        let read = |text: &str| text.parse::<Lifetime>().unwrap().duration();
        assert_eq!(read("90d"), chrono::Duration::days(90));
        assert_eq!(read("12h"), chrono::Duration::hours(12));
        assert_eq!(read("30m"), chrono::Duration::minutes(30));
        assert_eq!(read("36500d"), chrono::Duration::days(36_500));
    }

    #[test]
    fn anything_else_is_refused() {
        let refused = ["", "d", "90", "90 d", "-1d", "+1d", "1.5h", "0d", "90w", "90D", "36501d", "4294967295d", "9é"];
        for text in refused {
            assert_eq!(text.parse::<Lifetime>(), Err(MalformedLifetime), "{text}");
        }
    }

    #[test]
    fn what_is_printed_is_read_again() {
        for text in ["90d", "12h", "31m"] {
            assert_eq!(text.parse::<Lifetime>().unwrap().to_string(), text);
        }
        assert_eq!("48h".parse::<Lifetime>().unwrap().to_string(), "2d");
    }
}
