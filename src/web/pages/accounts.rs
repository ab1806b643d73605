//! Sign up, log in, log out, and the pages behind one-time links.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use countersign_events::{ids::UserId, recorded::Actor, text::FieldError};

use super::{Frame, PageError, errors::wait, render, see_other, stamp};
use crate::{
    app::{App, AppError, Caller, Refused, accounts::Joining, sessions::BrowserKey},
    store::{Cursor, Link},
    web::{
        compression::as_it_is,
        context::POLICY_WITHOUT_FORM_ACTION,
        cookies,
        error::{add_retry, tell},
        extract::{Fields, Form, Query, Visitor},
    },
};

/// The box that ends every token with the old password.
const END_TOKENS: &str = "end_tokens";

/// Which of the forms with a name and a password.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Door {
    LogIn,
    SignUp,
    SetUp,
    Reset,
}

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    frame: Frame,
    title: &'static str,
    action: &'static str,
    button: &'static str,
    door: Door,
    username: String,
    return_to: String,
    token: String,
    errors: Vec<FieldError>,
    problem: Option<String>,
    /// So many tokens can act for who sets a new password.
    live_tokens: usize,
    /// They shall end.
    end_tokens: bool,
}

impl AccountPage {
    async fn new(app: &App, visitor: &Visitor, door: Door, fields: &Fields) -> Self {
        let (title, action, button) = match door {
            Door::LogIn => ("Log in", "/login", "Log in"),
            Door::SignUp => ("Sign up", "/signup", "Create account"),
            Door::SetUp => ("Set up the site", "/setup", "Create the administrator"),
            Door::Reset => ("Set a new password", "/setup", "Set password"),
        };
        Self {
            frame: Frame::of(app, visitor).await,
            title,
            action,
            button,
            door,
            username: fields.text("username").to_owned(),
            return_to: local_path(fields.text("return_to")).unwrap_or_default().to_owned(),
            token: fields.text("token").to_owned(),
            errors: vec![],
            problem: None,
            live_tokens: 0,
            end_tokens: fields.get(END_TOKENS).is_some(),
        }
    }

    /// With what the link of a new password leads to.
    async fn behind(mut self, app: &App, link: &Link) -> Result<Self, AppError> {
        if let Link::Reset(user, _) = link {
            self.live_tokens = app.live_tokens(*user).await?;
        }
        Ok(self)
    }

    /// Whether an application waits for its consent page behind this one.
    fn authorizes(&self) -> bool {
        let path = self.return_to.split('?').next().unwrap_or_default();
        path.strip_prefix(&self.frame.base).is_some_and(|path| path.trim_end_matches('/') == "/authorize")
    }

    fn respond(&self, app: &App, visitor: &Visitor, status: StatusCode) -> Response {
        let mut response = render(app, visitor, status, self);
        // The redirect after a log-in may go on to a third party.
        let policy = HeaderValue::from_static(POLICY_WITHOUT_FORM_ACTION);
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
        // The link stands in the form.
        if self.token.is_empty() { response } else { as_it_is(response) }
    }

    fn refuse(mut self, app: &App, visitor: &Visitor, error: AppError) -> Response {
        let told = tell(&error);
        let mut retry = HeaderMap::new();
        add_retry(&error, &mut retry);
        match error {
            AppError::Fields(errors) => self.errors = errors,
            AppError::Refused(Refused::Username(_)) => {
                self.errors = vec![FieldError { field: "username", code: "taken", message: told.detail.clone() }];
            }
            AppError::TooMany(_) => {
                let again = wait(&retry).map(|wait| format!("Too many tries. Wait {wait}, then try again."));
                self.problem = Some(again.unwrap_or(told.detail));
            }
            // What fails at the site's side also says when to try again, and is nobody's many tries.
            _ => self.problem = Some(told.detail),
        }
        let mut response = self.respond(app, visitor, told.status);
        response.headers_mut().extend(retry);
        response
    }
}

/// A path of this site, and nothing that a browser could read as another one.
pub(super) fn local_path(text: &str) -> Option<&str> {
    // Visible ASCII alone: a Location header carries nothing else.
    let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    let local = text.starts_with('/') && !text.starts_with("//") && !text.contains('\\') && visible;
    local.then_some(text)
}

async fn enter(
    app: &App,
    user: UserId,
    before: &BrowserKey,
    fields: &Fields,
    cursor: Cursor,
) -> Result<Response, AppError> {
    // Whoever was signed in to this browser before no longer is.
    app.log_out(before).await?;
    let browser = app.begin_session(user).await?;
    let mut response = go_back(app, fields);
    response.headers_mut().append(header::SET_COOKIE, cookies::set_browser(app, &browser));
    stamp(app, &mut response, cursor);
    Ok(response)
}

fn go_back(app: &App, fields: &Fields) -> Response {
    let home = format!("{}/", app.config.base_path());
    Redirect::to(local_path(fields.text("return_to")).unwrap_or(&home)).into_response()
}

pub(in crate::web) async fn login(State(app): State<Arc<App>>, visitor: Visitor, Query(query): Query) -> Response {
    if visitor.signed_in.is_some() && query.get("again").is_none() {
        return go_back(&app, &query);
    }
    AccountPage::new(&app, &visitor, Door::LogIn, &query).await.respond(&app, &visitor, StatusCode::OK)
}

pub(in crate::web) async fn log_in(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Form(form): Form,
) -> Result<Response, PageError> {
    let caller = visitor.caller("POST /login", &form);
    match app.log_in(&caller, form.text("username"), form.text("password")).await {
        Ok((_, browser)) => {
            // The session before this log-in ends with it.
            app.log_out(&visitor.browser).await?;
            let mut response = go_back(&app, &form);
            response.headers_mut().append(header::SET_COOKIE, cookies::set_browser(&app, &browser));
            Ok(response)
        }
        Err(error) => Ok(AccountPage::new(&app, &visitor, Door::LogIn, &form).await.refuse(&app, &visitor, error)),
    }
}

pub(in crate::web) async fn log_out(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Form(_): Form,
) -> Result<Response, PageError> {
    app.log_out(&visitor.browser).await?;
    let mut response = Redirect::to(&format!("{}/", app.config.base_path())).into_response();
    response.headers_mut().append(header::SET_COOKIE, cookies::set_browser(&app, &app.new_browser_key()));
    Ok(response)
}

pub(in crate::web) async fn signup(State(app): State<Arc<App>>, visitor: Visitor, Query(query): Query) -> Response {
    AccountPage::new(&app, &visitor, Door::SignUp, &query).await.respond(&app, &visitor, StatusCode::OK)
}

fn joining(form: &Fields) -> Result<Joining, AppError> {
    Joining::new(form.text("username"), form.text("password"), form.get("password_repeat"))
}

/// Whoever sends a form of this room acts as nobody yet.
fn nobody(visitor: &Visitor, route: &'static str, form: &Fields) -> Caller {
    Caller { actor: Actor::System, ..visitor.caller(route, form) }
}

pub(in crate::web) async fn sign_up(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Form(form): Form,
) -> Result<Response, PageError> {
    let caller = nobody(&visitor, "POST /signup", &form);
    let signed_up = match joining(&form) {
        Ok(joining) => app.sign_up(&caller, joining).await,
        Err(error) => Err(error),
    };
    match signed_up {
        Ok(done) => Ok(enter(&app, done.answer, &visitor.browser, &form, done.cursor).await?),
        Err(error) => Ok(AccountPage::new(&app, &visitor, Door::SignUp, &form).await.refuse(&app, &visitor, error)),
    }
}

pub(in crate::web) async fn setup(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Query(query): Query,
) -> Result<Response, PageError> {
    let link = app.link(query.text("token")).await?;
    let door = match link {
        Link::SetUp => Door::SetUp,
        Link::Reset(..) => Door::Reset,
    };
    let page = AccountPage::new(&app, &visitor, door, &query).await.behind(&app, &link).await?;
    let mut response = page.respond(&app, &visitor, StatusCode::OK);
    // The address holds the link.
    response.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    Ok(response)
}

pub(in crate::web) async fn set_up(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Form(form): Form,
) -> Result<Response, PageError> {
    let caller = nobody(&visitor, "POST /setup", &form);
    let token = form.text("token");
    let link = app.link(token).await?;
    let (door, done) = match link {
        Link::SetUp => {
            let done = match joining(&form) {
                Ok(joining) => app.set_up(&caller, token, joining).await,
                Err(error) => Err(error),
            };
            (Door::SetUp, done)
        }
        Link::Reset(..) => {
            let (password, repeated) = (form.text("password"), form.get("password_repeat"));
            let end_tokens = form.get(END_TOKENS).is_some();
            (Door::Reset, app.reset_password(&caller, token, password, repeated, end_tokens).await)
        }
    };
    match done {
        Ok(done) if door == Door::SetUp => Ok(enter(&app, done.answer, &visitor.browser, &form, done.cursor).await?),
        Ok(done) => Ok(see_other(&app, "/login", done.cursor)),
        Err(error) => {
            let page = AccountPage::new(&app, &visitor, door, &form).await.behind(&app, &link).await?;
            Ok(page.refuse(&app, &visitor, error))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::local_path;

    #[test]
    fn p5_only_paths_of_this_site_are_gone_back_to() {
        for evil in ["//evil", "/\\evil", "https:evil", "https://evil", "", "evil", "/a\nb", "\\\\evil"] {
            assert_eq!(local_path(evil), None, "{evil:?}");
        }
        assert_eq!(local_path("/authorize?client_id=x"), Some("/authorize?client_id=x"));
    }
}
