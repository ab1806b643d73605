//! The query of the review list, as the JSON API and the page both read it, and its cursors.

use countersign_events::{
    application::Standing,
    ids::{ApplicationId, UserId},
    recorded::Timestamp,
    redirect_uri::Purpose,
    scope::{Scope, ScopeSet},
};

use super::extract::Fields;
use crate::{
    app::{App, AppError},
    store::{ReviewFilter, rows::ApplicationRow},
};

/// Why a query cannot be answered.
pub enum QueryError {
    /// This parameter does not hold, as the sentence says.
    Parameter(String),
    /// Looking a member up failed.
    App(AppError),
}

/// What of the query, asked by whom, is to be listed: `state` (a standing, or `waiting`), `purpose`, `scope`, `owner`
/// and `claimed_by` (a username, `me` for oneself), `overdue`, `sort` (oldest or newest), `after`.
///
/// # Errors
/// The parameter that does not hold, with the values that do.
pub async fn review_filter(app: &App, query: &Fields, me: UserId, limit: u32) -> Result<ReviewFilter, QueryError> {
    let mut filter = app.review_filter(limit);
    match query.get("state") {
        None | Some("") => {}
        Some("waiting") => filter.waiting = true,
        Some(text) => {
            let all: Vec<_> = Standing::ALL.into_iter().map(Standing::as_str).collect();
            filter.standing = Some(
                text.parse()
                    .map_err(|_| QueryError::Parameter(format!("state is one of waiting, {}.", all.join(", "))))?,
            );
        }
    }
    filter.purpose = given(query, "purpose", "one of web, personal and native", |text| text.parse::<Purpose>().ok())?;
    let one_scope = |text: &str| ScopeSet::parse(text).ok().filter(|set| set.iter().count() == 1)?.iter().next();
    let scopes: Vec<_> = ScopeSet::grantable().iter().map(Scope::as_str).collect();
    filter.scope = given::<Scope>(query, "scope", &format!("one of {}", scopes.join(", ")), one_scope)?;
    filter.owner = member(app, query, "owner", me).await?;
    filter.claimed_by = member(app, query, "claimed_by", me).await?;
    if given(query, "overdue", "true or false", |text| text.parse::<bool>().ok())?.unwrap_or_default() {
        filter.waiting = true;
        filter.waiting_before = Some(app.overdue_before());
    }
    let newest = |text: &str| ["oldest", "newest"].contains(&text).then_some(text == "newest");
    filter.newest_first = given(query, "sort", "oldest or newest", newest)?.unwrap_or_default();
    filter.after = given(query, "after", "the value of next in an earlier answer", cursor)?;
    Ok(filter)
}

fn given<T>(
    query: &Fields,
    name: &str,
    allowed: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, QueryError> {
    let wrong = || QueryError::Parameter(format!("{name} is {allowed}."));
    query.get(name).filter(|text| !text.is_empty()).map(|text| read(text).ok_or_else(wrong)).transpose()
}

async fn member(app: &App, query: &Fields, name: &str, me: UserId) -> Result<Option<UserId>, QueryError> {
    let Some(text) = query.get(name).filter(|text| !text.is_empty()) else { return Ok(None) };
    if text == "me" {
        return Ok(Some(me));
    }
    if let Ok(id) = text.parse() {
        return Ok(Some(id));
    }
    match app.account_named(text).await {
        Ok(account) => Ok(Some(account.user_id)),
        Err(AppError::NotFound) => {
            Err(QueryError::Parameter(format!("{name} is a username or the id of a member; nobody here has this one.")))
        }
        Err(error) => Err(QueryError::App(error)),
    }
}

/// Where the page after this row begins, in the order of the filter.
#[must_use]
pub fn next_cursor(filter: &ReviewFilter, last: &ApplicationRow) -> String {
    let at = if filter.waiting { last.waiting_since.unwrap_or(last.requested_at) } else { last.requested_at };
    format!("{}.{}", at.timestamp_micros(), last.application_id)
}

/// The place that [`next_cursor`] names.
fn cursor(text: &str) -> Option<(Timestamp, ApplicationId)> {
    let (micros, id) = text.split_once('.')?;
    Some((Timestamp::from_timestamp_micros(micros.parse().ok()?)?, id.parse().ok()?))
}
