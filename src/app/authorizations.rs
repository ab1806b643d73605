//! Authorizations: the consent page of the simple flow, what a member agreed to, taking it back.

use chrono::{DateTime, TimeDelta, Utc};
use countersign_events::{
    application::Standing,
    authorization::{self, ApplicationSeen, Authorization, AuthorizationCommand, NewToken, Via},
    decider::Decider,
    ids::{ApplicationId, TokenId, UserId},
    recorded::Timestamp,
    redirect_uri::{Purpose, with_parameters},
    scope::{Scope, ScopeSet},
    token::{ClientId, TokenKind},
};
use data_encoding::BASE64URL_NOPAD;
use subtle::ConstantTimeEq;

use super::{App, AppError, Caller, Done, NamedCommand, Plan, sessions::SignedIn};
use crate::store::rows::{ApplicationRow, AuthorizationRow};

/// How long after the first answer the same consent answers with the same redirect.
const DOUBLE_CLICK: chrono::Duration = chrono::Duration::seconds(60);
/// How long a consent page can be answered.
const PAGE_LIFETIME: chrono::Duration = chrono::Duration::hours(1);
/// How long the secret of an outcome is kept, sealed, for a repeat.
pub(super) const OUTCOME_LIFETIME: chrono::Duration = chrono::Duration::minutes(10);

/// What a third party sends a user with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the parameters, by their names")]
pub struct ConsentRequest {
    pub client_id: String,
    pub redirect_uri: Option<String>,
    pub state: Option<String>,
    pub scope: Option<String>,
    pub response_type: Option<String>,
    /// A parameter is there twice, or cannot be echoed.
    pub malformed: bool,
}

/// Why a user is not sent back: whoever asked cannot be trusted with an answer (RFC 6749 s4.1.2.1).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConsentRefusal {
    /// There is no client id.
    #[error("The request holds no client_id: the application has to send its own.")]
    NoClient,
    /// No application answers to this client id.
    #[error("No application answers to this client id.")]
    UnknownClient,
    /// The client id was rotated away; its application answers to another one.
    #[error("This client id of “{name}” was replaced on {}. The application has to send its new one.", .at.format("%-d %B %Y"))]
    Rotated {
        /// The application's name.
        name: String,
        /// When.
        at: Timestamp,
    },
    /// Not one of the redirect URIs that were reviewed.
    #[error("The address to send you back to is not one that was reviewed for this application.")]
    UnregisteredRedirect,
    /// It is suspended, revoked or withdrawn.
    #[error("“{name}” is {standing} and cannot be authorized.")]
    NotApproved {
        /// Its name.
        name: String,
        /// Where it stands.
        standing: Standing,
    },
    /// A personal application is its owner's alone.
    #[error("“{name}” is personal: it acts for its owner only and cannot be authorized.")]
    Personal {
        /// Its name.
        name: String,
    },
    /// The site does not hand tokens over in an address.
    #[error("This site has switched off authorization without a response type.")]
    SimpleFlowOff,
}

/// What a consent page shows.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each field is what its name says")]
pub struct Consent {
    pub application: ApplicationRow,
    pub redirect_uri: String,
    /// The host users are sent to.
    pub host: String,
    pub state: Option<String>,
    pub scopes: ScopeSet,
    pub expires_at: Option<Timestamp>,
}

/// What becomes of a consent request before a user is asked.
#[derive(Debug, Clone)]
pub enum ConsentPage {
    /// Ask the user.
    Ask(Box<Consent>),
    /// Send the user back with an error.
    Return(String),
    /// Tell the user, and nobody else.
    Refuse(ConsentRefusal),
}

/// An authorization as its member sees it.
#[derive(Debug, Clone)]
pub struct MyAuthorization {
    /// The authorization.
    pub row: AuthorizationRow,
    /// Its application.
    pub application: Option<ApplicationRow>,
    /// When a token of it was last used, to the minute, as far as that is known.
    pub last_used: Option<Timestamp>,
}

impl App {
    /// What becomes of a consent request.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn consent_page(&self, request: &ConsentRequest) -> Result<ConsentPage, AppError> {
        if request.client_id.is_empty() {
            return Ok(ConsentPage::Refuse(ConsentRefusal::NoClient));
        }
        let Ok(client) = request.client_id.parse() else {
            return Ok(ConsentPage::Refuse(ConsentRefusal::UnknownClient));
        };
        let Some(application) = self.models.application_by_client(&client).await? else {
            return Ok(ConsentPage::Refuse(self.former_client(&client).await?));
        };
        Ok(self.consent(application, request).unwrap_or_else(ConsentPage::Refuse))
    }

    /// What is said of a client id that nothing answers to.
    async fn former_client(&self, client: &ClientId) -> Result<ConsentRefusal, AppError> {
        let remembered = TimeDelta::days(self.config.rotated_client_id_days.into());
        Ok(match self.models.former_client(client).await? {
            Some((application, at)) if at + remembered > self.now() => {
                let name = self.state.client(application).map(|client| client.name).unwrap_or_default();
                ConsentRefusal::Rotated { name, at }
            }
            _ => ConsentRefusal::UnknownClient,
        })
    }

    fn consent(&self, application: ApplicationRow, request: &ConsentRequest) -> Result<ConsentPage, ConsentRefusal> {
        let name = || application.name.clone();
        if application.standing != Standing::Approved {
            return Err(ConsentRefusal::NotApproved { name: name(), standing: application.standing });
        }
        if application.purpose == Purpose::Personal {
            return Err(ConsentRefusal::Personal { name: name() });
        }
        let registered = &application.redirect_uris;
        let uri = match &request.redirect_uri {
            None => registered.first(),
            Some(sent) => registered.iter().find(|uri| uri.matches(sent)),
        };
        let uri = uri.ok_or(ConsentRefusal::UnregisteredRedirect)?;
        let redirect_uri = request.redirect_uri.clone().unwrap_or_else(|| uri.to_string());
        let back = |error| ConsentPage::Return(returned(&redirect_uri, "error", error, request.state.as_deref()));
        if request.malformed {
            return Ok(back("invalid_request"));
        }
        if request.response_type.is_some() {
            return Ok(back("unsupported_response_type"));
        }
        if !self.config.simple_flow {
            return Err(ConsentRefusal::SimpleFlowOff);
        }
        // An empty scope asks for nothing in particular, as if it were not sent.
        let wanted = request.scope.as_deref().map(str::trim).filter(|scope| !scope.is_empty());
        let scopes = match wanted.map(ScopeSet::parse) {
            None => application.scopes,
            Some(Ok(scopes)) if scopes.is_subset(application.scopes) => scopes,
            Some(_) => return Ok(back("invalid_scope")),
        };
        let host = uri.host();
        let expires_at = self.token_expiry(self.now());
        let state = request.state.clone();
        Ok(ConsentPage::Ask(Box::new(Consent { application, redirect_uri, host, state, scopes, expires_at })))
    }

    /// The nonce of a consent page: it binds the page to its session, what it showed, and its time.
    #[must_use]
    pub fn consent_nonce(&self, signed_in: &SignedIn, consent: &Consent) -> String {
        let issued = self.now().timestamp_micros().to_string();
        let salt = BASE64URL_NOPAD.encode(&self.world.random::<12>());
        let revision = consent.application.holds;
        let mac = self.nonce_mac(signed_in, consent, &issued, &salt, revision);
        format!("{issued}.{revision}.{salt}.{mac}")
    }

    fn nonce_mac(&self, signed_in: &SignedIn, consent: &Consent, issued: &str, salt: &str, revision: u32) -> String {
        let mac = self.keys.nonce.mac(&[
            &signed_in.session,
            consent.application.application_id.0.as_bytes(),
            consent.redirect_uri.as_bytes(),
            consent.state.as_deref().unwrap_or_default().as_bytes(),
            consent.scopes.to_string().as_bytes(),
            issued.as_bytes(),
            salt.as_bytes(),
            &revision.to_be_bytes(),
        ]);
        BASE64URL_NOPAD.encode(&mac)
    }

    /// The revision that a page showed, if the nonce is this session's and not too old.
    fn shown_revision(&self, signed_in: &SignedIn, consent: &Consent, nonce: &str) -> Result<u32, AppError> {
        let (revision, issued) = self.read_nonce(signed_in, consent, nonce).ok_or(AppError::ConsentEnded)?;
        Self::must_hold(self.world.standing(issued, issued + PAGE_LIFETIME), || AppError::ConsentEnded)?;
        Ok(revision)
    }

    fn read_nonce(&self, signed_in: &SignedIn, consent: &Consent, nonce: &str) -> Option<(u32, Timestamp)> {
        let mut parts = nonce.splitn(4, '.');
        let (issued, revision, salt, mac) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let revision: u32 = revision.parse().ok()?;
        let expected = self.nonce_mac(signed_in, consent, issued, salt, revision);
        let issued = DateTime::<Utc>::from_timestamp_micros(issued.parse().ok()?)?;
        let holds: bool = expected.as_bytes().ct_eq(mac.as_bytes()).into();
        holds.then_some((revision, issued))
    }

    /// The user agrees: a token is issued and goes where the answer says. A double click gets the same answer.
    ///
    /// # Errors
    /// [`AppError::ConsentEnded`]; the application changed or ended meanwhile.
    pub async fn authorize(
        &self,
        caller: &Caller,
        signed_in: &SignedIn,
        consent: &Consent,
        nonce: &str,
    ) -> Result<Done<String>, AppError> {
        let shown_revision = self.shown_revision(signed_in, consent, nonce)?;
        let caller = answering(caller, nonce);
        let token = self.mint(TokenKind::Access);
        let (user_id, id) = (signed_in.user_id, consent.application.application_id);
        let redirect = returned(&consent.redirect_uri, "access_token", token.expose(), consent.state.as_deref());
        let token_id = TokenId(self.world.uuid());
        let stream = authorization::stream(id, user_id);
        // Which of two clicks wins is known after the append; the loser finds the winner's answer by the token's id.
        self.keep_outcome(token_id, &redirect).await?;
        let done: Done<Option<TokenId>> = self
            .execute(&caller, || async {
                let (record, application_version) = self.application_record(id).await?;
                let (authorization, version) = self.load::<Authorization>(&stream).await?;
                let at = self.now();
                let command = AuthorizationCommand::Authorize {
                    user_id,
                    application: ApplicationSeen {
                        id,
                        standing: record.standing,
                        revision: record.holds,
                        scopes: record.asked.scopes,
                    },
                    shown_revision,
                    scopes: consent.scopes,
                    via: Via::Consent,
                    token: NewToken {
                        id: token_id,
                        kind: TokenKind::Access,
                        digest: token.digest(),
                        expires_at: self.token_expiry(at),
                        held: None,
                    },
                    at,
                };
                Ok(Plan::answering(Some(token_id))
                    .with(&stream, version, authorization.decide(command)?)
                    .guarded(countersign_events::application::stream(id), application_version))
            })
            .await?;
        self.as_answered(consent, done).await
    }

    /// Where the first answer to a consent page sends its user: the same place for a double click, and for whoever
    /// presses the other button after all.
    async fn as_answered(&self, consent: &Consent, done: Done<Option<TokenId>>) -> Result<Done<String>, AppError> {
        if done.repeated.is_some_and(|first| first + DOUBLE_CLICK < self.now()) {
            return Err(AppError::ConsentEnded);
        }
        let answer = match done.answer {
            Some(token) => self.kept_outcome(token).await?.ok_or(AppError::ConsentEnded)?,
            None => returned(&consent.redirect_uri, "error", "access_denied", consent.state.as_deref()),
        };
        Ok(done.answering(answer))
    }

    /// The user says no.
    ///
    /// # Errors
    /// [`AppError::ConsentEnded`].
    pub async fn refuse(
        &self,
        caller: &Caller,
        signed_in: &SignedIn,
        consent: &Consent,
        nonce: &str,
    ) -> Result<Done<String>, AppError> {
        self.shown_revision(signed_in, consent, nonce)?;
        let (user_id, application_id) = (signed_in.user_id, consent.application.application_id);
        let stream = authorization::stream(application_id, user_id);
        let at = self.now();
        let done = self
            .execute(&answering(caller, nonce), || async {
                let deny = AuthorizationCommand::Deny { user_id, application_id, at };
                Ok(Plan::answering(None).with_any(&stream, Authorization::default().decide(deny)?))
            })
            .await?;
        self.as_answered(consent, done).await
    }

    /// Keeps the secret part of an answer, sealed, for whoever repeats its command.
    pub(super) async fn keep_outcome(&self, token: TokenId, secret: &str) -> Result<(), AppError> {
        let sealed = self.keys.outcome.seal(self.world.random(), token.0.as_bytes(), secret.as_bytes());
        Ok(self.vault.put_outcome(&outcome_key(token), &sealed, self.now() + OUTCOME_LIFETIME).await?)
    }

    /// The secret part of an answer, while it is kept.
    pub(super) async fn kept_outcome(&self, token: TokenId) -> Result<Option<String>, AppError> {
        let sealed = self.vault.outcome(&outcome_key(token)).await?;
        let plain = sealed.and_then(|sealed| self.keys.outcome.open(token.0.as_bytes(), &sealed));
        Ok(plain.and_then(|plain| String::from_utf8(plain.to_vec()).ok()))
    }

    /// What a member lets applications do.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn my_authorizations(&self, user: UserId) -> Result<Vec<MyAuthorization>, AppError> {
        let tokens = self.my_tokens(user).await?;
        let mut mine = vec![];
        for row in self.models.authorizations_of(user).await? {
            let application = self.models.application(row.application_id).await?;
            let of_it = tokens
                .iter()
                .filter(|token| (token.row.application_id, token.row.grant) == (row.application_id, row.grant));
            let last_used = of_it.filter_map(|token| token.last_used).max();
            mine.push(MyAuthorization { row, application, last_used });
        }
        Ok(mine)
    }

    /// A member takes back what they authorized; every token of it ends at once.
    ///
    /// # Errors
    /// [`AppError::NotFound`] when they never did.
    pub async fn remove_authorization(
        &self,
        caller: &Caller,
        user_id: UserId,
        id: ApplicationId,
    ) -> Result<Done<()>, AppError> {
        let stream = authorization::stream(id, user_id);
        let at = self.now();
        self.execute(caller, || async {
            let (authorization, version) = self.load::<Authorization>(&stream).await?;
            if authorization.grant == 0 {
                return Err(AppError::NotFound);
            }
            let rescind = AuthorizationCommand::Rescind { user_id, application_id: id, at };
            Ok(Plan::answering(()).with(&stream, version, authorization.decide(rescind)?))
        })
        .await
    }

    /// A member takes back everything, in one append.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn remove_authorizations(&self, caller: &Caller, user_id: UserId) -> Result<Done<()>, AppError> {
        let at = self.now();
        self.execute(caller, || async {
            let mut plan = Plan::answering(());
            for row in self.models.authorizations_of(user_id).await? {
                let stream = authorization::stream(row.application_id, user_id);
                let (authorization, version) = self.load::<Authorization>(&stream).await?;
                let rescind = AuthorizationCommand::Rescind { user_id, application_id: row.application_id, at };
                plan = plan.with(&stream, version, authorization.decide(rescind)?);
            }
            Ok(plan)
        })
        .await
    }
}

/// A scope in the words of a consent page.
#[must_use]
pub fn scopes_in_words(scopes: ScopeSet) -> Vec<&'static str> {
    scopes.iter().map(Scope::describe).collect()
}

/// A consent page is answered once: the check of its nonce names the command, whichever button is pressed. What comes
/// before that could be written in other ways.
fn answering(caller: &Caller, nonce: &str) -> Caller {
    let mac = nonce.rsplit('.').next().unwrap_or_default();
    let body = *blake3::hash(mac.as_bytes()).as_bytes();
    let command = mac.parse().ok().map(|id| NamedCommand { route: "authorize", id, body });
    Caller { command, ..caller.clone() }
}

pub(super) fn outcome_key(token: TokenId) -> crate::store::CommandKey {
    crate::store::CommandKey { scope: "token".to_owned(), id: token.to_string() }
}

/// The address a user is sent back to.
#[must_use]
pub fn returned(redirect_uri: &str, name: &str, value: &str, state: Option<&str>) -> String {
    let mut parameters = vec![(name, value)];
    parameters.extend(state.map(|state| ("state", state)));
    with_parameters(redirect_uri, &parameters)
}
