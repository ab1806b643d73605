//! How the token state comes from the inline read models: all of it at start.

use countersign_events::{
    application::Standing,
    authorization::{AuthorizationFacts, TokenFacts, UserFacts},
    ids::ApplicationId,
    scope::Scope,
};

use super::{Client, LastUse, Member, PAGE, Token, TokenState};
use crate::store::{
    ReadModels, StoreError,
    rows::{AccountRow, ApplicationRow, AuthorizationRow, TokenRow},
};

impl TokenState {
    /// Loads everything from the inline read models. Nothing is appended meanwhile.
    ///
    /// # Errors
    /// [`StoreError`] when they cannot be read.
    pub async fn load(models: &dyn ReadModels, site_name: &str) -> Result<Self, StoreError> {
        let state = Self::default();
        let site = Client {
            name: site_name.to_owned(),
            standing: Standing::Approved,
            scopes: Scope::ALL.into_iter().collect(),
            likeness: None,
        };
        state.clients.pin().insert(ApplicationId::SITE, site);
        state.fill(models).await?;
        Ok(state)
    }

    /// Takes in whatever the inline read models say.
    ///
    /// # Errors
    /// [`StoreError`] when they cannot be read.
    pub async fn fill(&self, models: &dyn ReadModels) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let rows = models.accounts(after, PAGE).await?;
            for row in &rows {
                self.put_account(row);
            }
            match rows.last() {
                Some(last) => after = Some(last.user_id),
                None => break,
            }
        }
        let mut after = None;
        loop {
            let rows = models.applications(after, PAGE).await?;
            for row in &rows {
                self.put_application(row);
            }
            match rows.last() {
                Some(last) => after = Some((last.requested_at, last.application_id)),
                None => break,
            }
        }
        let mut after = None;
        loop {
            let rows = models.authorizations(after, PAGE).await?;
            for row in &rows {
                self.put_authorization(row);
            }
            match rows.last() {
                Some(last) => after = Some((last.application_id, last.user_id)),
                None => break,
            }
        }
        let mut after = None;
        loop {
            let rows = models.tokens(after, PAGE).await?;
            for row in &rows {
                self.put_token(row);
            }
            match rows.last() {
                Some(last) => after = Some(*last.digest.as_bytes()),
                None => break,
            }
        }
        Ok(())
    }

    fn put_account(&self, row: &AccountRow) {
        let facts = UserFacts { standing: row.standing, roles: row.roles.clone() };
        self.members.pin().insert(
            row.user_id,
            Member { username: row.username.clone(), facts, data_key: row.data_key, verifier: row.verifier },
        );
    }

    fn put_application(&self, row: &ApplicationRow) {
        self.clients.pin().insert(row.application_id, Client::of(&row.name, row.standing, row.scopes, row.purpose));
    }

    fn put_authorization(&self, row: &AuthorizationRow) {
        let facts = AuthorizationFacts { grant: row.grant, rescinded: row.rescinded };
        self.authorizations.pin().insert((row.application_id, row.user_id), facts);
    }

    fn put_token(&self, row: &TokenRow) {
        let facts = TokenFacts {
            grant: row.grant,
            scopes: row.scopes,
            expires_at: row.expires_at,
            ended: row.ended_at.is_some(),
        };
        let last_use = LastUse::default();
        let token = Token { id: row.token_id, application: row.application_id, user: row.user_id, facts, last_use };
        self.tokens.pin().insert(row.digest, token);
    }
}
