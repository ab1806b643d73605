//! Why a use case did not happen, for whoever renders it.

use countersign_events::{
    account::{AccountRefusal, Role, UsernameTaken},
    application::ApplicationRefusal,
    authorization::AuthorizationRefusal,
    codec::CodecError,
    inbox::InboxRefusal,
    post::PostRefusal,
    projection::ProjectionRefusal,
    recorded::Position,
    scope::Scope,
    site::AlreadySetUp,
    text::FieldError,
};

use super::queue::Overtaken;
use crate::{judged_time::Behind, rate_limit::TooMany, store::StoreError};

/// The refusal of a decider.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "one variant a decider")]
pub enum Refused {
    #[error(transparent)]
    Account(#[from] AccountRefusal),
    #[error(transparent)]
    Username(#[from] UsernameTaken),
    #[error(transparent)]
    Application(#[from] ApplicationRefusal),
    #[error(transparent)]
    Authorization(#[from] AuthorizationRefusal),
    #[error(transparent)]
    Inbox(#[from] InboxRefusal),
    #[error(transparent)]
    Post(#[from] PostRefusal),
    #[error(transparent)]
    Site(#[from] AlreadySetUp),
    #[error(transparent)]
    Projection(#[from] ProjectionRefusal),
}

/// Why a use case did not happen.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The rules forbid it now.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// What was typed does not fit; one error a field.
    #[error("{}", .0.iter().map(|error| error.message.as_str()).collect::<Vec<_>>().join(" "))]
    Fields(Vec<FieldError>),
    /// There is no such thing, or it is somebody else's.
    #[error("not found")]
    NotFound,
    /// The member lacks a role.
    #[error("this needs the role {0}")]
    RoleMissing(Role),
    /// The token lacks a scope.
    #[error("this needs a token with the scope {0}")]
    ScopeMissing(Scope),
    /// Name and password do not belong together.
    #[error("the username or the password is not right")]
    WrongPassword,
    /// The member may not act.
    #[error("this account is suspended")]
    Suspended,
    /// The session is too old for a decision.
    #[error("give your password again: your log-in is older than 15 minutes")]
    PasswordAgain,
    /// A one-time link that is unknown, used or too old.
    #[error("this link is not good any more; ask for a new one")]
    LinkEnded,
    /// The consent page is not this session's, was answered before, or is too old.
    #[error("this page was answered already or is too old; start again from the application")]
    ConsentEnded,
    /// The vault has lost a secret that the log still holds for somebody.
    #[error("the token cannot be opened any more; regenerate it to get another")]
    SecretLost,
    /// Too many requests.
    #[error(transparent)]
    TooMany(#[from] TooMany),
    /// The member has as many open requests as the site allows.
    #[error("you have {0} open requests already; wait for a decision, or withdraw one")]
    TooManyOpenRequests(u32),
    /// Another was faster, or the application has moved on.
    #[error("{0}")]
    Overtaken(Box<Overtaken>),
    /// Others were faster, each of the twelve times.
    #[error("others were faster; look at it again and retry")]
    LostRace,
    /// The command's id was used for something else.
    #[error("this command id was used with another body; use a fresh one")]
    OtherBody,
    /// The read models are not as far as the reader wants.
    #[error("the answer is not up to date yet; retry in a moment")]
    Behind,
    /// By one reading of the clock it is good, by the other it is over.
    #[error(
        "the clock of this site jumped, and by one time this has ended and by the other it has not; ask again later"
    )]
    ClockInDoubt,
    /// The clock is before what the site is certain of.
    #[error(transparent)]
    ClockBehind(#[from] Behind),
    /// A position from beyond the end of the log.
    #[error("no such position: the log ends at {head}")]
    BeyondHead {
        /// Its end.
        head: Position,
    },
    /// A page of a list that begins after something that is not in it.
    #[error("after is the value of next in an earlier answer to the same question; start again without it")]
    NoSuchCursor,
    /// A setting does not hold.
    #[error("{0}")]
    Setting(String),
    /// A store failed; strangers do not read why.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An event could not be written.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

macro_rules! refusals {
    ($($refusal:ty),+) => {$(
        impl From<$refusal> for AppError {
            fn from(refusal: $refusal) -> Self {
                Self::Refused(refusal.into())
            }
        }
    )+};
}

refusals!(
    AccountRefusal,
    UsernameTaken,
    ApplicationRefusal,
    AuthorizationRefusal,
    InboxRefusal,
    PostRefusal,
    AlreadySetUp,
    ProjectionRefusal
);

impl From<FieldError> for AppError {
    fn from(error: FieldError) -> Self {
        Self::Fields(vec![error])
    }
}

/// The values of several fields, or every error there is, so that a form can show them all at once.
#[derive(Debug, Default)]
pub struct FieldErrors(Vec<FieldError>);

impl FieldErrors {
    /// The value, or its default with the error kept.
    pub fn take<T: Default>(&mut self, result: Result<T, FieldError>) -> T {
        result.unwrap_or_else(|error| {
            self.0.push(error);
            T::default()
        })
    }

    /// Keeps an error.
    pub fn push(&mut self, error: FieldError) {
        self.0.push(error);
    }

    /// # Errors
    /// Everything that was kept.
    pub fn check(self) -> Result<(), AppError> {
        if self.0.is_empty() { Ok(()) } else { Err(AppError::Fields(self.0)) }
    }
}
