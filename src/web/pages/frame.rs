//! What every page shows around its own content, and how it says instants. What is in a page is each page's own.

use std::{fmt, sync::LazyLock};

use axum::http::Uri;
use chrono::{SecondsFormat, TimeDelta};
use countersign_events::{
    account::Role, application::ApplicationEvent, event::Event, recorded::Timestamp, text::FieldError,
};
use data_encoding::HEXLOWER;
use uuid::Uuid;

use crate::{
    app::{App, history::Happening},
    web::extract::Visitor,
};

/// The style sheet.
pub const STYLE: &str = include_str!("style.css");
/// The script. Every page works without it.
pub const SCRIPT: &str = include_str!("site.js");

/// Names the very texts above, so that browsers may keep them for good.
static EDITION: LazyLock<String> = LazyLock::new(|| {
    let digest = blake3::Hasher::new().update(STYLE.as_bytes()).update(SCRIPT.as_bytes()).finalize();
    digest.to_hex()[..12].to_owned()
});

/// Which of the staff's pages somebody may open.
#[derive(Debug, Clone, Copy, Default)]
pub struct Desks {
    /// The review queue.
    pub review: bool,
    /// The whole history.
    pub audit: bool,
    /// Log and read models.
    pub operations: bool,
}

/// What every page shows around its own content.
#[derive(Debug, Clone, Default)]
pub struct Frame {
    pub(super) site: String,
    pub(super) base: String,
    /// Where this page is, without the base.
    pub(super) path: String,
    pub(super) user: Option<String>,
    pub(super) desks: Desks,
    /// So many notifications are unread.
    pub(super) unread: u64,
    /// So many applications wait for a reviewer.
    pub(super) waiting: u64,
    pub(super) csrf: String,
    /// The page may be older than what its reader has just changed.
    pub(super) stale: bool,
    /// A fresh id, so that a form sent twice does its work once.
    pub(super) command_id: String,
    /// When the page was made.
    pub(super) now: Timestamp,
}

impl Frame {
    /// Of a page for a visitor.
    pub async fn of(app: &App, visitor: &Visitor) -> Self {
        let mut frame = Self { stale: visitor.context.stale, ..Self::bare(app, &visitor.context.uri) };
        frame.csrf = app.csrf_token(&visitor.browser);
        frame.command_id = app.world.uuid().to_string();
        let Some(signed_in) = &visitor.signed_in else { return frame };
        let roles = &signed_in.member.facts.roles;
        frame.desks = Desks {
            review: roles.allow(Role::Reviewer),
            audit: roles.allow(Role::Auditor),
            operations: roles.allow(Role::Operator),
        };
        frame.user = Some(signed_in.username.clone());
        // A page without its counts is of more use than none.
        frame.unread = app.unread_count(signed_in.user_id).await.unwrap_or_default();
        if frame.desks.review {
            frame.waiting = app.waiting_count().await.unwrap_or_default();
        }
        frame
    }

    /// Of a page for nobody in particular.
    pub fn bare(app: &App, uri: &Uri) -> Self {
        let base = app.config.base_path();
        let path = uri.path().strip_prefix(base).unwrap_or(uri.path());
        Self {
            site: app.config.site_name.clone(),
            base: base.to_owned(),
            path: path.trim_end_matches('/').to_owned(),
            now: app.now(),
            ..Self::default()
        }
    }

    /// The id of a command that this page offers for one of several things.
    pub(super) fn command_id_of(&self, thing: &Uuid) -> String {
        let digest = blake3::hash([self.command_id.as_bytes(), thing.as_bytes()].concat().as_slice());
        HEXLOWER.encode(&digest.as_bytes()[..16])
    }

    /// Whether the page is at this path or below it.
    pub(super) fn is_in(&self, path: &str) -> bool {
        self.path.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// What the addresses of style sheet and script end with.
    #[expect(clippy::unused_self, reason = "templates know the frame")]
    pub(super) fn edition(&self) -> &'static str {
        &EDITION
    }

    /// An instant as a time element: how long ago, and exactly to those who point at it.
    pub(super) const fn when(&self, at: &Timestamp) -> When {
        When { at: *at, now: self.now }
    }
}

/// An instant as a time element: how long ago, and exactly to those who point at it.
#[derive(Debug, Clone, Copy)]
pub struct When {
    at: Timestamp,
    now: Timestamp,
}

impl askama::filters::HtmlSafe for When {}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let machine = self.at.to_rfc3339_opts(SecondsFormat::Secs, true);
        let exact = self.at.format("%-d %b %Y, %H:%M:%S UTC");
        write!(f, "<time datetime=\"{machine}\" title=\"{exact}\">{}</time>", relative(self.at, self.now))
    }
}

/// An instant as people say it; the day from a month on.
fn relative(at: Timestamp, now: Timestamp) -> String {
    let between = at - now;
    if between.abs() >= TimeDelta::days(30) {
        return at.format("%-d %b %Y").to_string();
    }
    if between.abs() < TimeDelta::minutes(1) {
        return if between > TimeDelta::zero() { "in a moment" } else { "just now" }.to_owned();
    }
    if between > TimeDelta::zero() {
        return format!("in {}", span(&rounded(between)));
    }
    format!("{} ago", span(&between.abs()))
}

/// What is left, to the nearest of the units that it is told in: three days less a second are three days.
fn rounded(left: TimeDelta) -> TimeDelta {
    let half = match left.num_minutes() {
        ..59 => TimeDelta::seconds(30),
        59..2_850 => TimeDelta::minutes(30),
        _ => TimeDelta::hours(12),
    };
    left + half
}

/// A time span as people say it.
pub(super) fn span(span: &TimeDelta) -> String {
    let (number, unit) = match span.num_minutes() {
        ..1 => return "less than a minute".to_owned(),
        minutes @ 1..60 => (minutes, "minute"),
        minutes @ 60..2_880 => (minutes / 60, "hour"),
        minutes => (minutes / 1_440, "day"),
    };
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}

/// An instant as a time element that says it to the second, where that is what counts.
pub(super) fn exactly(at: &Timestamp) -> Exactly {
    Exactly(*at)
}

/// An instant as a time element that is exact to the second.
#[derive(Debug, Clone, Copy)]
pub struct Exactly(Timestamp);

impl askama::filters::HtmlSafe for Exactly {}

impl fmt::Display for Exactly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let machine = self.0.to_rfc3339_opts(SecondsFormat::Micros, true);
        write!(f, "<time datetime=\"{machine}\">{}</time>", self.0.format("%-d %b %Y, %H:%M:%S UTC"))
    }
}

/// An instant, exactly.
pub(super) fn instant(at: &Timestamp) -> String {
    at.format("%-d %b %Y, %H:%M UTC").to_string()
}

/// What an event of an application's history meant for its owner, as the class of its mark.
pub(super) const fn tone(happening: &Happening) -> &'static str {
    use ApplicationEvent as E;
    let Event::Application(event) = &happening.recorded.event else { return "" };
    match event {
        E::ApplicationApproved { .. } | E::ChangeApproved { .. } | E::ApplicationReinstated { .. } => "good",
        E::ApplicationDenied { .. }
        | E::ChangeDenied { .. }
        | E::ApplicationSuspended { .. }
        | E::ApplicationRevoked { .. } => "bad",
        E::ChangesRequested { .. } => "wait",
        E::ApplicationRequested { .. }
        | E::ApplicationEdited { .. }
        | E::ReviewClaimed { .. }
        | E::ReviewReleased { .. }
        | E::ReviewSigned { .. }
        | E::ApplicationResubmitted { .. }
        | E::ApplicationAppealed { .. }
        | E::ChangeProposed { .. }
        | E::ChangeWithdrawn { .. }
        | E::ApplicationWithdrawn { .. }
        | E::ClientIdRotated { .. } => "",
    }
}

/// The message beside a field, if there is one.
pub(super) fn message_for<'a>(errors: &'a [FieldError], field: &str) -> Option<&'a str> {
    errors.iter().find(|error| error.field == field).map(|error| error.message.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_said_in_the_unit_that_fits() {
        let minutes = |minutes| span(&TimeDelta::minutes(minutes));
        assert_eq!(
            [0, 1, 59, 60, 2_879, 2_880].map(minutes),
            ["less than a minute", "1 minute", "59 minutes", "1 hour", "47 hours", "2 days"]
        );
    }

    #[test]
    fn instants_are_told_from_now_and_exactly_to_those_who_point_at_them() {
        let now: Timestamp = "2026-03-10T12:00:00Z".parse().unwrap();
        let told = |minutes| relative(now + TimeDelta::minutes(minutes), now);
        assert_eq!(
            [0, -3, -150, 4_320, -43_200].map(told),
            ["just now", "3 minutes ago", "2 hours ago", "in 3 days", "8 Feb 2026"]
        );
        let when = When { at: now - TimeDelta::minutes(3), now };
        assert_eq!(
            when.to_string(),
            "<time datetime=\"2026-03-10T11:57:00Z\" title=\"10 Mar 2026, 11:57:00 UTC\">3 minutes ago</time>"
        );
    }

    #[test]
    fn a_page_is_in_its_own_section_and_in_no_other_that_begins_alike() {
        let frame = Frame { path: "/settings/apps/1".to_owned(), ..Frame::default() };
        assert!(frame.is_in("/settings/apps") && frame.is_in("/settings") && !frame.is_in("/settings/app"));
    }
}
