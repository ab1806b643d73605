//! Carries the acts of the story out, as the members who do them would: through the app, from an address of their own.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};

use countersign_events::{
    account::Role,
    application::Seen,
    ids::{ApplicationId, CommentId, MessageId, PostId, UserId},
    post::Direction,
    recorded::Actor,
};

use super::PASSWORD;
use crate::app::{
    App, AppError, Caller,
    accounts::Joining,
    applications::{Edit, Request},
    authorizations::{Consent, ConsentPage, ConsentRequest},
    inbox::Which,
    reviews::{Verb, Verdict},
    sessions::SignedIn,
};

/// Why a name of the story is always known.
const TOLD_BEFORE: &str = "the story names only what it has told before";

/// Something that happens, so many minutes before now.
#[derive(Clone)]
pub(super) struct Act {
    pub(super) minutes_ago: i64,
    pub(super) deed: Deed,
}

/// So long ago, in minutes.
pub(super) const fn ago(days: i64, hours: i64, minutes: i64) -> i64 {
    (days * 24 + hours) * 60 + minutes
}

/// What happens. Members, posts, comments and applications go by the names that the story gives them.
#[derive(Clone)]
pub(super) enum Deed {
    Join {
        name: &'static str,
        first: bool,
    },
    Grant {
        name: &'static str,
        role: Role,
    },
    Post {
        key: &'static str,
        by: &'static str,
        through: Option<&'static str>,
        title: &'static str,
        url: &'static str,
        body: &'static str,
    },
    Comment {
        key: &'static str,
        post: &'static str,
        parent: Option<&'static str>,
        by: &'static str,
        body: &'static str,
    },
    Vote {
        post: &'static str,
        by: &'static str,
        direction: Direction,
    },
    Ask {
        key: &'static str,
        by: &'static str,
        request: Request,
    },
    /// An edit, or a proposed change.
    Edit {
        key: &'static str,
        change: fn(&mut Request),
    },
    Resubmit {
        key: &'static str,
        change: fn(&mut Request),
    },
    Appeal {
        key: &'static str,
        text: &'static str,
    },
    Withdraw {
        key: &'static str,
    },
    WithdrawChange {
        key: &'static str,
    },
    RotateClientId {
        key: &'static str,
    },
    Decide {
        key: &'static str,
        by: &'static str,
        verb: Verb,
        reason_code: &'static str,
        reason: &'static str,
    },
    /// The owner reveals the token that came with the approval.
    Reveal {
        key: &'static str,
    },
    /// A member answers a consent page.
    Consent {
        key: &'static str,
        by: &'static str,
        agrees: bool,
    },
    Rescind {
        key: &'static str,
        by: &'static str,
    },
    RevokeToken {
        key: &'static str,
        by: &'static str,
    },
    RegenerateToken {
        key: &'static str,
    },
    ReadInbox {
        by: &'static str,
    },
    /// The site looks after itself.
    KeepHouse,
}

/// An application that was told of.
#[derive(Clone, Copy)]
struct Known {
    id: ApplicationId,
    owner: UserId,
}

/// The app, and what it has been told by which name.
pub(super) struct Teller<'a> {
    app: &'a App,
    members: BTreeMap<&'static str, UserId>,
    addresses: BTreeMap<UserId, IpAddr>,
    posts: BTreeMap<&'static str, PostId>,
    comments: BTreeMap<&'static str, CommentId>,
    applications: BTreeMap<&'static str, Known>,
}

impl<'a> Teller<'a> {
    pub(super) const fn new(app: &'a App) -> Self {
        Self {
            app,
            members: BTreeMap::new(),
            addresses: BTreeMap::new(),
            posts: BTreeMap::new(),
            comments: BTreeMap::new(),
            applications: BTreeMap::new(),
        }
    }

    pub(super) async fn perform(&mut self, deed: Deed) -> Result<(), AppError> {
        match deed {
            Deed::Join { .. } | Deed::Grant { .. } => self.perform_of_members(deed).await,
            Deed::Post { .. } | Deed::Comment { .. } | Deed::Vote { .. } => self.perform_on_board(deed).await,
            Deed::Ask { .. }
            | Deed::Edit { .. }
            | Deed::Resubmit { .. }
            | Deed::Appeal { .. }
            | Deed::Withdraw { .. }
            | Deed::WithdrawChange { .. }
            | Deed::RotateClientId { .. } => self.perform_of_owner(deed).await,
            Deed::Decide { key, by, verb, reason_code, reason } => {
                let (known, by) = (self.application(key), self.member(by));
                let revision = self.app.reviewed_application(known.id).await?.revision;
                let verdict = Verdict { revision, reason_code: reason_code.to_owned(), reason: reason.to_owned() };
                self.app.decide_application(&self.caller(by), by, known.id, verb, &verdict).await.map(drop)
            }
            Deed::Reveal { .. }
            | Deed::Consent { .. }
            | Deed::Rescind { .. }
            | Deed::RevokeToken { .. }
            | Deed::RegenerateToken { .. } => self.perform_with_tokens(deed).await,
            Deed::ReadInbox { by } => self.read_inbox(self.member(by)).await,
            Deed::KeepHouse => {
                self.catch_up().await?;
                self.app.look_after().await
            }
        }
    }

    async fn perform_of_members(&mut self, deed: Deed) -> Result<(), AppError> {
        match deed {
            Deed::Join { name, first } => {
                // Addresses that are kept free for examples (RFC 5737 s3).
                let last = u8::try_from(self.members.len() + 10).unwrap_or(u8::MAX);
                let address = IpAddr::V4(Ipv4Addr::new(192, 0, 2, last));
                let caller = Caller { address: Some(address), ..Caller::system() };
                let joining = Joining::new(name, PASSWORD, None)?;
                let done = if first {
                    let link = self.app.set_up_link().await?.ok_or(AppError::LinkEnded)?;
                    let (_, token) = link.split_once("token=").ok_or(AppError::LinkEnded)?;
                    self.app.set_up(&caller, token, joining).await?
                } else {
                    self.app.sign_up(&caller, joining).await?
                };
                self.members.insert(name, done.answer);
                self.addresses.insert(done.answer, address);
            }
            Deed::Grant { name, role } => {
                let ada = self.member("ada");
                self.app.grant_role(&self.caller(ada), self.member(name), role).await?;
            }
            _ => {}
        }
        Ok(())
    }

    async fn perform_on_board(&mut self, deed: Deed) -> Result<(), AppError> {
        match deed {
            Deed::Post { key, by, through, title, url, body } => {
                let by = self.member(by);
                let on_behalf_of = through.map(|key| self.application(key).id);
                let caller = Caller { on_behalf_of, ..self.caller(by) };
                let done = self.app.publish(&caller, by, title, url, body).await?;
                self.posts.insert(key, done.answer);
            }
            Deed::Comment { key, post, parent, by, body } => {
                let by = self.member(by);
                let parent = parent.map(|key| *self.comments.get(key).expect(TOLD_BEFORE));
                let done = self.app.comment(&self.caller(by), by, self.post(post), parent, body).await?;
                self.comments.insert(key, done.answer);
            }
            Deed::Vote { post, by, direction } => {
                let by = self.member(by);
                self.app.vote(&self.caller(by), by, self.post(post), direction).await?;
            }
            _ => {}
        }
        Ok(())
    }

    async fn perform_of_owner(&mut self, deed: Deed) -> Result<(), AppError> {
        let app = self.app;
        if let Deed::Ask { key, by, request } = deed {
            let owner = self.member(by);
            let done = app.request_application(&self.caller(owner), owner, app.asked(&request)?).await?;
            self.applications.insert(key, Known { id: done.answer, owner });
            return Ok(());
        }
        let (Deed::Edit { key, .. }
        | Deed::Resubmit { key, .. }
        | Deed::Appeal { key, .. }
        | Deed::Withdraw { key }
        | Deed::WithdrawChange { key }
        | Deed::RotateClientId { key }) = deed
        else {
            return Ok(());
        };
        let Known { id, owner } = self.application(key);
        let caller = self.caller(owner);
        match deed {
            Deed::Edit { change, .. } => {
                app.edit_application(&caller, owner, id, self.changed(id, change).await?).await
            }
            Deed::Resubmit { change, .. } => {
                app.resubmit_application(&caller, owner, id, self.changed(id, change).await?).await
            }
            Deed::Appeal { text, .. } => app.appeal(&caller, owner, id, text).await,
            Deed::Withdraw { .. } => app.withdraw_application(&caller, owner, id, Seen::default()).await,
            Deed::WithdrawChange { .. } => app.withdraw_change(&caller, owner, id, None).await,
            _ => app.rotate_client_id(&caller, owner, id, None).await,
        }
        .map(drop)
    }

    async fn changed(&self, id: ApplicationId, change: fn(&mut Request)) -> Result<Edit, AppError> {
        let row = self.app.reviewed_application(id).await?;
        let mut request = Request::of(&row);
        change(&mut request);
        Ok(Edit::whole(self.app.asked(&request)?).after_reading(row.revision))
    }

    async fn perform_with_tokens(&self, deed: Deed) -> Result<(), AppError> {
        match deed {
            Deed::Reveal { key } => self.reveal(self.application(key)).await,
            Deed::Consent { key, by, agrees } => self.consent(self.application(key).id, self.member(by), agrees).await,
            Deed::Rescind { key, by } => {
                let by = self.member(by);
                self.app.remove_authorization(&self.caller(by), by, self.application(key).id).await.map(drop)
            }
            Deed::RevokeToken { key, by } => {
                let by = self.member(by);
                let token = self.living_token(self.application(key).id, by).await?;
                self.app.revoke_my_token(&self.caller(by), by, token).await.map(drop)
            }
            Deed::RegenerateToken { key } => {
                let Known { id, owner } = self.application(key);
                let token = self.living_token(id, owner).await?;
                self.app.regenerate_token(&self.caller(owner), owner, token).await.map(drop)
            }
            _ => Ok(()),
        }
    }

    async fn living_token(
        &self,
        application: ApplicationId,
        user: UserId,
    ) -> Result<countersign_events::ids::TokenId, AppError> {
        let tokens = self.app.my_tokens(user).await?;
        let living = tokens.iter().find(|token| token.row.application_id == application && token.valid.is_ok());
        living.map(|token| token.row.token_id).ok_or(AppError::NotFound)
    }

    async fn reveal(&self, Known { id, owner }: Known) -> Result<(), AppError> {
        self.catch_up().await?;
        let (all, _) = self.app.notifications(owner, Which::default(), None, 100).await?;
        let holds = |row: &crate::store::rows::NotificationRow| {
            row.application_id == Some(id) && row.secret.as_deref() == Some("held")
        };
        let message = all.iter().find(|one| holds(&one.row)).ok_or(AppError::NotFound)?;
        self.app.reveal(&self.caller(owner), owner, MessageId(message.row.id)).await.map(drop)
    }

    async fn consent(&self, id: ApplicationId, user: UserId, agrees: bool) -> Result<(), AppError> {
        let client_id = self.app.reviewed_application(id).await?.client_id.ok_or(AppError::NotFound)?;
        let request = ConsentRequest { client_id: client_id.to_string(), ..ConsentRequest::default() };
        let ConsentPage::Ask(consent) = self.app.consent_page(&request).await? else {
            return Err(AppError::ConsentEnded);
        };
        let browser = self.app.begin_session(user).await?;
        let signed_in = self.app.signed_in(&browser).await?.ok_or(AppError::ConsentEnded)?;
        self.answer(&signed_in, &consent, agrees).await?;
        self.app.log_out(&browser).await
    }

    async fn answer(&self, signed_in: &SignedIn, consent: &Consent, agrees: bool) -> Result<(), AppError> {
        let caller = self.caller(signed_in.user_id);
        let nonce = self.app.consent_nonce(signed_in, consent);
        if agrees {
            self.app.authorize(&caller, signed_in, consent, &nonce).await.map(drop)
        } else {
            self.app.refuse(&caller, signed_in, consent, &nonce).await.map(drop)
        }
    }

    async fn read_inbox(&self, user: UserId) -> Result<(), AppError> {
        self.catch_up().await?;
        let (unread, _) = self.app.notifications(user, Which::Unread, None, 100).await?;
        let ids: Vec<_> = unread.iter().map(|one| one.row.id).collect();
        self.app.mark_read(&self.caller(user), user, &ids).await.map(drop)
    }

    /// Inboxes are read models that follow.
    async fn catch_up(&self) -> Result<(), AppError> {
        let head = self.app.head().await?;
        if self.app.wait_for(head).await { Ok(()) } else { Err(AppError::Behind) }
    }

    fn caller(&self, user: UserId) -> Caller {
        Caller { actor: Actor::User(user), address: self.addresses.get(&user).copied(), ..Caller::system() }
    }

    fn member(&self, name: &str) -> UserId {
        *self.members.get(name).expect(TOLD_BEFORE)
    }

    fn post(&self, key: &str) -> PostId {
        *self.posts.get(key).expect(TOLD_BEFORE)
    }

    fn application(&self, key: &str) -> Known {
        *self.applications.get(key).expect(TOLD_BEFORE)
    }
}
