//! `/authorize`: the consent page of the simple flow. Whoever asked is sent an answer only when the
//! redirect URI is one that was reviewed (RFC 6749 s4.1.2.1); anything else is told to the user alone.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};

use super::{Frame, PageError, instant, instant_or, render, stamp};
use crate::{
    app::{
        App, AppError, Refused,
        authorizations::{Consent, ConsentPage, ConsentRefusal, ConsentRequest, scopes_in_words},
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
    scopes: Vec<&'static str>,
    reviewed_by: String,
    reviewed_at: String,
    expires: String,
    nonce: String,
    again: String,
}

#[derive(Template)]
#[template(path = "refusal.html")]
struct RefusalPage {
    frame: Frame,
    refusal: String,
}

async fn refuse(app: &App, visitor: &Visitor, refusal: &ConsentRefusal) -> Response {
    let status = match refusal {
        ConsentRefusal::UnknownClient | ConsentRefusal::Rotated { .. } | ConsentRefusal::UnregisteredRedirect => {
            StatusCode::BAD_REQUEST
        }
        ConsentRefusal::NotApproved { .. } | ConsentRefusal::Personal { .. } | ConsentRefusal::SimpleFlowOff => {
            StatusCode::FORBIDDEN
        }
    };
    render(app, visitor, status, &RefusalPage { frame: Frame::of(app, visitor).await, refusal: refusal.to_string() })
}

async fn refuse_repeated(app: &App, visitor: &Visitor, name: &str) -> Response {
    let refusal = format!("The request holds {name} more than once.");
    render(app, visitor, StatusCode::BAD_REQUEST, &RefusalPage { frame: Frame::of(app, visitor).await, refusal })
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
    let page = AskPage {
        frame: Frame::of(&app, &visitor).await,
        scopes: scopes_in_words(consent.scopes),
        reviewed_by: consent.application.decided_by.map(|user| app.state.name_of(user)).unwrap_or_default(),
        reviewed_at: instant_or(consent.application.decided_at.as_ref(), ""),
        expires: consent
            .expires_at
            .as_ref()
            .map_or_else(|| "It has no end date.".to_owned(), |at| format!("It ends on {}.", instant(at))),
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
                refusal: format!("{}.", capitalised(&refused.to_string())),
            };
            Ok(render(&app, visitor, StatusCode::CONFLICT, &page))
        }
        Err(error) => Err(error.into()),
    }
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}
