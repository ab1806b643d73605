//! The guide: how to get a token and use it, with this site's name, address and limits filled in, and a member's own
//! client ids where one is needed.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, http::StatusCode, response::Response};
use countersign_events::{
    application::Standing,
    redirect_uri::Purpose,
    scope::{Scope, ScopeSet},
    token::ClientId,
};

use super::{Frame, PageError, render};
use crate::{
    app::App,
    store::rows::ApplicationRow,
    web::{
        codes::{CODES, Code},
        extract::Visitor,
    },
};

/// The errors that programs meet first, in the order of the table; every other one is in the reference.
const COMMON: &[(u16, &str)] = &[
    (400, "unknown_value"),
    (401, "token_missing"),
    (401, "token_malformed"),
    (401, "token_unknown"),
    (401, "token_expired"),
    (401, "token_revoked"),
    (401, "application_suspended"),
    (401, "user_suspended"),
    (403, "insufficient_scope"),
    (404, "not_found"),
    (409, "wrong_state"),
    (422, "fields"),
    (429, "too_many_requests"),
    (503, "unavailable"),
];

/// A scope as the table shows it.
struct Row {
    scope: Scope,
    by_default: bool,
}

#[derive(Template)]
#[template(path = "guide.html")]
struct GuidePage {
    frame: Frame,
    site_url: String,
    simple_flow: bool,
    /// The reader's own applications that others can authorize.
    mine: Vec<(String, ClientId)>,
    scopes: Vec<Row>,
    requests_a_minute: u32,
    messages_an_hour: u32,
    open_requests: u32,
    token_days: Option<u32>,
    held_days: u32,
    errors: Vec<&'static Code>,
}

fn client(row: ApplicationRow) -> Option<(String, ClientId)> {
    let can_be_authorized = row.standing == Standing::Approved && row.purpose != Purpose::Personal;
    Some((row.name, row.client_id.filter(|_| can_be_authorized)?))
}

pub(in crate::web) async fn show(State(app): State<Arc<App>>, visitor: Visitor) -> Result<Response, PageError> {
    let mine = match &visitor.signed_in {
        Some(signed_in) => app.my_applications(signed_in.user_id).await?,
        None => vec![],
    };
    let default = ScopeSet::default_requested();
    let common = |(status, word): &(u16, &str)| CODES.iter().find(|code| code.status == *status && code.word == *word);
    let page = GuidePage {
        frame: Frame::of(&app, &visitor).await,
        site_url: app.config.url("/").trim_end_matches('/').to_owned(),
        simple_flow: app.config.simple_flow,
        mine: mine.into_iter().filter_map(client).collect(),
        scopes: Scope::ALL.into_iter().map(|scope| Row { scope, by_default: default.contains(scope) }).collect(),
        requests_a_minute: app.config.limits_api_per_minute.get(),
        messages_an_hour: app.config.limits_messages_per_hour.get(),
        open_requests: app.config.limits_open_requests.get(),
        token_days: app.config.token_lifetime_days,
        held_days: app.config.held_secret_days,
        errors: COMMON.iter().filter_map(common).collect(),
    };
    Ok(render(&app, &visitor, StatusCode::OK, &page))
}
