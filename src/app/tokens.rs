//! Tokens: checked, listed, regenerated, ended; and those that an operator issues.

use countersign_events::{
    account::{self, Account, AccountRefusal, AccountStanding, Role, Roles},
    application::Standing,
    authorization::{
        self, ApplicationSeen, Authorization, AuthorizationCommand, AuthorizationEvent, AuthorizationRefusal, Ended,
        NewToken, TokenFacts, TokenRefusal, Via,
    },
    decider::Decider,
    ids::{ApplicationId, MessageId, SecretId, TokenId, UserId},
    recorded::{StreamName, Timestamp, Version},
    scope::{Scope, ScopeSet},
    text::FieldError,
    token::{MalformedToken, PlainToken, TokenKind},
};

mod uses;

use super::{App, AppError, Caller, Done, Plan};
use uses::Uses;

use crate::{
    store::rows::TokenRow,
    token_state::{Bearer, TokenError},
};

/// Why a request's token does not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BearerError {
    /// It is no token of ours, or was cut or mistyped.
    #[error(transparent)]
    Malformed(#[from] MalformedToken),
    /// It is not valid.
    #[error(transparent)]
    Invalid(#[from] TokenError),
}

/// A token as its member sees it.
#[derive(Debug, Clone)]
pub struct MyToken {
    /// The token.
    pub row: TokenRow,
    /// Its application's name.
    pub application: String,
    /// When it was last used, to the minute, as far as that is known.
    pub last_used: Option<Timestamp>,
    /// Whether it is valid now, and why not.
    pub valid: Result<(), TokenRefusal>,
}

/// Which tokens of a member end.
#[derive(Clone, Copy)]
pub(super) enum Why<'a> {
    /// All.
    All(Ended),
    /// Those that rest on other roles than these.
    NotOf(&'a Roles),
}

/// A stream at its version, with what ends tokens there.
pub(super) type Ends = (StreamName, Version, Vec<AuthorizationEvent>);

impl App {
    /// Who stands behind a token. The text is checked first: what is malformed costs no look-up.
    ///
    /// # Errors
    /// [`BearerError`].
    pub fn check_token(&self, text: &str) -> Result<Bearer, BearerError> {
        let parsed = PlainToken::parse(&self.prefix, text).map_err(BearerError::from);
        let checked = parsed.and_then(|token| Ok(self.state.check(token.digest(), &self.world.judgement())?));
        self.count_check(&checked);
        checked
    }

    /// The same, once this node may say so; a token that is not known here may have been issued elsewhere a moment ago.
    ///
    /// # Errors
    /// [`AppError::Store`] when the node cannot prove that what it knows is recent; [`AppError::ClockInDoubt`].
    pub async fn authenticate(&self, text: &str) -> Result<Result<Bearer, BearerError>, AppError> {
        self.vouch().await?;
        let checked = self.check_token(text);
        if matches!(checked, Err(BearerError::Invalid(TokenError::InDoubt))) {
            return Err(AppError::ClockInDoubt);
        }
        if self.is_one_of_many() && matches!(checked, Err(BearerError::Invalid(TokenError::Unknown))) {
            self.look_closer().await?;
            return Ok(self.check_token(text));
        }
        Ok(checked)
    }

    /// A member's tokens, newest first.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn my_tokens(&self, user: UserId) -> Result<Vec<MyToken>, AppError> {
        let written = self.uses_of(user).await?;
        Ok(self.models.tokens_of(user).await?.into_iter().map(|row| self.as_mine(row, &written)).collect())
    }

    fn as_mine(&self, mut row: TokenRow, written: &Uses) -> MyToken {
        let facts = TokenFacts {
            grant: row.grant,
            scopes: row.scopes,
            expires_at: row.expires_at,
            ended: row.ended_at.is_some(),
        };
        let valid = self.state.valid(row.application_id, row.user_id, &facts, self.now());
        row.scopes = self.state.within(row.application_id, row.scopes);
        let application = self.state.client(row.application_id).map(|client| client.name).unwrap_or_default();
        MyToken { last_used: self.last_used(&row, written), row, application, valid }
    }

    /// A token by its id, for an operator.
    ///
    /// # Errors
    /// [`AppError::NotFound`].
    pub async fn token(&self, id: TokenId) -> Result<MyToken, AppError> {
        let row = self.models.token(id).await?.ok_or(AppError::NotFound)?;
        let written = self.uses_of(row.user_id).await?;
        Ok(self.as_mine(row, &written))
    }

    /// A member has another personal token in the place of one of theirs. The text is shown in this answer, and to
    /// nobody again but to whoever repeats this very command within ten minutes.
    ///
    /// # Errors
    /// Not theirs, ended, or not personal.
    pub async fn regenerate_token(
        &self,
        caller: &Caller,
        user_id: UserId,
        id: TokenId,
    ) -> Result<Done<String>, AppError> {
        let row = self.models.token(id).await?.filter(|row| row.user_id == user_id).ok_or(AppError::NotFound)?;
        if let Some(done) = self.repeated::<TokenId>(caller).await? {
            return self.as_shown(done).await;
        }
        // What an operator issued for a time ends at that time, whatever its text.
        let issued_until = row.expires_at.filter(|_| row.application_id == ApplicationId::SITE);
        if row.application_id == ApplicationId::SITE
            && (row.ended_at.is_some() || issued_until.is_some_and(|end| end <= self.now()))
        {
            return Err(AuthorizationRefusal::TokenEnded.into());
        }
        // A token of an application that has ended would be dead when it is shown.
        if let Some(client) = self.state.client(row.application_id)
            && matches!(client.standing, Standing::Revoked | Standing::Withdrawn)
        {
            return Err(AuthorizationRefusal::ApplicationNotApproved { standing: client.standing }.into());
        }
        // Reviewers may have approved more since, or less.
        let own =
            self.models.application(row.application_id).await?.filter(|application| application.owner_id == user_id);
        let own = own.map(|application| ApplicationSeen {
            id: application.application_id,
            standing: application.standing,
            revision: application.holds,
            scopes: application.scopes,
        });
        let token = self.mint(TokenKind::Personal);
        let new_id = TokenId(self.world.uuid());
        if caller.command.is_some() {
            self.keep_outcome(new_id, token.expose()).await?;
        }
        let stream = authorization::stream(row.application_id, user_id);
        let done: Done<TokenId> = self
            .execute(caller, || async {
                let (authorization, version) = self.load::<Authorization>(&stream).await?;
                let at = self.now();
                let command = AuthorizationCommand::Regenerate {
                    user_id,
                    application_id: row.application_id,
                    token_id: id,
                    own,
                    token: Self::new_token(new_id, &token, issued_until.or_else(|| self.token_expiry(at))),
                    at,
                };
                Ok(Plan::answering(new_id).with(&stream, version, authorization.decide(command)?))
            })
            .await?;
        if done.repeated.is_some() {
            return self.as_shown(done).await;
        }
        Ok(done.answering(token.expose().to_owned()))
    }

    /// The text of a token that was regenerated before, for whoever repeats that command in time.
    async fn as_shown(&self, done: Done<TokenId>) -> Result<Done<String>, AppError> {
        let answer = self.kept_outcome(done.answer).await?.ok_or(AppError::SecretLost)?;
        Ok(done.answering(answer))
    }

    fn new_token(id: TokenId, token: &PlainToken, expires_at: Option<Timestamp>) -> NewToken {
        NewToken { id, kind: token.kind(), digest: token.digest(), expires_at, held: None }
    }

    /// A member ends a token of theirs.
    ///
    /// # Errors
    /// [`AppError::NotFound`], also when it is somebody else's.
    pub async fn revoke_my_token(&self, caller: &Caller, user: UserId, id: TokenId) -> Result<Done<()>, AppError> {
        let row = self.models.token(id).await?.filter(|row| row.user_id == user).ok_or(AppError::NotFound)?;
        self.revoke(caller, &row, Ended::GivenUp).await
    }

    /// An operator ends a token.
    ///
    /// # Errors
    /// [`AppError::NotFound`].
    pub async fn revoke_token(&self, caller: &Caller, id: TokenId) -> Result<Done<()>, AppError> {
        let row = self.models.token(id).await?.ok_or(AppError::NotFound)?;
        self.revoke(caller, &row, Ended::Revoked).await
    }

    async fn revoke(&self, caller: &Caller, row: &TokenRow, why: Ended) -> Result<Done<()>, AppError> {
        let stream = authorization::stream(row.application_id, row.user_id);
        let at = self.now();
        let (user_id, application_id, token_id) = (row.user_id, row.application_id, row.token_id);
        self.execute(caller, || async {
            let (authorization, version) = self.load::<Authorization>(&stream).await?;
            let command = AuthorizationCommand::Revoke { user_id, application_id, token_id, why, at };
            Ok(Plan::answering(()).with(&stream, version, authorization.decide(command)?))
        })
        .await
    }

    /// How many tokens can act for a member now.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn live_tokens(&self, user: UserId) -> Result<usize, AppError> {
        Ok(self.my_tokens(user).await?.iter().filter(|token| token.valid.is_ok()).count())
    }

    /// An operator ends every token of a member. How many there were.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn end_tokens_of(&self, caller: &Caller, user: UserId) -> Result<Done<usize>, AppError> {
        self.execute(caller, || async {
            let ends = self.ends_of_tokens(user, Why::All(Ended::Revoked)).await?;
            let count = ends.iter().map(|(.., events)| events.len()).sum();
            Ok(ends
                .into_iter()
                .fold(Plan::answering(count), |plan, (stream, version, events)| plan.with(&stream, version, events)))
        })
        .await
    }

    /// What ends tokens of a member, by the streams of their authorizations.
    pub(super) async fn ends_of_tokens(&self, user_id: UserId, why: Why<'_>) -> Result<Vec<Ends>, AppError> {
        let at = self.now();
        let mut ends = vec![];
        for row in self.models.authorizations_of(user_id).await? {
            let application_id = row.application_id;
            let stream = authorization::stream(application_id, user_id);
            let (authorization, version) = self.load::<Authorization>(&stream).await?;
            let command = match why {
                Why::All(why) => AuthorizationCommand::RevokeAll { user_id, application_id, why, at },
                Why::NotOf(roles) => {
                    AuthorizationCommand::KeepToRoles { user_id, application_id, roles: roles.clone(), at }
                }
            };
            let events = authorization.decide(command)?;
            if !events.is_empty() {
                ends.push((stream, version, events));
            }
        }
        Ok(ends)
    }

    /// An operator issues a token of the site's built-in application to a member. Its text is in the answer, and again for
    /// whoever repeats this very command within ten minutes.
    ///
    /// # Errors
    /// No such member, or a scope that rests on a role the member lacks.
    pub async fn issue_token(
        &self,
        caller: &Caller,
        user_id: UserId,
        scopes: ScopeSet,
        lifetime: Option<chrono::Duration>,
    ) -> Result<Done<(TokenId, String)>, AppError> {
        if scopes.is_empty() {
            let message = "Name at least one scope.".to_owned();
            return Err(FieldError { field: "scope", code: "required", message }.into());
        }
        for (scope, role) in [(Scope::Review, Role::Reviewer), (Scope::Audit, Role::Auditor)] {
            if scopes.contains(scope) {
                self.member_with(user_id, role)?;
            }
        }
        if let Some(done) = self.repeated::<TokenId>(caller).await? {
            return self.as_issued(done).await;
        }
        let token = self.mint(TokenKind::Personal);
        let token_id = TokenId(self.world.uuid());
        if caller.command.is_some() {
            self.keep_outcome(token_id, token.expose()).await?;
        }
        let stream = authorization::stream(ApplicationId::SITE, user_id);
        let done = self
            .execute(caller, || async {
                let account = account::stream(user_id);
                let (member, account_version) = self.load::<Account>(&account).await?;
                match member {
                    Account::Unregistered => return Err(AppError::NotFound),
                    Account::Registered { standing: AccountStanding::Erased, .. } => {
                        return Err(AccountRefusal::Erased.into());
                    }
                    Account::Registered { roles, .. } => {
                        // Here too: the role may have been lost since it was looked for above.
                        for (scope, role) in [(Scope::Review, Role::Reviewer), (Scope::Audit, Role::Auditor)] {
                            if scopes.contains(scope) && !roles.allow(role) {
                                return Err(AppError::RoleMissing(role));
                            }
                        }
                    }
                }
                let (authorization, version) = self.load::<Authorization>(&stream).await?;
                let at = self.now();
                let expires_at = lifetime.map_or_else(|| self.token_expiry(at), |lifetime| Some(at + lifetime));
                let application =
                    ApplicationSeen { id: ApplicationId::SITE, standing: Standing::Approved, revision: 1, scopes };
                let command = AuthorizationCommand::Authorize {
                    user_id,
                    application,
                    shown_revision: 1,
                    scopes,
                    via: Via::Operator,
                    token: Self::new_token(token_id, &token, expires_at),
                    at,
                };
                Ok(Plan::answering(token_id)
                    .with(&stream, version, authorization.decide(command)?)
                    .guarded(account, account_version))
            })
            .await?;
        // The token that was minted here is none, where another command of this name was faster.
        if done.repeated.is_some() {
            return self.as_issued(done).await;
        }
        Ok(done.answering((token_id, token.expose().to_owned())))
    }

    /// The token that was issued before, with its id.
    async fn as_issued(&self, done: Done<TokenId>) -> Result<Done<(TokenId, String)>, AppError> {
        let id = done.answer;
        let shown = self.as_shown(done).await?;
        let text = shown.answer.clone();
        Ok(shown.answering((id, text)))
    }

    /// Keeps a token for its recipient, sealed under a key that lies outside the data directory, with the message it
    /// belongs to, so that a sweep can tell whether it is still waited for.
    pub(super) async fn hold_secret(
        &self,
        id: SecretId,
        user: UserId,
        message: MessageId,
        token: &PlainToken,
        at: Timestamp,
    ) -> Result<(), AppError> {
        let plain = zeroize::Zeroizing::new(format!("{user} {message} {}", token.expose()));
        let sealed = self.keys.held_secret.seal(self.world.random(), id.0.as_bytes(), plain.as_bytes());
        Ok(self.vault.hold(id, &sealed, at).await?)
    }

    /// A held token with the member and message it waits for; `None` when it is gone.
    pub(super) async fn held_secret(&self, id: SecretId) -> Result<Option<(UserId, MessageId, String)>, AppError> {
        let Some(sealed) = self.vault.held(id).await? else { return Ok(None) };
        let plain = self.keys.held_secret.open(id.0.as_bytes(), &sealed);
        let text = plain.and_then(|plain| String::from_utf8(plain.to_vec()).ok());
        Ok(text.and_then(|text| {
            let mut parts = text.split(' ');
            Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?.to_owned()))
        }))
    }
}
