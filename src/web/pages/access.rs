//! Apps with access: what a member lets applications do, and taking it back.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, http::StatusCode, response::Response};
use countersign_events::{
    application::{ChangeOutcome, Standing},
    ids::{ApplicationId, UserId},
    recorded::Timestamp,
    redirect_uri::{Purpose, RedirectUri},
};

use super::{Frame, PageError, portions::ListPart, render, see_other};
use crate::{
    app::{
        App,
        authorizations::{MyAuthorization, scopes_in_words},
        tokens::MyToken,
    },
    web::extract::{Form, Member, PageId, Query},
};

/// Whose an application is, as its card says it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Owner {
    Others,
    Mine,
    /// Tokens that the people who run the site have issued.
    Site,
}

/// How its access does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Condition {
    Works,
    Rests,
    Ended,
}

/// An application with access, as its card shows it.
struct Access {
    id: ApplicationId,
    name: String,
    owner: Owner,
    /// It acts for its owner alone.
    personal: bool,
    scopes: Vec<&'static str>,
    since: Timestamp,
    last_used: Option<Timestamp>,
    /// So many tokens work now.
    live: usize,
    /// Where its redirect URIs lead.
    hosts: Vec<String>,
    condition: Condition,
    /// What was decided last on it, by whom and when.
    decided: Option<(Standing, String, Timestamp)>,
}

impl Access {
    fn of(app: &App, member: UserId, tokens: &[MyToken], mine: MyAuthorization) -> Self {
        let MyAuthorization { row, application, last_used } = mine;
        let live = tokens.iter().filter(|token| token.row.application_id == row.application_id && token.valid.is_ok());
        let site = Self {
            id: row.application_id,
            name: app.config.site_name.clone(),
            owner: Owner::Site,
            personal: false,
            scopes: scopes_in_words(app.state.within(row.application_id, row.scopes)),
            since: row.authorized_at,
            last_used,
            live: live.count(),
            hosts: vec![],
            condition: Condition::Works,
            decided: None,
        };
        let Some(application) = application else { return site };
        let mut hosts: Vec<_> = application.redirect_uris.iter().map(RedirectUri::host).collect();
        hosts.dedup();
        // A withdrawal is its owner's doing; what reviewers had decided before says nothing any more.
        let by_reviewers = application.standing != Standing::Withdrawn;
        let decided = application.decided_by.zip(application.decided_at).filter(|_| by_reviewers);
        Self {
            name: application.name,
            owner: if application.owner_id == member { Owner::Mine } else { Owner::Others },
            personal: application.purpose == Purpose::Personal,
            hosts,
            condition: match application.standing {
                Standing::Suspended => Condition::Rests,
                Standing::Revoked | Standing::Withdrawn => Condition::Ended,
                _ => Condition::Works,
            },
            decided: decided.map(|(by, at)| (application.standing, app.state.name_of(by), at)),
            ..site
        }
    }
}

#[derive(Template)]
#[template(path = "authorizations.html")]
struct AuthorizationsPage {
    frame: Frame,
    access: ListPart<Access>,
    /// Some of it is the member's own.
    with_own: bool,
    /// What was just removed: the name of an application, or nothing for all of it.
    removed: Option<String>,
}

pub(in crate::web) async fn list(
    State(app): State<Arc<App>>,
    member: Member,
    Query(query): Query,
) -> Result<Response, PageError> {
    let tokens = app.my_tokens(member.id()).await?;
    let mine = app.my_authorizations(member.id()).await?;
    let mut access: Vec<_> = mine.into_iter().map(|one| Access::of(&app, member.id(), &tokens, one)).collect();
    access.sort_by_key(|one| one.owner);
    let with_own = access.iter().any(|one| one.owner != Owner::Others);
    let here = format!("{}/settings/authorizations", app.config.base_path());
    let mut access = ListPart::of(access, "access", &query, &here)?;
    for one in &mut access.items {
        // A change that was approved later is what holds now.
        if let Some((Standing::Approved, by, at)) = &mut one.decided
            && let Some(change) = app.last_change(one.id).await?
            && change.outcome == ChangeOutcome::Approved
            && change.at > *at
        {
            (*by, *at) = (change.by, change.at);
        }
    }
    let named = |id: ApplicationId| app.state.client(id).map(|client| client.name).unwrap_or_default();
    let removed = query.get("removed").map(|id| id.parse().map(named).unwrap_or_default());
    let page = AuthorizationsPage { frame: Frame::of(&app, &member.visitor).await, access, with_own, removed };
    Ok(render(&app, &member.visitor, StatusCode::OK, &page))
}

pub(in crate::web) async fn remove(
    State(app): State<Arc<App>>,
    member: Member,
    PageId(id): PageId<ApplicationId>,
    Form(form): Form,
) -> Result<Response, PageError> {
    let caller = member.visitor.caller("POST /settings/authorizations/{id}/remove", &form);
    let done = app.remove_authorization(&caller, member.id(), id).await?;
    Ok(see_other(&app, &format!("/settings/authorizations?removed={id}"), done.cursor))
}

pub(in crate::web) async fn remove_all(
    State(app): State<Arc<App>>,
    member: Member,
    Form(form): Form,
) -> Result<Response, PageError> {
    let caller = member.visitor.caller("POST /settings/authorizations/remove", &form);
    let done = app.remove_authorizations(&caller, member.id()).await?;
    Ok(see_other(&app, "/settings/authorizations?removed=all", done.cursor))
}
