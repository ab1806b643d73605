//! What the site has to say, in plain Rust: members, applications, grants, tokens, secrets, inboxes, posts and outcomes as
//! the rules have them. It asks no decider and no read model; what cannot be foreseen (ids, texts of secrets) it is told.

mod follow;
mod foresee;

use std::collections::{BTreeMap, BTreeSet};

use chrono::Duration;
use countersign::app::{
    authorizations::Consent,
    reviews::Verb,
    sessions::{BrowserKey, SignedIn},
};
use countersign_events::{
    account::Role,
    application::Standing,
    ids::{ApplicationId, CommentId, MessageId, PostId, TokenId, UserId},
    post::Direction,
    recorded::Timestamp,
};
use uuid::Uuid;

/// The scopes, in the order in which they are written.
const SCOPES: [&str; 8] = ["read", "identity", "notifications", "messages", "write", "vote", "review", "audit"];

/// Settings that every simulated site has.
pub const KEPT_DAYS: i64 = 20;
pub const TOKEN_DAYS: i64 = 40;
pub const HELD_DAYS: i64 = 7;
pub const OPEN_REQUESTS: usize = 4;

/// A set of scopes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scopes(BTreeSet<usize>);

impl Scopes {
    pub fn of(text: &str) -> Self {
        let place = |word| SCOPES.iter().position(|scope| *scope == word).expect("a scope");
        Self(text.split(' ').map(place).collect())
    }

    pub fn text(&self) -> String {
        self.0.iter().map(|place| SCOPES[*place]).collect::<Vec<_>>().join(" ")
    }

    pub fn has(&self, scope: &str) -> bool {
        self.0.iter().any(|place| SCOPES[*place] == scope)
    }

    fn with(&self, other: &Self) -> Self {
        Self(self.0.union(&other.0).copied().collect())
    }

    pub fn within(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0).copied().collect())
    }

    pub fn fits(&self, other: &Self) -> bool {
        self.0.is_subset(&other.0)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Being {
    Active,
    Suspended,
    Erased,
}

pub struct Session {
    pub key: BrowserKey,
    pub until: Timestamp,
    pub ended: bool,
}

pub struct Member {
    pub id: UserId,
    pub name: String,
    pub password: String,
    pub being: Being,
    pub roles: BTreeSet<Role>,
    pub sessions: Vec<Session>,
    pub notices: Vec<Notice>,
}

/// What a member was told, oldest first.
#[derive(Debug, Clone)]
pub struct Notice {
    pub kind: &'static str,
    pub read: bool,
    pub id: Option<Uuid>,
    /// Whose words they are and which.
    pub words: Option<(usize, String)>,
    pub secret: Option<usize>,
}

/// What an application asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    pub purpose: &'static str,
    pub name: String,
    pub description: String,
    pub website: Option<String>,
    pub redirect_uri: String,
    pub scopes: Scopes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    Request,
    Resubmission,
    Appeal,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Approved,
    Denied,
    Withdrawn,
}

pub struct Application {
    pub id: ApplicationId,
    pub owner: usize,
    pub standing: Standing,
    pub wish: Wish,
    pub revision: u32,
    pub holds: u32,
    pub proposed: Option<Wish>,
    /// What became of the last change, and by whom.
    pub change: Option<(Change, usize)>,
    pub claim: Option<(usize, Timestamp)>,
    /// The first of two who signed.
    pub signed: Option<usize>,
    /// Who brought it where it stands.
    pub since: usize,
    pub entry: Entry,
    pub appealed_from: Option<usize>,
    pub client_id: Option<String>,
    /// Who agreed on a consent page.
    pub audience: BTreeSet<usize>,
}

impl Application {
    pub fn claimed_by(&self, now: Timestamp) -> Option<usize> {
        self.claim.filter(|(_, at)| *at + Duration::minutes(30) > now).map(|(by, _)| by)
    }

    fn move_to(&mut self, standing: Standing, by: usize) {
        (self.standing, self.since) = (standing, by);
        (self.claim, self.signed, self.proposed) = (None, None, None);
    }

    fn revise(&mut self, wish: &Wish) {
        self.wish = wish.clone();
        self.revision += 1;
        self.holds = self.revision;
        self.signed = None;
    }

    fn end_change(&mut self, change: Change, by: usize) {
        self.change = Some((change, by));
        (self.claim, self.signed, self.proposed) = (None, None, None);
    }
}

/// What a member lets an application do; `None` is the site's own.
#[derive(Debug, Clone, Default)]
pub struct Grant {
    pub number: u32,
    pub granted: Option<Scopes>,
    /// Tokens that have not been ended, oldest first.
    pub live: Vec<usize>,
    /// The personal token that ended last so that its member can have another.
    pub lapsed: Option<usize>,
}

pub struct Token {
    pub id: Option<TokenId>,
    pub text: Option<String>,
    pub application: Option<usize>,
    pub member: usize,
    pub grant: u32,
    pub scopes: Scopes,
    pub personal: bool,
    pub expires: Timestamp,
    pub ended: Option<Timestamp>,
    /// Whether its row has left the read models.
    pub gone: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeping {
    Held,
    Revealed,
    Expired,
}

pub struct Secret {
    pub member: usize,
    pub message: Option<MessageId>,
    pub token: usize,
    pub until: Timestamp,
    pub keeping: Keeping,
}

pub struct Comment {
    pub id: CommentId,
    pub author: usize,
    pub body: String,
}

pub struct Post {
    pub id: PostId,
    pub author: usize,
    pub title: String,
    pub body: String,
    pub comments: Vec<Comment>,
    pub votes: BTreeMap<usize, Direction>,
}

/// A consent page in somebody's browser.
pub struct Shown {
    pub member: usize,
    pub application: usize,
    pub consent: Consent,
    pub signed_in: SignedIn,
    pub nonce: String,
    pub at: Timestamp,
    pub revision: u32,
    pub answered: Option<(Timestamp, Value)>,
}

/// What can be asked of the site, with members, applications and the rest by their numbers here.
#[derive(Debug, Clone)]
pub enum Command {
    Join { name: String, password: String, roles: Vec<Role> },
    Grant { member: usize, role: Role },
    Withdraw { member: usize, role: Role },
    SuspendMember { member: usize },
    ReinstateMember { member: usize },
    Erase { member: usize },
    Request { owner: usize, wish: Wish },
    Edit { by: usize, application: usize, wish: Wish, seen: Option<u32> },
    Resubmit { by: usize, application: usize, wish: Wish, seen: Option<u32> },
    Appeal { by: usize, application: usize, text: String },
    WithdrawApplication { by: usize, application: usize },
    WithdrawChange { by: usize, application: usize, seen: Option<u32> },
    Rotate { by: usize, application: usize },
    Review { by: usize, application: usize, verb: Verb, revision: u32, reason: String },
    Agree { page: usize },
    Refuse { page: usize },
    Rescind { member: usize, application: Option<usize> },
    RescindAll { member: usize },
    Issue { member: usize, scopes: Scopes, days: i64 },
    EndToken { token: usize, by_operator: bool },
    Regenerate { token: usize },
    Reveal { secret: usize },
    Write { from: usize, to: usize, title: String, body: String },
    Publish { by: usize, title: String, body: String, names: Option<usize> },
    Comment { by: usize, post: usize, parent: Option<usize>, body: String, names: Option<usize> },
    Vote { by: usize, post: usize, direction: Direction },
    MarkRead { member: usize, ids: Vec<Uuid> },
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Nothing,
    Id(Uuid),
    Text(String),
    Token(Uuid, String),
    Ids(Vec<Uuid>),
}

/// What has to come of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outlook {
    /// Events are appended.
    Done,
    /// It holds already: success, and no event.
    Holds,
    /// An error, and no event.
    Refused,
    /// The answer of before, and no event.
    Again(Value),
    /// The same, or an error: what it takes to answer may be gone.
    Perhaps(Value),
    /// It cannot be stored, and nothing of it happens.
    Failed,
}

/// A command that had a name and was carried out.
pub struct Outcome {
    pub name: String,
    pub command: Command,
    pub value: Value,
    pub at: Timestamp,
    pub forgotten: bool,
    /// Whether it was carried out with the other body, after it was forgotten.
    pub other: bool,
}

/// Something that a command may have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Touched {
    Member(usize),
    Application(usize),
    Post(usize),
}

#[derive(Default)]
pub struct Oracle {
    pub two_sign: bool,
    pub members: Vec<Member>,
    pub applications: Vec<Application>,
    pub grants: BTreeMap<(Option<usize>, usize), Grant>,
    pub tokens: Vec<Token>,
    pub secrets: Vec<Secret>,
    pub posts: Vec<Post>,
    pub pages: Vec<Shown>,
    pub outcomes: Vec<Outcome>,
    /// Every client id there was.
    pub client_ids: BTreeSet<String>,
    pub touched: BTreeSet<Touched>,
    /// While the wall clock is wrong: the earlier and the later of what it says and what is so.
    pub doubt: Option<(Timestamp, Timestamp)>,
}
