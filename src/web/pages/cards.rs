//! A member's own applications and tokens as cards: what needs the member first, with what happened, what comes next
//! and what can be done about it.

use countersign_events::{
    application::{ApplicationEvent, Standing},
    authorization::TokenRefusal,
    event::Event,
    ids::{ApplicationId, UserId},
    recorded::Timestamp,
    scope::ScopeSet,
    token::TokenKind,
};
use uuid::Uuid;

use super::frame::tone;
use crate::{
    app::{App, AppError, history::Happening, queue::Place, tokens::MyToken},
    store::rows::ApplicationRow,
};

/// So many cards tell their whole story; of the others the row tells the last decision.
const TOLD: usize = 5;
/// So many of the newest events a card tells, beside the first.
const NEWEST: usize = 3;

/// An application on the apps tab.
pub(super) struct Card {
    pub(super) row: ApplicationRow,
    pub(super) decided_by: Option<String>,
    pub(super) reason_title: Option<String>,
    pub(super) story: Option<Story>,
}

/// What happened to an application, in short.
pub(super) struct Story {
    pub(super) first: Option<Happening>,
    /// So many happenings lie between the first and the newest.
    pub(super) between: usize,
    /// Oldest first.
    pub(super) newest: Vec<Happening>,
    pub(super) place: Option<Place>,
    pub(super) claimed_by: Option<String>,
}

impl Card {
    async fn of(app: &App, row: ApplicationRow, told: bool) -> Result<Self, AppError> {
        let story = if told { Some(Story::of(app, &row).await?) } else { None };
        Ok(Self {
            decided_by: row.decided_by.map(|user| app.state.name_of(user)),
            reason_title: row.reason_code.as_deref().map(|code| app.policy.title(code).to_owned()),
            story,
            row,
        })
    }

    pub(super) fn own_page(&self, base: &str) -> String {
        format!("{base}/settings/apps/{}", self.row.application_id)
    }

    /// Whether anything comes next.
    pub(super) const fn goes_on(&self) -> bool {
        match self.row.standing {
            Standing::Approved => self.row.proposed.is_some(),
            Standing::UnderReview | Standing::ChangesRequested | Standing::Denied | Standing::Suspended => true,
            Standing::Revoked | Standing::Withdrawn => false,
        }
    }
}

impl Story {
    async fn of(app: &App, row: &ApplicationRow) -> Result<Self, AppError> {
        let mut newest = app.history(row.application_id).await?;
        let first = if newest.is_empty() { None } else { Some(newest.remove(0)) };
        let between = newest.len().saturating_sub(NEWEST);
        newest.drain(..between);
        Ok(Self { first, between, newest, place: app.place(row).await?, claimed_by: claimed_by(app, row) })
    }
}

/// A member's applications: what waits for them first, then what waits for a reviewer, what works, what is over.
pub(super) async fn cards(app: &App, mut rows: Vec<ApplicationRow>) -> Result<Vec<Card>, AppError> {
    rows.sort_by_key(|row| match row.standing {
        Standing::ChangesRequested => 0,
        Standing::UnderReview => 1,
        Standing::Suspended => 2,
        Standing::Approved => 3,
        Standing::Denied => 4,
        Standing::Revoked | Standing::Withdrawn => 5,
    });
    let mut cards = Vec::with_capacity(rows.len());
    for (index, row) in rows.into_iter().enumerate() {
        cards.push(Card::of(app, row, index < TOLD).await?);
    }
    Ok(cards)
}

/// The reviewer who is at it.
pub(super) fn claimed_by(app: &App, row: &ApplicationRow) -> Option<String> {
    row.claim.filter(|claim| claim.until() > app.now()).map(|claim| app.state.name_of(claim.by))
}

/// The last answer that reviewers gave, of a whole history.
pub(super) fn last_answer(history: &[Happening]) -> Option<&Happening> {
    // Nothing but an answer means anything good or bad for its owner.
    history.iter().rfind(|one| !tone(one).is_empty())
}

/// When its owner last had the client id changed.
pub(super) fn rotated_at(history: &[Happening]) -> Option<Timestamp> {
    let at = |one: &Happening| match &one.recorded.event {
        Event::Application(ApplicationEvent::ClientIdRotated { at, .. }) => Some(*at),
        _ => None,
    };
    history.iter().rev().find_map(at)
}

/// Whether a member can have another token in the place of one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Renewal {
    No,
    /// The one that is there ends.
    InPlace,
    /// There is none any more.
    Anew,
}

/// A token of a member.
pub(super) struct TokenCard {
    pub(super) token: MyToken,
    renewal: Renewal,
    standing: Option<Standing>,
    /// What its application may do, and it may not.
    pub(super) lacking: ScopeSet,
    /// The message in which it waits for its first reader, and until when.
    held: Option<(Uuid, Timestamp)>,
}

impl TokenCard {
    /// When it was last used. Uses are known to the minute; none was before the token was there.
    pub(super) fn last_used(&self) -> Option<Timestamp> {
        self.token.last_used.map(|at| at.max(self.token.row.issued_at))
    }

    /// Whether its member can have another in its place, which ends it.
    pub(super) fn is_replaceable(&self) -> bool {
        self.renewal == Renewal::InPlace
    }

    /// Whether its member can have another.
    pub(super) fn is_renewable(&self) -> bool {
        self.renewal != Renewal::No
    }

    /// Whether it works now, or will when what it rests on is back.
    pub(super) const fn lives(&self) -> bool {
        matches!(self.token.valid, Ok(()) | Err(TokenRefusal::ApplicationSuspended | TokenRefusal::UserSuspended))
    }

    /// Whether its member holds it, and no application.
    pub(super) fn is_personal(&self) -> bool {
        self.token.row.kind == TokenKind::Personal
    }

    /// Whether there is something to know or to do about it.
    pub(super) fn is_current(&self) -> bool {
        self.lives() || self.is_renewable()
    }

    /// The message in which it can still be revealed, and until when.
    pub(super) fn waits_in(&self) -> Option<(Uuid, Timestamp)> {
        self.held.filter(|_| self.lives())
    }

    /// Whether its time is over.
    pub(super) fn is_over(&self, now: &Timestamp) -> bool {
        self.token.row.expires_at.is_some_and(|end| end <= *now)
    }

    /// Its state in one or two words, with the class of its badge.
    pub(super) const fn state(&self) -> (&'static str, &'static str) {
        match self.token.valid {
            Ok(()) => ("good", "valid"),
            Err(TokenRefusal::ApplicationSuspended | TokenRefusal::UserSuspended) => ("wait", "at rest"),
            Err(TokenRefusal::Expired) => ("bad", "expired"),
            Err(TokenRefusal::Revoked) => ("bad", "ended"),
        }
    }

    /// What kind it is, in words.
    pub(super) const fn kind(&self) -> &'static str {
        match self.token.row.kind {
            TokenKind::Personal => "Your own token",
            TokenKind::Access => "Held by the application, to act for you",
            TokenKind::Refresh => "Held by the application, to get its next token",
            TokenKind::ClientSecret => "Secret of the application",
            TokenKind::Code => "Authorization code",
            TokenKind::Registration => "Registration token",
        }
    }

    /// Why it does not work, as a sentence.
    pub(super) fn why_not(&self) -> Option<&'static str> {
        let refusal = self.token.valid.err()?;
        Some(match (self.token.row.ended_why.as_deref(), refusal) {
            (Some("revoked"), _) => "An operator ended it.",
            (Some("given_up"), _) => "You ended it.",
            (Some("regenerated"), _) => "You had another made in its place.",
            (Some("displaced"), _) => "A newer token of the same application took its place.",
            (Some("never_revealed"), _) => "Nobody revealed it in time.",
            (Some("role_lost"), _) => "The role it rests on was taken back.",
            (_, TokenRefusal::Expired) => "Its time is over.",
            (_, TokenRefusal::ApplicationSuspended) => "It rests while its application is suspended.",
            (_, TokenRefusal::UserSuspended) => "It rests while your account is suspended.",
            (_, TokenRefusal::Revoked) => match self.standing {
                Some(Standing::Revoked) => "Reviewers revoked its application.",
                Some(Standing::Withdrawn) => "Its application was withdrawn.",
                _ if self.token.row.application_id == ApplicationId::SITE => {
                    "Its access, or the role it rests on, was taken back."
                }
                _ => "You removed the application's access.",
            },
        })
    }
}

/// A member's tokens, newest first.
pub(super) async fn token_cards(app: &App, user: UserId) -> Result<Vec<TokenCard>, AppError> {
    let held = app.held_tokens(user).await?;
    let tokens = app.my_tokens(user).await?;
    let mut newer = vec![];
    let mut cards = Vec::with_capacity(tokens.len());
    for token in tokens {
        let application = token.row.application_id;
        let client = app.state.client(application);
        let standing = client.as_ref().map(|client| client.standing);
        let personal = token.row.kind == TokenKind::Personal;
        let renewal = if personal { renewal(&token, standing, !newer.contains(&application)) } else { Renewal::No };
        if personal {
            newer.push(application);
        }
        let held = held.iter().find(|held| held.token_id == token.row.token_id);
        let may = client.filter(|_| personal && renewal != Renewal::No).map(|client| client.scopes);
        let lacking = may.map(|may| may.difference(token.row.scopes)).unwrap_or_default();
        cards.push(TokenCard {
            token,
            renewal,
            standing,
            lacking,
            held: held.map(|held| (held.message_id, held.until)),
        });
    }
    Ok(cards)
}

/// What a member may have in the place of a personal token. One that has ended can be followed only by the first of its
/// application that comes after it.
fn renewal(token: &MyToken, standing: Option<Standing>, is_newest: bool) -> Renewal {
    let site = token.row.application_id == ApplicationId::SITE;
    let over = matches!(standing, Some(Standing::Revoked | Standing::Withdrawn));
    match (token.row.ended_why.as_deref(), token.valid) {
        _ if over => Renewal::No,
        // What an operator issued ends at its time, and with the role it rests on.
        (_, valid) if site => {
            if valid.is_ok() {
                Renewal::InPlace
            } else {
                Renewal::No
            }
        }
        (
            None,
            Ok(()) | Err(TokenRefusal::Expired | TokenRefusal::ApplicationSuspended | TokenRefusal::UserSuspended),
        ) => Renewal::InPlace,
        (None, Err(TokenRefusal::Revoked)) | (Some("never_revealed" | "given_up"), _) if is_newest => Renewal::Anew,
        (_, _) => Renewal::No,
    }
}
