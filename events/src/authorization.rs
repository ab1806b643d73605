//! Authorizations: what a member lets an application do, the tokens that come of it, and the one
//! predicate that says whether a token is valid.

mod validity;

use serde::{Deserialize, Serialize};

use crate::{
    account::Roles,
    application::Standing,
    decider::Decider,
    ids::{ApplicationId, SecretId, TokenId, UserId},
    recorded::{StreamName, Timestamp},
    scope::ScopeSet,
    token::{TokenDigest, TokenKind},
};

#[cfg(test)]
mod tests;

pub use validity::{AuthorizationFacts, TokenFacts, TokenRefusal, UserFacts, rests_on_lost_role, token_valid};

/// At most so many tokens of the simple flow live for one member and application; the oldest ends.
pub const LIVE_SIMPLE_TOKENS: usize = 5;

/// The stream of what a member lets an application do.
#[must_use]
pub const fn stream(application: ApplicationId, user: UserId) -> StreamName {
    StreamName::Authorization(application, user)
}

/// How an authorization came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// The member agreed on the consent page.
    Consent,
    /// The approval of the member's own application.
    Approval,
    /// An operator of the site.
    Operator,
}

/// Why a token ended before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// An operator ended it.
    Revoked,
    /// Its member ended it.
    GivenUp,
    /// Its member asked for another in its place.
    Regenerated,
    /// A newer token of the same application took its place.
    Displaced,
    /// Nobody revealed it in time.
    NeverRevealed,
    /// Its member lost the role it rests on.
    RoleLost,
}

impl Ended {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::GivenUp => "given_up",
            Self::Regenerated => "regenerated",
            Self::Displaced => "displaced",
            Self::NeverRevealed => "never_revealed",
            Self::RoleLost => "role_lost",
        }
    }
}

/// What happened between a member and an application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is what its name says")]
pub enum AuthorizationEvent {
    /// The member lets it, as far as `scopes`. `grant` counts: tokens of an earlier grant stay dead.
    UserAuthorized {
        application_id: ApplicationId,
        user_id: UserId,
        grant: u32,
        application_revision: u32,
        scopes: ScopeSet,
        via: Via,
        at: Timestamp,
    },
    /// The member said no.
    AuthorizationDenied { application_id: ApplicationId, user_id: UserId, at: Timestamp },
    /// A token came of it; only its digest is known.
    TokenIssued {
        application_id: ApplicationId,
        user_id: UserId,
        grant: u32,
        token_id: TokenId,
        kind: TokenKind,
        digest: TokenDigest,
        scopes: ScopeSet,
        expires_at: Option<Timestamp>,
        held: Option<SecretId>,
        at: Timestamp,
    },
    /// A token ended.
    TokenRevoked {
        application_id: ApplicationId,
        user_id: UserId,
        token_id: TokenId,
        digest: TokenDigest,
        why: Ended,
        at: Timestamp,
    },
    /// The member takes it all back; every token of the grant ends.
    AuthorizationRescinded { application_id: ApplicationId, user_id: UserId, at: Timestamp },
}

/// A token that was issued and has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveToken {
    /// Its id.
    pub id: TokenId,
    /// Its kind.
    pub kind: TokenKind,
    /// Its digest.
    pub digest: TokenDigest,
    /// What it may do.
    pub scopes: ScopeSet,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
}

/// A token to be issued: the shell minted it and kept the plain text to itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewToken {
    /// Its id.
    pub id: TokenId,
    /// Its kind.
    pub kind: TokenKind,
    /// Its digest.
    pub digest: TokenDigest,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// The vault's row that holds it for the recipient.
    pub held: Option<SecretId>,
}

/// What a member lets an application do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Authorization {
    /// How often it was granted anew.
    pub grant: u32,
    /// What is granted now; `None` before the first grant and after it was rescinded.
    pub granted: Option<ScopeSet>,
    /// The revision of the application that was granted last.
    pub revision: u32,
    /// Live tokens, oldest first.
    pub tokens: Vec<LiveToken>,
    /// The personal token that ended last, unseen, by its member's wish or with its grant: its member can still have another.
    pub lapsed: Option<LiveToken>,
}

/// The application as a decision about an authorization sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApplicationSeen {
    /// Its id.
    pub id: ApplicationId,
    /// Where it stands.
    pub standing: Standing,
    /// Its revision.
    pub revision: u32,
    /// What was granted to it at its review.
    pub scopes: ScopeSet,
}

/// What can be asked of an authorization.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is what its name says")]
pub enum AuthorizationCommand {
    /// Agree to what a page showed, or have a token issued without one (`via`).
    Authorize {
        user_id: UserId,
        application: ApplicationSeen,
        shown_revision: u32,
        scopes: ScopeSet,
        via: Via,
        token: NewToken,
        at: Timestamp,
    },
    Deny {
        user_id: UserId,
        application_id: ApplicationId,
        at: Timestamp,
    },
    /// Another token in the place of `token_id`: with what the member's own application was approved for, or else with the
    /// same scopes.
    Regenerate {
        user_id: UserId,
        application_id: ApplicationId,
        token_id: TokenId,
        own: Option<ApplicationSeen>,
        token: NewToken,
        at: Timestamp,
    },
    Revoke {
        user_id: UserId,
        application_id: ApplicationId,
        token_id: TokenId,
        why: Ended,
        at: Timestamp,
    },
    /// End every token that lives.
    RevokeAll {
        user_id: UserId,
        application_id: ApplicationId,
        why: Ended,
        at: Timestamp,
    },
    /// End every token that rests on a role which is not among these.
    KeepToRoles {
        user_id: UserId,
        application_id: ApplicationId,
        roles: Roles,
        at: Timestamp,
    },
    Rescind {
        user_id: UserId,
        application_id: ApplicationId,
        at: Timestamp,
    },
}

/// Why an authorization command may not happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthorizationRefusal {
    /// Only approved applications can be authorized.
    #[error("the application is {}; only an approved one can be authorized", .standing.in_words())]
    ApplicationNotApproved {
        /// Where it stands.
        standing: Standing,
    },
    /// The page showed another revision.
    #[error("the application has changed since the page was shown; look at it again")]
    Revised {
        /// The revision now.
        now: u32,
    },
    /// More was asked than the review granted.
    #[error("the application was not granted: {excess}")]
    ScopeNotGranted {
        /// What is too much.
        excess: ScopeSet,
    },
    /// Only its application can get another.
    #[error("only a personal token can be regenerated; the application asks for another by itself")]
    NotPersonal,
    /// No such live token.
    #[error("this token has ended")]
    TokenEnded,
}

impl Decider for Authorization {
    type Command = AuthorizationCommand;
    type Event = AuthorizationEvent;
    type Refusal = AuthorizationRefusal;

    fn decide(&self, command: AuthorizationCommand) -> Result<Vec<AuthorizationEvent>, AuthorizationRefusal> {
        use AuthorizationCommand as C;
        use AuthorizationEvent as E;
        match command {
            C::Authorize { user_id, application, shown_revision, scopes, via, token, at } => {
                check_application(&application, shown_revision, scopes)?;
                Ok(self.authorize(user_id, &application, scopes, via, token, at))
            }
            C::Deny { user_id, application_id, at } => Ok(vec![E::AuthorizationDenied { application_id, user_id, at }]),
            C::Regenerate { user_id, application_id, token_id, own, token, at } => {
                let lapsed = self.lapsed.as_ref().filter(|lapsed| lapsed.id == token_id);
                let old = self.live(token_id).or(lapsed).ok_or(AuthorizationRefusal::TokenEnded)?;
                // In the place of a personal token comes a personal one: a simple one might be a sixth.
                if [old.kind, token.kind] != [TokenKind::Personal; 2] {
                    return Err(AuthorizationRefusal::NotPersonal);
                }
                let end = self.live(token_id).map(|old| ended(application_id, user_id, old, Ended::Regenerated, at));
                let (scopes, revision) = own.map_or((old.scopes, self.revision), |own| (own.scopes, own.revision));
                let renewal = self.renewal(user_id, application_id, scopes, revision, at);
                let grant = if self.granted.is_some() { self.grant } else { self.grant + 1 };
                let issue = issued(application_id, user_id, grant, scopes, token, at);
                Ok(end.into_iter().chain(renewal).chain([issue]).collect())
            }
            C::Revoke { user_id, application_id, token_id, why, at } => Ok(self
                .live(token_id)
                .map(|token| ended(application_id, user_id, token, why, at))
                .into_iter()
                .collect()),
            C::RevokeAll { user_id, application_id, why, at } => {
                Ok(self.unexpired(at).map(|token| ended(application_id, user_id, token, why, at)).collect())
            }
            C::KeepToRoles { user_id, application_id, roles, at } => Ok(self
                .unexpired(at)
                .filter(|token| rests_on_lost_role(token.scopes, &roles))
                .map(|token| ended(application_id, user_id, token, Ended::RoleLost, at))
                .collect()),
            C::Rescind { .. } if self.granted.is_none() => Ok(vec![]),
            C::Rescind { user_id, application_id, at } => {
                Ok(vec![E::AuthorizationRescinded { application_id, user_id, at }])
            }
        }
    }

    fn evolve(mut self, event: &AuthorizationEvent) -> Self {
        use AuthorizationEvent as E;
        match event {
            E::UserAuthorized { grant, scopes, application_revision, .. } => {
                self.grant = *grant;
                self.revision = *application_revision;
                self.granted = Some(*scopes);
            }
            E::AuthorizationDenied { .. } => {}
            E::TokenIssued { token_id, kind, digest, scopes, expires_at, .. } => {
                if *kind == TokenKind::Personal {
                    self.lapsed = None;
                }
                let (id, kind, digest, scopes, expires_at) = (*token_id, *kind, *digest, *scopes, *expires_at);
                self.tokens.push(LiveToken { id, kind, digest, scopes, expires_at });
            }
            E::TokenRevoked { token_id, why, .. } => {
                let lapses = matches!(why, Ended::NeverRevealed | Ended::GivenUp);
                let personal = |token: &&LiveToken| lapses && token.kind == TokenKind::Personal;
                self.lapsed = self.live(*token_id).filter(personal).cloned().or(self.lapsed);
                self.tokens.retain(|token| token.id != *token_id);
            }
            E::AuthorizationRescinded { .. } => {
                let personal = self.tokens.iter().rfind(|token| token.kind == TokenKind::Personal).cloned();
                self.lapsed = personal.or(self.lapsed);
                self.granted = None;
                self.tokens.clear();
            }
        }
        self
    }
}

impl Authorization {
    fn live(&self, id: TokenId) -> Option<&LiveToken> {
        self.tokens.iter().find(|token| token.id == id)
    }

    /// Live tokens whose time is not over.
    fn unexpired(&self, at: Timestamp) -> impl Iterator<Item = &LiveToken> {
        self.tokens.iter().filter(move |token| token.expires_at.is_none_or(|end| end > at))
    }

    /// What has to be granted again before a personal token of these scopes can live: its member asks for it by
    /// themselves, and no page stands in between.
    fn renewal(
        &self,
        user_id: UserId,
        application_id: ApplicationId,
        scopes: ScopeSet,
        application_revision: u32,
        at: Timestamp,
    ) -> Option<AuthorizationEvent> {
        let (grant, scopes) = match self.granted {
            Some(granted) if scopes.is_subset(granted) => return None,
            Some(granted) => (self.grant, granted.union(scopes)),
            None => (self.grant + 1, scopes),
        };
        let via = if application_id == ApplicationId::SITE { Via::Operator } else { Via::Approval };
        Some(AuthorizationEvent::UserAuthorized {
            application_id,
            user_id,
            grant,
            application_revision,
            scopes,
            via,
            at,
        })
    }

    fn authorize(
        &self,
        user_id: UserId,
        application: &ApplicationSeen,
        scopes: ScopeSet,
        via: Via,
        token: NewToken,
        at: Timestamp,
    ) -> Vec<AuthorizationEvent> {
        // A second consent adds to the first; it never takes away what an older token relies on.
        let wanted = self.granted.map_or(scopes, |granted| granted.union(scopes));
        let grant = if self.granted.is_some() { self.grant } else { self.grant + 1 };
        let mut events = vec![];
        if via == Via::Consent || self.granted != Some(wanted) {
            events.push(AuthorizationEvent::UserAuthorized {
                application_id: application.id,
                user_id,
                grant,
                application_revision: application.revision,
                scopes: wanted,
                via,
                at,
            });
        }
        if token.kind == TokenKind::Access {
            let simple = || {
                self.tokens
                    .iter()
                    .filter(|token| token.kind == TokenKind::Access && token.expires_at.is_none_or(|end| end > at))
            };
            let excess = (simple().count() + 1).saturating_sub(LIVE_SIMPLE_TOKENS);
            events.extend(
                simple().take(excess).map(|oldest| ended(application.id, user_id, oldest, Ended::Displaced, at)),
            );
        }
        events.push(issued(application.id, user_id, grant, scopes, token, at));
        events
    }
}

fn check_application(
    application: &ApplicationSeen,
    shown_revision: u32,
    scopes: ScopeSet,
) -> Result<(), AuthorizationRefusal> {
    if application.standing != Standing::Approved {
        return Err(AuthorizationRefusal::ApplicationNotApproved { standing: application.standing });
    }
    if application.revision != shown_revision {
        return Err(AuthorizationRefusal::Revised { now: application.revision });
    }
    let excess = scopes.difference(application.scopes);
    if excess.is_empty() { Ok(()) } else { Err(AuthorizationRefusal::ScopeNotGranted { excess }) }
}

const fn ended(
    application_id: ApplicationId,
    user_id: UserId,
    token: &LiveToken,
    why: Ended,
    at: Timestamp,
) -> AuthorizationEvent {
    AuthorizationEvent::TokenRevoked { application_id, user_id, token_id: token.id, digest: token.digest, why, at }
}

const fn issued(
    application_id: ApplicationId,
    user_id: UserId,
    grant: u32,
    scopes: ScopeSet,
    token: NewToken,
    at: Timestamp,
) -> AuthorizationEvent {
    AuthorizationEvent::TokenIssued {
        application_id,
        user_id,
        grant,
        token_id: token.id,
        kind: token.kind,
        digest: token.digest,
        scopes,
        expires_at: token.expires_at,
        held: token.held,
        at,
    }
}
