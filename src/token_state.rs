//! What every token check needs, in memory: members, applications, authorizations, tokens, in
//! concurrent maps that are changed in place. It is loaded from the inline read models at start and
//! fed with each commit before anybody is answered; no check touches the database.

mod load;
mod look_alikes;

use countersign_events::{
    account::{AccountEvent, AccountStanding, Role, Roles},
    application::{ApplicationEvent, Standing},
    authorization::{AuthorizationEvent, AuthorizationFacts, TokenFacts, TokenRefusal, UserFacts, token_valid},
    event::Event,
    ids::{ApplicationId, DataKeyId, TokenId, UserId, VerifierId},
    recorded::{Recorded, Timestamp},
    redirect_uri::Purpose,
    scope::ScopeSet,
    text::Likeness,
    token::TokenDigest,
};
use countersign_projections::{Table, Value, authorizations::AUTHORIZATIONS, tokens::TOKENS};
use papaya::HashMap;

use crate::judged_time::Judgement;

mod last_use;

use last_use::LastUse;

/// So many rows are read at once while loading.
const PAGE: u32 = 5_000;

/// A member, as every request needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Name; `None` once erased.
    pub username: Option<String>,
    /// Standing and roles.
    pub facts: UserFacts,
    /// The key of the member's personal fields.
    pub data_key: DataKeyId,
    /// The verifier in force: sessions begun under another one are over.
    pub verifier: VerifierId,
}

impl Member {
    /// Whether the member may act and holds a role, alone or as an administrator.
    #[must_use]
    pub fn may(&self, role: Role) -> bool {
        self.facts.standing == AccountStanding::Active && self.facts.roles.allow(role)
    }
}

/// An application, as every request needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub standing: Standing,
    /// What it may do: a token that was issued when it was more does no more than this.
    pub scopes: ScopeSet,
    /// What its name looks like; `None` for what members are never asked about.
    likeness: Option<Likeness>,
}

impl Client {
    fn of(name: &str, standing: Standing, scopes: ScopeSet, purpose: Purpose) -> Self {
        let likeness = (purpose != Purpose::Personal).then(|| Likeness::of(name));
        Self { name: name.to_owned(), standing, scopes, likeness }
    }
}

#[derive(Debug)]
struct Token {
    id: TokenId,
    application: ApplicationId,
    user: UserId,
    facts: TokenFacts,
    last_use: LastUse,
}

/// Who stands behind a valid token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bearer {
    /// The token.
    pub token_id: TokenId,
    /// The member it speaks for.
    pub user_id: UserId,
    /// The application it was issued to.
    pub application_id: ApplicationId,
    /// What it may do.
    pub scopes: ScopeSet,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
}

/// Why there is no bearer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// No such token was ever issued here.
    #[error("the token is unknown")]
    Unknown,
    /// It is valid by one reading of the clock, and expired by the other.
    #[error("the clock of this site jumped, and by one time the token has expired and by the other it has not")]
    InDoubt,
    /// It was, but is not valid.
    #[error(transparent)]
    Refused(#[from] TokenRefusal),
}

/// The maps.
#[derive(Default)]
pub struct TokenState {
    members: HashMap<UserId, Member>,
    clients: HashMap<ApplicationId, Client>,
    authorizations: HashMap<(ApplicationId, UserId), AuthorizationFacts>,
    tokens: HashMap<TokenDigest, Token>,
}

impl TokenState {
    /// Who stands behind a token, if it is valid now.
    ///
    /// # Errors
    /// Why nobody does.
    pub fn check(&self, digest: TokenDigest, now: &Judgement) -> Result<Bearer, TokenError> {
        let tokens = self.tokens.pin();
        let token = tokens.get(&digest).ok_or(TokenError::Unknown)?;
        let valid = |at| self.valid(token.application, token.user, &token.facts, at);
        match (valid(now.latest()), now.in_doubt()) {
            (Ok(()), _) => {}
            (Err(TokenRefusal::Expired), true) => {
                return Err(valid(now.earliest()).map_or_else(TokenError::from, |()| TokenError::InDoubt));
            }
            (Err(refusal), _) => return Err(refusal.into()),
        }
        token.last_use.note(now.judged);
        Ok(Bearer {
            token_id: token.id,
            user_id: token.user,
            application_id: token.application,
            scopes: self.within(token.application, token.facts.scopes),
            expires_at: token.facts.expires_at,
        })
    }

    /// Of these scopes, those that the application has now.
    #[must_use]
    pub fn within(&self, application: ApplicationId, scopes: ScopeSet) -> ScopeSet {
        let clients = self.clients.pin();
        clients.get(&application).map_or(scopes, |client| scopes.intersection(client.scopes))
    }

    /// [`token_valid`] over what is known here of the token's authorization, application and member.
    ///
    /// # Errors
    /// Why the token is not valid.
    pub fn valid(
        &self,
        application: ApplicationId,
        user: UserId,
        facts: &TokenFacts,
        now: Timestamp,
    ) -> Result<(), TokenRefusal> {
        let (authorizations, clients, members) = (self.authorizations.pin(), self.clients.pin(), self.members.pin());
        let (Some(authorization), Some(client), Some(member)) =
            (authorizations.get(&(application, user)), clients.get(&application), members.get(&user))
        else {
            return Err(TokenRefusal::Revoked);
        };
        token_valid(facts, *authorization, client.standing, &member.facts, now)
    }

    /// A member.
    #[must_use]
    pub fn member(&self, user: UserId) -> Option<Member> {
        self.members.pin().get(&user).cloned()
    }

    /// A member's name for people to read.
    #[must_use]
    pub fn name_of(&self, user: UserId) -> String {
        self.members
            .pin()
            .get(&user)
            .and_then(|member| member.username.clone())
            .unwrap_or_else(|| "[erased]".to_owned())
    }

    /// An application's name and standing.
    #[must_use]
    pub fn client(&self, application: ApplicationId) -> Option<Client> {
        self.clients.pin().get(&application).cloned()
    }

    /// Whether a member may act and holds a role, alone or as an administrator.
    #[must_use]
    pub fn holds(&self, user: UserId, role: Role) -> bool {
        self.members.pin().get(&user).is_some_and(|member| member.may(role))
    }

    /// Whether somebody holds a role who is none of these.
    #[must_use]
    pub fn another_holds(&self, role: Role, but: &[UserId]) -> bool {
        self.members.pin().iter().any(|(user, member)| !but.contains(user) && member.may(role))
    }

    /// Active administrators.
    #[must_use]
    pub fn admins(&self) -> Vec<UserId> {
        self.members.pin().iter().filter(|(_, member)| member.may(Role::Admin)).map(|(id, _)| *id).collect()
    }

    /// Members who were erased, with their data keys.
    #[must_use]
    pub fn erased(&self) -> Vec<(UserId, DataKeyId)> {
        let is_erased = |member: &Member| member.facts.standing == AccountStanding::Erased;
        let members = self.members.pin();
        members.iter().filter(|(_, member)| is_erased(member)).map(|(id, member)| (*id, member.data_key)).collect()
    }

    /// Drops what dead rows with these keys said: tokens, and authorizations that were not granted again meanwhile.
    pub fn drop_dead(&self, table: &Table, keys: &[Vec<Value>]) {
        for key in keys {
            match key.as_slice() {
                [Value::Bytes(digest)] if *table == TOKENS => {
                    if let Ok(digest) = digest.as_slice().try_into() {
                        self.tokens.pin().remove(&TokenDigest::from_bytes(digest));
                    }
                }
                [Value::Text(application), Value::Text(user)] if *table == AUTHORIZATIONS => {
                    if let (Ok(application), Ok(user)) = (application.parse(), user.parse()) {
                        // One that is still there was granted again.
                        let _ = self.authorizations.pin().remove_if(&(application, user), |_, facts| facts.rescinded);
                    }
                }
                _ => {}
            }
        }
    }

    /// How many tokens are known, dead ones that have not left yet included.
    #[must_use]
    pub fn token_count(&self) -> usize {
        self.tokens.len()
    }

    /// Follows one event. The writer calls this in the order of the log, before it answers.
    pub fn apply(&self, recorded: &Recorded<Event>) {
        match &recorded.event {
            Event::Account(event) => self.apply_account(event),
            Event::Application(event) => self.apply_application(event),
            Event::Authorization(event) => self.apply_authorization(event),
            Event::Username(_)
            | Event::Inbox(_)
            | Event::Post(_)
            | Event::Vote(_)
            | Event::Site(_)
            | Event::Projection(_) => {}
        }
    }

    fn apply_account(&self, event: &AccountEvent) {
        use AccountEvent as E;
        let members = self.members.pin();
        let change = |user: &UserId, change: &dyn Fn(&mut Member)| {
            members.update(*user, |member| {
                let mut member = member.clone();
                change(&mut member);
                member
            });
        };
        match event {
            E::UserRegistered { user_id, username, data_key, verifier, .. } => {
                let facts = UserFacts { standing: AccountStanding::Active, roles: Roles::default() };
                let username = username.clear().map(ToOwned::to_owned);
                members.insert(*user_id, Member { username, facts, data_key: *data_key, verifier: *verifier });
            }
            E::RoleGranted { user_id, role, .. } => {
                change(user_id, &|member| member.facts.roles = std::mem::take(&mut member.facts.roles).with(*role));
            }
            E::RoleWithdrawn { user_id, role, .. } => {
                change(user_id, &|member| member.facts.roles = std::mem::take(&mut member.facts.roles).without(*role));
            }
            E::UserSuspended { user_id, .. } => {
                change(user_id, &|member| member.facts.standing = AccountStanding::Suspended);
            }
            E::UserReinstated { user_id, .. } => {
                change(user_id, &|member| member.facts.standing = AccountStanding::Active);
            }
            E::UserErased { user_id, .. } => change(user_id, &|member| {
                member.facts = UserFacts { standing: AccountStanding::Erased, roles: Roles::default() };
                member.username = None;
            }),
            E::PasswordChanged { user_id, verifier, .. } => change(user_id, &|member| member.verifier = *verifier),
        }
    }

    fn apply_application(&self, event: &ApplicationEvent) {
        use ApplicationEvent as E;
        let (application, standing, asked) = match event {
            E::ApplicationRequested { application_id, asked, .. }
            | E::ApplicationResubmitted { application_id, asked, .. } => {
                (application_id, Some(Standing::UnderReview), Some(asked))
            }
            E::ApplicationEdited { application_id, asked, .. } | E::ChangeApproved { application_id, asked, .. } => {
                (application_id, None, Some(asked))
            }
            E::ChangesRequested { application_id, .. } => (application_id, Some(Standing::ChangesRequested), None),
            E::ApplicationApproved { application_id, .. } | E::ApplicationReinstated { application_id, .. } => {
                (application_id, Some(Standing::Approved), None)
            }
            E::ApplicationDenied { application_id, .. } => (application_id, Some(Standing::Denied), None),
            E::ApplicationAppealed { application_id, .. } => (application_id, Some(Standing::UnderReview), None),
            E::ApplicationSuspended { application_id, .. } => (application_id, Some(Standing::Suspended), None),
            E::ApplicationRevoked { application_id, .. } => (application_id, Some(Standing::Revoked), None),
            E::ApplicationWithdrawn { application_id, .. } => (application_id, Some(Standing::Withdrawn), None),
            E::ReviewClaimed { .. }
            | E::ReviewReleased { .. }
            | E::ReviewSigned { .. }
            | E::ChangeProposed { .. }
            | E::ChangeDenied { .. }
            | E::ChangeWithdrawn { .. }
            | E::ClientIdRotated { .. } => return,
        };
        let clients = self.clients.pin();
        let before = clients.get(application);
        let standing = standing.or(before.map(|client| client.standing)).unwrap_or(Standing::UnderReview);
        let client = match (asked, before) {
            (Some(asked), _) => Client::of(&asked.name, standing, asked.scopes, asked.purpose),
            (None, Some(before)) => Client { standing, ..before.clone() },
            // Nothing happens to an application before it is asked for.
            (None, None) => return,
        };
        clients.insert(*application, client);
    }

    fn apply_authorization(&self, event: &AuthorizationEvent) {
        use AuthorizationEvent as E;
        match event {
            E::UserAuthorized { application_id, user_id, grant, .. } => {
                let facts = AuthorizationFacts { grant: *grant, rescinded: false };
                self.authorizations.pin().insert((*application_id, *user_id), facts);
            }
            E::AuthorizationRescinded { application_id, user_id, .. } => {
                self.authorizations
                    .pin()
                    .update((*application_id, *user_id), |facts| AuthorizationFacts { rescinded: true, ..*facts });
            }
            E::TokenIssued { application_id, user_id, grant, token_id, digest, scopes, expires_at, .. } => {
                let facts = TokenFacts { grant: *grant, scopes: *scopes, expires_at: *expires_at, ended: false };
                let (application, user, last_use) = (*application_id, *user_id, LastUse::default());
                let token = Token { id: *token_id, application, user, facts, last_use };
                self.tokens.pin().insert(*digest, token);
            }
            E::TokenRevoked { digest, .. } => {
                self.tokens.pin().update(*digest, |token| Token {
                    facts: TokenFacts { ended: true, ..token.facts },
                    last_use: token.last_use.carried(),
                    ..*token
                });
            }
            E::AuthorizationDenied { .. } => {}
        }
    }
}
