//! A member's own side as JSON: who am I, tokens, authorizations.

use std::sync::Arc;

use axum::{Json, extract::State};
use countersign_events::ids::{ApplicationId, TokenId};
use uuid::Uuid;

use super::{
    Asks, Changed, List, Page, Silent,
    answers::{MemberShape, ShownTokenShape},
    shapes::{AuthorizationShape, BearerShape, Named, TokenShape},
};
use crate::{
    app::App,
    web::{
        error::ApiError,
        extract::{ApiCaller, Id},
    },
};

pub(in crate::web) async fn token(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
) -> Result<Json<BearerShape>, ApiError> {
    let bearer = caller.bearer.ok_or(ApiError::TokenMissing)?;
    let application = app.state.client(bearer.application_id).map(|client| client.name);
    Ok(Json(BearerShape {
        id: bearer.token_id,
        user: Named { id: bearer.user_id.0, name: Some(app.state.name_of(bearer.user_id)) },
        application: Named { id: bearer.application_id.0, name: application },
        scopes: bearer.scopes,
        expires_at: bearer.expires_at,
    }))
}

pub(in crate::web) async fn me(State(app): State<Arc<App>>, caller: ApiCaller) -> Result<Json<MemberShape>, ApiError> {
    let member = app.state.member(caller.user_id).ok_or_else(ApiError::not_found)?;
    let roles: Vec<_> = member.facts.roles.iter().map(countersign_events::account::Role::as_str).collect();
    Ok(Json(MemberShape { id: caller.user_id, name: member.username, roles }))
}

pub(in crate::web) async fn authorizations(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Asks(page): Asks<Page<Uuid>>,
) -> Result<List<AuthorizationShape>, ApiError> {
    let mine = app.my_authorizations(caller.user_id).await?;
    Ok(List::page_of(mine, &page, |one| one.row.application_id.0)?.map(AuthorizationShape::from))
}

pub(in crate::web) async fn remove_authorization(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Id(id): Id<ApplicationId>,
) -> Result<Silent, ApiError> {
    let sender = caller.caller("DELETE /authorizations/{id}", b"");
    Ok(Silent(app.remove_authorization(&sender, caller.user_id, id).await?.cursor))
}

pub(in crate::web) async fn remove_authorizations(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
) -> Result<Silent, ApiError> {
    let sender = caller.caller("DELETE /authorizations", b"");
    Ok(Silent(app.remove_authorizations(&sender, caller.user_id).await?.cursor))
}

pub(in crate::web) async fn tokens(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Asks(page): Asks<Page<Uuid>>,
) -> Result<List<TokenShape>, ApiError> {
    let mine = app.my_tokens(caller.user_id).await?;
    Ok(List::page_of(mine, &page, |one| one.row.token_id.0)?.map(TokenShape::from))
}

pub(in crate::web) async fn revoke_token(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Id(id): Id<TokenId>,
) -> Result<Silent, ApiError> {
    let sender = caller.caller("DELETE /tokens/{id}", b"");
    Ok(Silent(app.revoke_my_token(&sender, caller.user_id, id).await?.cursor))
}

pub(in crate::web) async fn regenerate_token(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Id(id): Id<TokenId>,
) -> Result<Changed<ShownTokenShape>, ApiError> {
    let sender = caller.caller("POST /tokens/{id}/regenerate", b"");
    let regenerated = app.regenerate_token(&sender, caller.user_id, id).await?;
    Ok(Changed(regenerated.cursor, ShownTokenShape { access_token: regenerated.answer }))
}
