//! Browser sessions: log in, log out, who is signed in, tokens in forms.

use countersign_events::{
    account::AccountStanding,
    ids::{UserId, VerifierId},
    recorded::Timestamp,
};
use data_encoding::BASE64URL_NOPAD;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{App, AppError, Caller};
use crate::{
    judged_time::Standing,
    store::{
        StoreError,
        rows::{AccountRow, Session},
    },
    token_state::Member,
};

/// How long a session lives.
const LIFETIME: chrono::Duration = chrono::Duration::days(30);
/// How long after a log-in decisions need no password.
const FRESH: chrono::Duration = chrono::Duration::minutes(15);

/// The cookie of a browser, signed in or not. It is a secret: it has no `Debug` of its own text.
#[derive(Clone)]
pub struct BrowserKey(Zeroizing<String>);

impl BrowserKey {
    /// From a cookie; `None` for what no server of ours has set.
    #[must_use]
    pub fn parse(cookie: &str) -> Option<Self> {
        let decoded = BASE64URL_NOPAD.decode(cookie.as_bytes()).ok()?;
        (decoded.len() == 32).then(|| Self(Zeroizing::new(cookie.to_owned())))
    }

    /// The cookie's value.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What is stored of it.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        *blake3::hash(self.0.as_bytes()).as_bytes()
    }
}

/// A member in a browser.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// Who.
    pub user_id: UserId,
    /// Name.
    pub username: String,
    /// Roles and standing.
    pub member: Member,
    /// The session.
    pub session: [u8; 32],
    /// When the password was last given.
    pub authenticated_at: Timestamp,
}

impl App {
    /// A fresh cookie for a browser.
    #[must_use]
    pub fn new_browser_key(&self) -> BrowserKey {
        BrowserKey(Zeroizing::new(BASE64URL_NOPAD.encode(&self.world.random::<32>())))
    }

    /// A token for the forms of a page of this browser: a fresh mask, and the browser's code under it. No two are alike,
    /// so nothing can be told of the next one from how well pages that repeat parts of this one compress.
    #[must_use]
    pub fn csrf_token(&self, browser: &BrowserKey) -> String {
        let mask = self.world.random::<32>();
        let code = self.csrf_code(browser);
        BASE64URL_NOPAD.encode(&[mask, masked(mask, code)].concat())
    }

    /// Whether a form's token is this browser's.
    #[must_use]
    pub fn csrf_holds(&self, browser: &BrowserKey, token: &str) -> bool {
        let Ok(token) = BASE64URL_NOPAD.decode(token.as_bytes()) else { return false };
        let Some((mask, rest)) = token.split_first_chunk::<32>() else { return false };
        masked(*mask, self.csrf_code(browser)).ct_eq(rest).into()
    }

    fn csrf_code(&self, browser: &BrowserKey) -> [u8; 32] {
        self.keys.csrf.mac(&[browser.0.as_bytes()])
    }

    /// Checks name and password and begins a session under a new cookie.
    ///
    /// # Errors
    /// [`AppError::WrongPassword`], the same for unknown names; [`AppError::Suspended`]; too many tries;
    /// [`StoreError::VaultLacks`] when the vault has lost what the password is held against.
    pub async fn log_in(
        &self,
        caller: &Caller,
        username: &str,
        password: &str,
    ) -> Result<(UserId, BrowserKey), AppError> {
        // One account has one allowance, however its name is typed.
        let username = username.trim();
        self.limits.check_login(caller.address, username)?;
        let name = self.username_digest(username);
        let mut account = self.models.account_named(&name).await?;
        let mut verifier = self.verifier_of(account.as_ref()).await?;
        if account.is_some() && verifier.is_none() {
            // The password may have been changed in between.
            account = self.models.account_named(&name).await?;
            verifier = self.verifier_of(account.as_ref()).await?;
        }
        let is_lost = verifier.is_none();
        let fits = self.passwords.verify(Zeroizing::new(password.to_owned()), verifier).await;
        // No password is wrong where there is nothing to hold it against.
        if let Some(account) = account.as_ref().filter(|_| is_lost) {
            return Err(self.keyring.lost(account.user_id, "password verifier").into());
        }
        let account = account.filter(|_| fits).ok_or(AppError::WrongPassword)?;
        match account.standing {
            AccountStanding::Active => Ok((account.user_id, self.begin(account.user_id, account.verifier).await?)),
            AccountStanding::Suspended => Err(AppError::Suspended),
            AccountStanding::Erased => Err(AppError::WrongPassword),
        }
    }

    async fn verifier_of(&self, account: Option<&AccountRow>) -> Result<Option<String>, StoreError> {
        match account {
            Some(account) => self.vault.verifier(account.verifier).await,
            None => Ok(None),
        }
    }

    /// Begins a session for a member who has just proved who they are.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn begin_session(&self, user_id: UserId) -> Result<BrowserKey, AppError> {
        let member = self.state.member(user_id).ok_or(AppError::NotFound)?;
        self.begin(user_id, member.verifier).await
    }

    async fn begin(&self, user_id: UserId, verifier: VerifierId) -> Result<BrowserKey, AppError> {
        let browser = self.new_browser_key();
        let now = self.now();
        let session = Session {
            digest: browser.digest(),
            user_id,
            verifier,
            created_at: now,
            authenticated_at: now,
            expires_at: now + LIFETIME,
        };
        self.vault.put_session(&session).await?;
        Ok(browser)
    }

    /// Ends this browser's session.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn log_out(&self, browser: &BrowserKey) -> Result<(), AppError> {
        Ok(self.vault.end_session(browser.digest()).await?)
    }

    /// Who is signed in with this cookie.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn signed_in(&self, browser: &BrowserKey) -> Result<Option<SignedIn>, AppError> {
        let Some(session) = self.vault.session(browser.digest()).await? else { return Ok(None) };
        self.vouch().await?;
        if self.state.member(session.user_id).is_none() {
            // They may have joined on another node a moment ago.
            self.look_closer().await?;
        }
        let Some(member) = self.state.member(session.user_id) else { return Ok(None) };
        // In doubt too: whoever logs in again has a session that the uptime times.
        let is_over = self.world.standing(session.created_at, session.expires_at) != Standing::Good
            || session.verifier != member.verifier;
        if is_over || member.facts.standing != AccountStanding::Active {
            return Ok(None);
        }
        Ok(Some(SignedIn {
            user_id: session.user_id,
            username: member.username.clone().unwrap_or_default(),
            member,
            session: session.digest,
            authenticated_at: session.authenticated_at,
        }))
    }

    /// Whether a session's password was given within the last 15 minutes.
    #[must_use]
    pub fn is_fresh(&self, signed_in: &SignedIn) -> bool {
        let at = signed_in.authenticated_at;
        self.world.standing(at, at + FRESH) == Standing::Good
    }

    /// Lets a decision pass that needs a fresh log-in: the session is fresh, or the password comes with it, which
    /// begins a new session under a new cookie.
    ///
    /// # Errors
    /// [`AppError::PasswordAgain`], [`AppError::WrongPassword`], too many tries.
    pub async fn confirm(
        &self,
        caller: &Caller,
        signed_in: &SignedIn,
        password: Option<&str>,
    ) -> Result<Option<BrowserKey>, AppError> {
        if self.is_fresh(signed_in) {
            return Ok(None);
        }
        let password = password.filter(|password| !password.is_empty()).ok_or(AppError::PasswordAgain)?;
        let (_, browser) = self.log_in(caller, &signed_in.username, password).await?;
        self.vault.end_session(signed_in.session).await?;
        Ok(Some(browser))
    }
}

/// Puts a mask over a code, or takes it off again.
fn masked(mask: [u8; 32], code: [u8; 32]) -> [u8; 32] {
    std::array::from_fn(|index| mask[index] ^ code[index])
}
