//! `/authorize`: the consent page of the simple flow. Whoever asked is sent an answer only when the
//! redirect URI is one that was reviewed (RFC 6749 s4.1.2.1); anything else is told to the user alone.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};

use countersign_events::{
    authorization::LIVE_SIMPLE_TOKENS,
    recorded::Timestamp,
    scope::{Scope, ScopeSet},
};

use super::{Frame, PageError, render, stamp};
use crate::{
    app::{
        App, AppError, Refused,
        acquaintance::Acquaintance,
        authorizations::{Consent, ConsentPage, ConsentRefusal, ConsentRequest},
    },
    web::{
        context::POLICY_WITHOUT_FORM_ACTION,
        extract::{Fields, Form, Member, Query, Visitor},
    },
};

/// Parameters that decide where an answer goes: sent twice, nobody can be trusted with one.
const WHO: &[&str] = &["client_id", "redirect_uri"];

#[derive(Template)]
#[template(path = "consent.html")]
struct AskPage {
    frame: Frame,
    consent: Consent,
    known: Acquaintance,
    /// What it asks for not.
    lacking: Vec<Scope>,
    /// What kind of place its user is sent to.
    destination: &'static str,
    expires: String,
    nonce: String,
    again: String,
}

#[derive(Template)]
#[template(path = "refusal.html")]
struct RefusalPage {
    frame: Frame,
    title: &'static str,
    refusal: String,
    steps: &'static [&'static str],
}

const NOT_THIS_ONE: &str = "This application cannot be authorized";
const TELL_ITS_PEOPLE: &str = "If an application sent you here, tell whoever runs it what stands above.";
const START_AGAIN: &str = "If you followed an old or copied link, start again from the application itself.";
const BE_CAREFUL: &str =
    "If the link came in a message or from a stranger, somebody may be after your account: leave it.";

async fn refuse(app: &App, visitor: &Visitor, refusal: &ConsentRefusal) -> Response {
    use ConsentRefusal as R;
    let (status, title, steps): (_, _, &[_]) = match refusal {
        R::UnknownClient => {
            (StatusCode::BAD_REQUEST, "No such application", &[START_AGAIN, TELL_ITS_PEOPLE, BE_CAREFUL])
        }
        R::NoClient => (StatusCode::BAD_REQUEST, "This link is not complete", &[START_AGAIN, TELL_ITS_PEOPLE]),
        R::Rotated { .. } => {
            (StatusCode::BAD_REQUEST, "This application has another client id now", &[START_AGAIN, TELL_ITS_PEOPLE])
        }
        R::UnregisteredRedirect => {
            (StatusCode::BAD_REQUEST, "The address to send you back to is not known", &[TELL_ITS_PEOPLE, BE_CAREFUL])
        }
        R::NotApproved { .. } | R::Personal { .. } => (StatusCode::FORBIDDEN, NOT_THIS_ONE, &[TELL_ITS_PEOPLE]),
        R::SimpleFlowOff => (StatusCode::FORBIDDEN, "This way to authorize is switched off", &[TELL_ITS_PEOPLE]),
    };
    let frame = Frame::of(app, visitor).await;
    render(app, visitor, status, &RefusalPage { frame, title, refusal: refusal.to_string(), steps })
}

async fn refuse_repeated(app: &App, visitor: &Visitor, name: &str) -> Response {
    let page = RefusalPage {
        frame: Frame::of(app, visitor).await,
        title: "This request cannot be trusted",
        refusal: format!("The request holds {name} more than once."),
        steps: &[TELL_ITS_PEOPLE, BE_CAREFUL],
    };
    render(app, visitor, StatusCode::BAD_REQUEST, &page)
}

fn request_of(fields: &Fields) -> ConsentRequest {
    // What a form or a decoder would change on the way cannot be echoed as it was sent; neither can one of two.
    let echoed = |state: &&str| !state.chars().any(|c| c.is_control() || c == char::REPLACEMENT_CHARACTER);
    let state = fields.get("state").filter(echoed).filter(|_| fields.repeated(&["state"]).is_none());
    ConsentRequest {
        client_id: fields.text("client_id").to_owned(),
        redirect_uri: fields.get("redirect_uri").map(ToOwned::to_owned),
        // RFC 6749 s3.1: no parameter may be there more than once.
        malformed: fields.any_repeated() || state.is_none() && fields.get("state").is_some(),
        state: state.map(ToOwned::to_owned),
        response_type: fields.get("response_type").map(ToOwned::to_owned),
        scope: fields.get("scope").map(ToOwned::to_owned),
    }
}

/// Back to the application. 303, so that no form is sent on (RFC 9700 s4.12); and no referrer, because
/// this site's address may hold what the application sent.
fn send_back(uri: &str) -> Response {
    let mut response = Redirect::to(uri).into_response();
    response.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// What becomes of a request: the consent to ask for, or the answer to give at once.
async fn consent(app: &App, visitor: &Visitor, fields: &Fields) -> Result<Consent, Response> {
    if let Some(name) = fields.repeated(WHO) {
        return Err(refuse_repeated(app, visitor, name).await);
    }
    let page = app.consent_page(&request_of(fields)).await.map_err(|error| PageError::from(error).into_response())?;
    match page {
        ConsentPage::Refuse(refusal) => Err(refuse(app, visitor, &refusal).await),
        ConsentPage::Return(uri) => Err(send_back(&uri)),
        ConsentPage::Ask(consent) => Ok(*consent),
    }
}

pub(in crate::web) async fn ask(State(app): State<Arc<App>>, visitor: Visitor, Query(query): Query) -> Response {
    let consent = match consent(&app, &visitor, &query).await {
        Ok(consent) => consent,
        Err(response) => return response,
    };
    let back = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("return_to", visitor.context.path_and_query())
        .finish();
    let login = format!("{}/login?{back}", app.config.base_path());
    let Some(signed_in) = &visitor.signed_in else { return Redirect::to(&login).into_response() };
    let known = match app.acquaintance(signed_in.user_id, &consent).await {
        Ok(known) => known,
        Err(error) => return PageError::from(error).into_response(),
    };
    let page = AskPage {
        frame: Frame::of(&app, &visitor).await,
        known,
        lacking: ScopeSet::grantable().iter().filter(|scope| !consent.scopes.contains(*scope)).collect(),
        destination: destination(&consent.redirect_uri),
        expires: consent
            .expires_at
            .as_ref()
            .map_or_else(|| "It has no end date.".to_owned(), |at| format!("It ends on {}.", day(at))),
        nonce: app.consent_nonce(signed_in, &consent),
        again: format!("{login}&again=1"),
        consent,
    };
    let mut response = render(&app, &visitor, StatusCode::OK, &page);
    response
        .headers_mut()
        .insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY_WITHOUT_FORM_ACTION));
    response
}

pub(in crate::web) async fn answer(
    State(app): State<Arc<App>>,
    member: Member,
    Form(form): Form,
) -> Result<Response, PageError> {
    let visitor = &member.visitor;
    let consent = match consent(&app, visitor, &form).await {
        Ok(consent) => consent,
        Err(response) => return Ok(response),
    };
    let caller = visitor.caller("POST /authorize", &Fields::default());
    let nonce = form.text("nonce");
    let answered = match form.text("decision") {
        "authorize" => app.authorize(&caller, &member.signed_in, &consent, nonce).await,
        "deny" => app.refuse(&caller, &member.signed_in, &consent, nonce).await,
        _ => return Err(PageError::request(StatusCode::UNPROCESSABLE_ENTITY, "Choose to authorize or to deny.")),
    };
    match answered {
        Ok(done) => {
            let mut response = send_back(&done.answer);
            stamp(&app, &mut response, done.cursor);
            Ok(response)
        }
        Err(AppError::Refused(Refused::Authorization(refused))) => {
            let page = RefusalPage {
                frame: Frame::of(&app, visitor).await,
                title: "The application changed while you read",
                refusal: format!("{}.", capitalised(&refused.to_string())),
                steps: &["Go back to the application and begin again: the page then shows what it asks for now."],
            };
            Ok(render(&app, visitor, StatusCode::CONFLICT, &page))
        }
        Err(error) => Err(error.into()),
    }
}

/// What kind of place an answer goes to, as far as its address tells.
fn destination(redirect_uri: &str) -> &'static str {
    let Ok(uri) = url::Url::parse(redirect_uri) else { return "" };
    match (uri.scheme(), uri.host_str()) {
        ("https", _) => "This is the website that gets your token. Check that it is the one you came from.",
        ("http", _) => "This is a program on your own device. Go on only if you have just started it.",
        _ => "This is an app on your own device that opens such addresses. Go on only if you came from it.",
    }
}

/// A day, for what is read slowly.
fn day(at: &Timestamp) -> String {
    at.format("%-d %B %Y").to_string()
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}
