//! The query of the review list, as the JSON API and the pages both read it, and its cursors.

use countersign_events::{
    application::Standing,
    ids::{ApplicationId, UserId},
    recorded::Timestamp,
    redirect_uri::Purpose,
    scope::{Scope, ScopeSet},
    text::FieldError,
};

use super::extract::Fields;
use crate::{
    app::{App, AppError},
    store::{ReviewFilter, rows::ApplicationRow},
};

/// The filters, in the order in which the page offers them.
pub const FILTERS: [&str; 7] = ["state", "purpose", "scope", "owner", "claimed_by", "overdue", "sort"];
/// What `state` says for every state.
pub const ALL: &str = "all";
/// What `owner` and `claimed_by` say for whoever asks.
pub const ME: &str = "me";
/// What `claimed_by` says for what nobody has claimed. No username is so short.
pub const NOBODY: &str = "no";

/// Why a query cannot be answered.
pub enum QueryError {
    /// These parameters do not hold, as the sentences say; one at least.
    Parameters(Vec<FieldError>),
    /// Looking a member up failed.
    App(AppError),
}

impl From<AppError> for QueryError {
    fn from(error: AppError) -> Self {
        Self::App(error)
    }
}

/// What of the query, asked by whom, is to be listed: `state` (a standing, `waiting`, or `all`), `purpose`, `scope`, `owner`
/// and `claimed_by` (a username, `me` for oneself; `no` where nobody has claimed it), `overdue`, `sort` (oldest or
/// newest), `after`.
///
/// # Errors
/// The parameters that do not hold, with the values that do.
pub async fn review_filter(app: &App, query: &Fields, me: UserId, limit: u32) -> Result<ReviewFilter, QueryError> {
    let mut filter = app.review_filter(limit);
    let mut asked = Asked { query, wrong: vec![] };
    match query.text("state") {
        "waiting" => filter.waiting = true,
        ALL => {}
        _ => {
            let all: Vec<_> = Standing::ALL.into_iter().map(Standing::as_str).collect();
            let states = format!("one of waiting, {}, {ALL}", all.join(", "));
            filter.standing = asked.given("state", &states, |text| text.parse().ok());
        }
    }
    filter.purpose = asked.given("purpose", "one of web, personal and native", |text| text.parse::<Purpose>().ok());
    let one_scope = |text: &str| ScopeSet::parse(text).ok().filter(|set| set.iter().count() == 1)?.iter().next();
    let scopes: Vec<_> = ScopeSet::grantable().iter().map(Scope::as_str).collect();
    filter.scope = asked.given::<Scope>("scope", &format!("one of {}", scopes.join(", ")), one_scope);
    filter.owner = asked.member(app, "owner", me).await?;
    filter.unclaimed = query.text("claimed_by") == NOBODY;
    if !filter.unclaimed {
        filter.claimed_by = asked.member(app, "claimed_by", me).await?;
    }
    match asked.given("overdue", "true or false", |text| text.parse::<bool>().ok()) {
        Some(true) => {
            filter.waiting = true;
            filter.waiting_before = Some(app.overdue_before());
        }
        Some(false) => filter.not_waiting_before = Some(app.overdue_before()),
        None => {}
    }
    let newest = |text: &str| ["oldest", "newest"].contains(&text).then_some(text == "newest");
    filter.newest_first = asked.given("sort", "oldest or newest", newest).unwrap_or_default();
    filter.after = asked.given("after", "the value of next in an earlier answer", cursor);
    if asked.wrong.is_empty() { Ok(filter) } else { Err(QueryError::Parameters(asked.wrong)) }
}

/// A query as it is read, and what is wrong with it.
struct Asked<'a> {
    query: &'a Fields,
    wrong: Vec<FieldError>,
}

impl Asked<'_> {
    fn given<T>(&mut self, name: &'static str, allowed: &str, read: impl Fn(&str) -> Option<T>) -> Option<T> {
        let text = self.query.get(name).filter(|text| !text.is_empty())?;
        let value = read(text);
        if value.is_none() {
            self.refuse(name, format!("{name} is {allowed}."));
        }
        value
    }

    async fn member(&mut self, app: &App, name: &'static str, me: UserId) -> Result<Option<UserId>, AppError> {
        let Some(text) = self.query.get(name).filter(|text| !text.is_empty()) else { return Ok(None) };
        if text == ME {
            return Ok(Some(me));
        }
        if let Ok(id) = text.parse() {
            return Ok(Some(id));
        }
        match app.account_named(text).await {
            Ok(account) => Ok(Some(account.user_id)),
            Err(AppError::NotFound) => {
                self.refuse(name, format!("{name} is a username or the id of a member; nobody here has this one."));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn refuse(&mut self, name: &'static str, message: String) {
        let code = if name == "after" { "cursor" } else { "unknown_value" };
        self.wrong.push(FieldError::new(name, code, message));
    }
}

/// Where in the order of the filter a row stands.
#[must_use]
pub fn place(filter: &ReviewFilter, row: &ApplicationRow) -> (Timestamp, ApplicationId) {
    let at = if filter.waiting { row.waiting_since.unwrap_or(row.requested_at) } else { row.requested_at };
    (at, row.application_id)
}

/// The same as a parameter: where the page after this row begins.
#[must_use]
pub fn cursor_at(filter: &ReviewFilter, row: &ApplicationRow) -> String {
    let (at, id) = place(filter, row);
    format!("{}.{id}", at.timestamp_micros())
}

/// The place that [`cursor_at`] names.
#[must_use]
pub fn cursor(text: &str) -> Option<(Timestamp, ApplicationId)> {
    let (micros, id) = text.split_once('.')?;
    Some((Timestamp::from_timestamp_micros(micros.parse().ok()?)?, id.parse().ok()?))
}
