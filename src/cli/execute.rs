//! Carries the command line's requests out on an app: the same function beside a running server and without one.

mod again;
pub mod review;

use anyhow::{Context as _, anyhow, bail};
use chrono::SecondsFormat;
use countersign_events::{
    account::{self, AccountStanding, Role},
    authorization,
    ids::TokenId,
    recorded::{Actor, Position, Timestamp},
    scope::{Scope, ScopeSet},
};
use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::again::{Made, nothing_new};
use super::{clock, doctor, events, lifetime::Lifetime, output::Output, projections, table::Table};
use crate::{
    app::{App, AppError, Caller, Done, accounts::Joining, audit::Typed},
    projector::Tell,
    store::rows::AccountRow,
};

/// A command with its arguments. One may hold a password, so it has no printed form for debugging.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[expect(missing_docs, reason = "the arguments of the command line, by their names")]
pub enum Request {
    /// Adds a member; without a password, who has the link that is answered sets one.
    AccountCreate { name: String, roles: Vec<Role>, password: Option<String> },
    /// Lists members.
    AccountList,
    /// Gives a role.
    AccountGrant { name: String, role: Role },
    /// Takes a role back.
    AccountWithdraw { name: String, role: Role },
    /// Suspends a member.
    AccountSuspend { name: String },
    /// Lets a suspended member act again.
    AccountReinstate { name: String },
    /// Makes a link with which a member sets a new password.
    AccountReset {
        name: String,
        #[serde(default)]
        end_tokens: bool,
    },
    /// What reviewers do.
    Review(review::ReviewRequest),
    /// Issues a token.
    TokenIssue { user: String, scopes: ScopeSet, expires: Option<Lifetime> },
    /// Shows a token without its text, which nobody has.
    TokenShow { id: TokenId },
    /// Ends a token.
    TokenRevoke { id: TokenId },
    /// Lists events.
    EventsList { after: Option<u64>, newest_first: bool, limit: u32, filter: Typed },
    /// Shows an event.
    EventsShow { position: u64 },
    /// Looks at the running site.
    Doctor,
    /// Waits a moment for new events, and lists them.
    EventsFollow { after: Option<u64>, filter: Typed },
    /// Looks after read models.
    Projections(projections::Asked),
    /// Shows what the site makes of its clock.
    ClockShow,
    /// Says that the clock is right.
    ClockAccept,
}

impl Request {
    /// What it is called, for logs; its arguments do not belong there.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::AccountCreate { .. } => "account create",
            Self::AccountList => "account list",
            Self::AccountGrant { .. } => "account grant",
            Self::AccountWithdraw { .. } => "account withdraw",
            Self::AccountSuspend { .. } => "account suspend",
            Self::AccountReinstate { .. } => "account reinstate",
            Self::AccountReset { .. } => "account reset",
            Self::Review(request) => request.name(),
            Self::TokenIssue { .. } => "token issue",
            Self::TokenShow { .. } => "token show",
            Self::TokenRevoke { .. } => "token revoke",
            Self::EventsList { .. } => "events list",
            Self::EventsShow { .. } => "events show",
            Self::Doctor => "doctor",
            Self::EventsFollow { .. } => "events tail",
            Self::Projections(asked) => asked.name(),
            Self::ClockShow => "clock show",
            Self::ClockAccept => "clock accept",
        }
    }

    /// Whether it only looks at a site, so that a copy of it serves as well.
    #[must_use]
    pub const fn only_looks(&self) -> bool {
        match self {
            Self::AccountList
            | Self::TokenShow { .. }
            | Self::EventsList { .. }
            | Self::EventsShow { .. }
            | Self::ClockShow => true,
            Self::Review(request) => request.only_looks(),
            Self::Projections(asked) => asked.only_looks(),
            Self::AccountCreate { .. }
            | Self::AccountGrant { .. }
            | Self::AccountWithdraw { .. }
            | Self::AccountSuspend { .. }
            | Self::AccountReinstate { .. }
            | Self::AccountReset { .. }
            | Self::TokenIssue { .. }
            | Self::TokenRevoke { .. }
            | Self::Doctor
            | Self::ClockAccept
            // What would come is not in a copy.
            | Self::EventsFollow { .. } => false,
        }
    }
}

/// Carries a request out as `actor`.
///
/// # Errors
/// Whatever the use case says, with what to do about it.
pub async fn execute(app: &App, request: Request, actor: Actor) -> anyhow::Result<Output> {
    execute_telling(app, request, actor, &|_| {}).await
}

/// The same, telling how far long work is.
///
/// # Errors
/// As [`execute`].
pub async fn execute_telling(app: &App, request: Request, actor: Actor, tell: Tell<'_>) -> anyhow::Result<Output> {
    let caller = Caller { actor, ..Caller::system() };
    match request {
        Request::AccountCreate { name, roles, password } => create(app, &caller, &name, &roles, password).await,
        Request::AccountList => list_accounts(app).await,
        Request::AccountGrant { name, role } => {
            let member = member(app, &name).await?;
            let done = app.grant_role(&caller, member.user_id, role).await?;
            let made = Made::by("RoleGranted").with("role", &role);
            let [now, already] = [format!("has the role {role}"), format!("has the role {role} already")];
            Ok(changed(app, &member, &done, &made, [&now, &already]).await)
        }
        Request::AccountWithdraw { name, role } => {
            let member = member(app, &name).await?;
            let done = app.withdraw_role(&caller, member.user_id, role).await?;
            let made = Made::by("RoleWithdrawn").with("role", &role);
            let without = format!("does not have the role {role}");
            Ok(changed(app, &member, &done, &made, [&without, &without]).await)
        }
        Request::AccountSuspend { name } => {
            let member = member(app, &name).await?;
            let done = app.suspend_account(&caller, member.user_id).await?;
            let said = ["is suspended: signed out everywhere, tokens at rest", "is suspended already"];
            Ok(changed(app, &member, &done, &Made::by("UserSuspended"), said).await)
        }
        Request::AccountReinstate { name } => {
            let member = member(app, &name).await?;
            let done = app.reinstate_account(&caller, member.user_id).await?;
            let said = ["can act again", "can act already"];
            Ok(changed(app, &member, &done, &Made::by("UserReinstated"), said).await)
        }
        Request::AccountReset { name, end_tokens } => reset(app, &caller, &name, end_tokens).await,
        Request::Review(request) => request.execute(app, &caller).await,
        Request::TokenIssue { user, scopes, expires } => issue(app, &caller, &user, scopes, expires).await,
        Request::TokenShow { id } => show_token(app, id).await,
        Request::TokenRevoke { id } => {
            let done = app.revoke_token(&caller, id).await.map_err(|error| known(error, "token", id))?;
            if done.happened {
                return Ok(Output::Sentence(format!("Token {id} is revoked.")));
            }
            let row = app.token(id).await?.row;
            let stream = authorization::stream(row.application_id, row.user_id);
            let made = Made::by("TokenRevoked").with("token_id", &id);
            Ok(nothing_new(app, &format!("token {id} has ended already"), &stream, &made).await)
        }
        Request::EventsList { after, newest_first, limit, filter } => {
            events::list(app, &filter, after, newest_first, limit).await
        }
        Request::EventsShow { position } => {
            let event = app.audit_event(Position(position)).await.map_err(|error| known(error, "event", position))?;
            Ok(Output::Event(serde_json::to_value(event)?))
        }
        Request::Doctor => Box::pin(doctor::of_running(app)).await,
        Request::EventsFollow { after, filter } => events::follow(app, &filter, after).await,
        Request::Projections(asked) => projections::execute(app, asked, &caller, tell).await,
        Request::ClockShow => clock::show(app).await,
        Request::ClockAccept => clock::accept(app, &caller).await,
    }
}

/// What is so of a member now, or was already.
async fn changed(app: &App, member: &AccountRow, done: &Done<()>, made: &Made, [now, already]: [&str; 2]) -> Output {
    let name = shown(member);
    if done.happened {
        return Output::Sentence(format!("{name} {now}."));
    }
    nothing_new(app, &format!("{name} {already}"), &account::stream(member.user_id), made).await
}

async fn create(
    app: &App,
    caller: &Caller,
    name: &str,
    roles: &[Role],
    password: Option<String>,
) -> anyhow::Result<Output> {
    let invited = password.is_none();
    // A password nobody knows: the account is closed until its owner has followed the link.
    let password = password.unwrap_or_else(|| BASE64URL_NOPAD.encode(&app.world.random::<32>()));
    let user = app.create_account(caller, Joining::new(name, &password, None)?, roles).await?.answer;
    let roles = match roles {
        [] => String::new(),
        [role] => format!(" with the role {role}"),
        several => {
            format!(" with the roles {}", several.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(", "))
        }
    };
    if !invited {
        return Ok(Output::Sentence(format!("Created {name}{roles}.")));
    }
    let link = app.reset_link(user).await;
    let secret = link.with_context(|| {
        format!("created {name}, but could not make a link; `countersign account reset {name}` makes one")
    })?;
    let about = format!("Created {name}{roles}. Whoever has this link sets the password, once, within an hour.");
    Ok(Output::Secret { secret, about })
}

async fn reset(app: &App, caller: &Caller, name: &str, end_tokens: bool) -> anyhow::Result<Output> {
    let member = member(app, name).await?;
    let secret = app.reset_link(member.user_id).await?;
    let tokens = if end_tokens {
        match app.end_tokens_of(caller, member.user_id).await?.answer {
            0 => "No token could act for them.".to_owned(),
            1 => "One token that could act for them was ended.".to_owned(),
            ended => format!("{ended} tokens that could act for them were ended."),
        }
    } else {
        match app.live_tokens(member.user_id).await? {
            0 => "No token can act for them.".to_owned(),
            1 => "One token that can act for them goes on; --end-tokens ends it.".to_owned(),
            live => format!("{live} tokens that can act for them go on; --end-tokens ends them."),
        }
    };
    let name = shown(&member);
    let about = format!("Whoever has this link sets a new password for {name}, once, within an hour. {tokens}");
    Ok(Output::Secret { secret, about })
}

async fn list_accounts(app: &App) -> anyhow::Result<Output> {
    let mut table = Table::new(&["username", "standing", "roles", "registered_at", "user_id"]);
    for account in app.accounts().await? {
        let roles: Vec<_> = account.roles.iter().map(Role::as_str).collect();
        table.push([
            json!(account.username),
            json!(account.standing.as_str()),
            json!(roles),
            review::moment(Some(account.registered_at)),
            json!(account.user_id),
        ]);
    }
    Ok(Output::Listing(table))
}

async fn issue(
    app: &App,
    caller: &Caller,
    user: &str,
    scopes: ScopeSet,
    expires: Option<Lifetime>,
) -> anyhow::Result<Output> {
    let member = member(app, user).await?;
    let name = shown(&member);
    if member.standing == AccountStanding::Suspended {
        bail!("{name} is suspended; `countersign account reinstate {name}` comes first");
    }
    let issued = app.issue_token(caller, member.user_id, scopes, expires.map(Lifetime::duration)).await;
    let (id, secret) = issued
        .map_err(|error| match error {
            AppError::RoleMissing(role) => {
                anyhow!("these scopes need the role {role}, which {name} lacks; `countersign account grant {name} {role}` gives it")
            }
            other => other.into(),
        })?
        .answer;
    // The token exists and is shown this once, also when it cannot be looked up right now.
    let expiry = match app.token(id).await.map(|token| token.row.expires_at) {
        Ok(Some(at)) => format!(", good until {}", at.to_rfc3339_opts(SecondsFormat::Secs, true)),
        Ok(None) => ", good without end".to_owned(),
        Err(_) => String::new(),
    };
    let about = format!("A token of {name} for {scopes}{expiry}. Its id is {id}. It is shown this once.");
    Ok(Output::Secret { secret, about })
}

async fn show_token(app: &App, id: TokenId) -> anyhow::Result<Output> {
    let token = app.token(id).await.map_err(|error| known(error, "token", id))?;
    let row = token.row;
    let mut table = Table::new(&[
        "id",
        "username",
        "user_id",
        "application",
        "application_id",
        "kind",
        "scopes",
        "issued_at",
        "expires_at",
        "ended_at",
        "ended_why",
        "last_used_at",
        "valid",
        "invalid_because",
    ]);
    let scopes: Vec<_> = row.scopes.iter().map(Scope::as_str).collect();
    table.push([
        json!(row.token_id),
        json!(app.state.name_of(row.user_id)),
        json!(row.user_id),
        json!(token.application),
        json!(row.application_id),
        json!(row.kind.as_str()),
        json!(scopes),
        instant(Some(row.issued_at)),
        instant(row.expires_at),
        instant(row.ended_at),
        json!(row.ended_why),
        instant(token.last_used),
        json!(token.valid.is_ok()),
        json!(token.valid.err().map(|refusal| refusal.to_string())),
    ]);
    Ok(Output::Record(table))
}

fn instant(at: Option<Timestamp>) -> Value {
    json!(at.map(|at| at.to_rfc3339_opts(SecondsFormat::Micros, true)))
}

async fn member(app: &App, name: &str) -> anyhow::Result<AccountRow> {
    app.account_named(name).await.map_err(|error| match error {
        AppError::NotFound => {
            anyhow!("there is no member called `{name}`; `countersign account list` shows who there is")
        }
        other => other.into(),
    })
}

/// A member's name as they write it.
fn shown(member: &AccountRow) -> &str {
    member.username.as_deref().unwrap_or("the erased member")
}

fn known(error: AppError, kind: &str, id: impl std::fmt::Display) -> anyhow::Error {
    match error {
        AppError::NotFound => anyhow!("there is no {kind} {id}"),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_as_it_was_written() {
        let requests = [
            json!({"account_create": {"name": "ada", "roles": ["admin"], "password": "correct horse"}}),
            json!("account_list"),
            json!({"account_grant": {"name": "bo", "role": "reviewer"}}),
            json!({"token_issue": {"user": "ada", "scopes": "review audit", "expires": 129_600}}),
            json!({"events_list": {"after": 3, "newest_first": false, "limit": 10, "filter": {
                "stream": "site", "type": null, "actor": null, "application": null, "user": "bo", "since": null,
                "until": null,
            }}}),
        ];
        for request in requests {
            let read: Request = serde_json::from_value(request.clone()).unwrap();
            assert_eq!(serde_json::to_value(read).unwrap(), request);
        }
    }

    #[test]
    fn unknown_commands_and_arguments_are_refused() {
        let refused = [
            json!("account_erase"),
            json!({"account_suspend": {"name": "ada", "force": true}}),
            json!({"account_grant": {"name": "ada", "role": "king"}}),
            json!({"token_issue": {"user": "ada", "scopes": "everything", "expires": null}}),
            json!({"token_issue": {"user": "ada", "scopes": "read", "expires": -1}}),
        ];
        for request in refused {
            assert!(serde_json::from_value::<Request>(request.clone()).is_err(), "{request}");
        }
    }
}
