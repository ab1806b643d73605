//! Holds what the site says against what the oracle says.

use std::sync::Arc;

use chrono::Duration;
use countersign::{
    app::{App, tokens::BearerError},
    store::{Page, rows::NotificationRow},
    token_state::TokenError,
};
use countersign_events::{
    account::AccountStanding,
    authorization::TokenRefusal,
    recorded::{Position, Timestamp},
};

use super::oracle::{Application, Being, Keeping, Member, Notice, Oracle, Post, Secret, Token, Touched, Wish};

/// The first thing that is not as it has to be.
pub type Found = Result<(), String>;

macro_rules! same {
    ($what:expr, $site:expr, $due:expr) => {{
        let (site, due) = (&$site, &$due);
        if site != due {
            return Err(format!("{}: {site:?}, and due is {due:?}", $what));
        }
    }};
}

fn failed(error: impl std::fmt::Display) -> String {
    format!("the site fails: {error}")
}

impl Oracle {
    /// What every step has to leave right: all tokens, and whatever it touched.
    pub async fn compare(&mut self, app: &Arc<App>, now: Timestamp, all: bool) -> Found {
        let touched = std::mem::take(&mut self.touched);
        let touched: Vec<_> = if all {
            let members = (0..self.members.len()).map(Touched::Member);
            let applications = (0..self.applications.len()).map(Touched::Application);
            members.chain(applications).chain((0..self.posts.len()).map(Touched::Post)).collect()
        } else {
            touched.into_iter().collect()
        };
        for touched in touched {
            match touched {
                Touched::Member(number) => {
                    self.learn_tokens(app, number).await?;
                    self.compare_member(app, number, now, all).await?;
                }
                Touched::Application(number) => self.compare_application(app, number).await?,
                Touched::Post(number) => self.compare_post(app, &self.posts[number]).await?,
            }
        }
        self.compare_tokens(app, now, all).await
    }

    /// Every token that was ever answered is as good as it has to be.
    pub async fn compare_tokens(&self, app: &Arc<App>, now: Timestamp, all: bool) -> Found {
        // What ended long ago is looked at when everything is.
        let is_old = |token: &Token| !all && token.ended.is_some_and(|at| at < now - Duration::days(1));
        for (number, token) in self.tokens.iter().enumerate() {
            if is_old(token) || self.is_doubtful(token.expires) {
                continue;
            }
            let Some(text) = &token.text else { continue };
            let checked = app.authenticate(text).await.map_err(failed)?;
            let due = self.valid(number, now).map(|()| (self.members[token.member].id, self.scopes(number)));
            let checked = match checked {
                Ok(bearer) => Ok((bearer.user_id, bearer.scopes.to_string())),
                Err(BearerError::Malformed(_)) => Err("malformed"),
                Err(BearerError::Invalid(TokenError::Unknown)) => Err("unknown"),
                Err(BearerError::Invalid(TokenError::InDoubt)) => Err("in doubt"),
                Err(BearerError::Invalid(TokenError::Refused(refusal))) => Err(match refusal {
                    TokenRefusal::Expired => "expired",
                    TokenRefusal::Revoked => "revoked",
                    TokenRefusal::ApplicationSuspended => "application suspended",
                    TokenRefusal::UserSuspended => "member suspended",
                }),
            };
            same!(format!("the check of token {number} of {}", self.members[token.member].name), checked, due);
        }
        Ok(())
    }

    /// What cannot be foreseen: ids of tokens, and of the messages that hold them.
    async fn learn_tokens(&mut self, app: &Arc<App>, number: usize) -> Found {
        let user = self.members[number].id;
        let rows = app.models.tokens_of(user).await.map_err(failed)?;
        for row in &rows {
            if self.tokens.iter().any(|token| token.id == Some(row.token_id)) {
                continue;
            }
            let nameless = self.tokens.iter_mut().find(|token| token.id.is_none() && token.member == number);
            let Some(token) = nameless else {
                return Err(format!("{} has a token {} that nobody issued", self.members[number].name, row.token_id));
            };
            token.id = Some(row.token_id);
        }
        let mine = self.tokens.iter().filter(|token| token.member == number);
        same!(
            format!("the number of tokens of {}", self.members[number].name),
            rows.len(),
            mine.filter(|token| !token.gone).count()
        );
        for row in rows {
            let token = self.tokens.iter().find(|token| token.id == Some(row.token_id)).expect("it was learnt");
            let due = (token.grant, Some(token.expires), token.ended, token.scopes.text());
            same!(
                format!("token {}", row.token_id),
                (row.grant, row.expires_at, row.ended_at, row.scopes.to_string()),
                due
            );
        }
        Ok(())
    }

    async fn compare_member(&mut self, app: &Arc<App>, number: usize, now: Timestamp, all: bool) -> Found {
        self.compare_inbox(app, number, all).await?;
        let Member { id, ref name, being, ref roles, ref sessions, .. } = self.members[number];
        let row = app.account_of(id).await.map_err(failed)?.ok_or_else(|| format!("{name} has no account"))?;
        let standing = match being {
            Being::Active => AccountStanding::Active,
            Being::Suspended => AccountStanding::Suspended,
            Being::Erased => AccountStanding::Erased,
        };
        let shown = (being != Being::Erased).then(|| name.clone());
        same!(format!("the account of {name}"), (row.standing, row.username), (standing, shown));
        same!(
            format!("the roles of {name}"),
            row.roles.iter().collect::<Vec<_>>(),
            roles.iter().copied().collect::<Vec<_>>()
        );
        for (number, session) in sessions.iter().enumerate().filter(|(_, session)| !self.is_doubtful(session.until)) {
            let signed_in = app.signed_in(&session.key).await.map_err(failed)?.map(|signed_in| signed_in.user_id);
            let due = (!session.ended && session.until > now && being == Being::Active).then_some(id);
            same!(format!("session {number} of {name}"), signed_in, due);
        }
        Ok(())
    }

    async fn compare_inbox(&mut self, app: &Arc<App>, number: usize, all: bool) -> Found {
        let Member { id, ref name, .. } = self.members[number];
        let page = Page { before: None, limit: 100_000 };
        let mut rows = app.models.notifications(id, false, false, page).await.map_err(failed)?;
        rows.reverse();
        let kinds: Vec<_> = rows.iter().map(|row| (row.kind.clone(), row.read)).collect();
        let notices = &self.members[number].notices;
        let due: Vec<_> = notices.iter().map(|notice| (notice.kind.to_owned(), notice.read)).collect();
        same!(format!("the inbox of {name}"), kinds, due);
        let unread = app.unread_count(id).await.map_err(failed)?;
        let due = notices.iter().filter(|notice| !notice.read).count() as u64;
        same!(format!("the number of unread notifications of {name}"), unread, due);
        for (place, row) in rows.iter().enumerate() {
            self.learn_notice(number, place, row)?;
        }
        let known = self.members[number].notices.clone();
        for notice in known.iter().filter(|notice| all && notice.words.is_some()) {
            self.compare_words(app, number, notice).await?;
        }
        Ok(())
    }

    fn learn_notice(&mut self, member: usize, place: usize, row: &NotificationRow) -> Found {
        let notice = &mut self.members[member].notices[place];
        let id = *notice.id.get_or_insert(row.id);
        same!("the id of a notification", row.id, id);
        let secret = notice.secret;
        let keeping = secret.map(|secret| match self.secrets[secret].keeping {
            Keeping::Held => "held",
            Keeping::Revealed => "revealed",
            Keeping::Expired => "expired",
        });
        same!(format!("the secret of notification {id}"), row.secret.as_deref(), keeping);
        if let Some(secret) = secret {
            let Secret { ref mut message, token, .. } = self.secrets[secret];
            message.get_or_insert(countersign_events::ids::MessageId(id));
            same!("the token that waits in a message", row.token_id, self.tokens[token].id);
        }
        Ok(())
    }

    /// What members wrote can be read as they wrote it, and not at all once they are erased.
    async fn compare_words(&self, app: &Arc<App>, member: usize, notice: &Notice) -> Found {
        let (Some(id), Some((author, words))) = (notice.id, &notice.words) else { return Ok(()) };
        let shown = app.notification(self.members[member].id, id).await.map_err(failed)?;
        let due = (self.members[*author].being != Being::Erased).then(|| words.clone());
        same!(format!("the words of notification {id} of {}", self.members[member].name), shown.body, due);
        Ok(())
    }

    async fn compare_application(&mut self, app: &Arc<App>, number: usize) -> Found {
        let id = self.applications[number].id;
        let row = app.models.application(id).await.map_err(failed)?;
        let row = row.ok_or_else(|| format!("application {number} is not there"))?;
        let Application { owner, standing, revision, holds, claim, signed, .. } = self.applications[number];
        let member = |number: usize| self.members[number].id;
        let site = (row.owner_id, row.standing, row.revision, row.holds, row.claim.map(|claim| (claim.by, claim.at)));
        let due = (member(owner), standing, revision, holds, claim.map(|(by, at)| (member(by), at)));
        same!(format!("application {number}"), site, due);
        same!(format!("who signed application {number}"), row.signed.map(|(by, _)| by), signed.map(member));
        if let Some(client) = row.client_id.as_ref().map(ToString::to_string)
            && self.applications[number].client_id.as_ref() != Some(&client)
        {
            if !self.client_ids.insert(client.clone()) {
                return Err(format!("application {number} has a client id of before: {client}"));
            }
            self.applications[number].client_id = Some(client);
        }
        let Application { ref wish, ref proposed, .. } = self.applications[number];
        let texts = |asked: &countersign_events::application::Asked| {
            let uris: Vec<_> = asked.redirect_uris.iter().map(ToString::to_string).collect();
            let texts = [asked.purpose.to_string(), asked.name.clone(), asked.description.clone(), uris.join(" ")];
            (texts, asked.website.clone(), asked.scopes.to_string())
        };
        let wished = |wish: &Wish| {
            let texts =
                [wish.purpose.to_owned(), wish.name.clone(), wish.description.clone(), wish.redirect_uri.clone()];
            (texts, wish.website.clone(), wish.scopes.text())
        };
        same!(format!("what application {number} asks for"), texts(&row.asked()), wished(wish));
        let change = row.proposed.as_ref().map(texts);
        same!(format!("the change proposed of application {number}"), change, proposed.as_ref().map(wished));
        Ok(())
    }

    async fn compare_post(&self, app: &Arc<App>, post: &Post) -> Found {
        use countersign_events::post::Direction;
        let view = app.post(post.id).await.map_err(failed)?;
        let places = app.comment_places(post.id).await.map_err(failed)?;
        let ids: Vec<_> = places.iter().map(|place| place.comment_id).collect();
        let comments = app.comments(&ids).await.map_err(failed)?;
        let is_erased = |author: usize| self.members[author].being == Being::Erased;
        let text = |author, text: &str| (!is_erased(author)).then(|| text.to_owned());
        let due = (text(post.author, &post.title), text(post.author, &post.body));
        same!(format!("post “{}”", post.title), (view.row.title, view.row.body), due);
        let votes = |direction| i64::try_from(post.votes.values().filter(|vote| **vote == direction).count());
        let due = (votes(Direction::Up).expect("few"), votes(Direction::Down).expect("few"), comments.len());
        let counts = view.row.counts;
        let counted = usize::try_from(counts.comment_count).unwrap_or_default();
        same!(format!("the counts of post “{}”", post.title), (counts.upvotes, counts.downvotes, counted), due);
        let shown: Vec<_> = comments.into_iter().map(|comment| (comment.row.comment_id, comment.row.body)).collect();
        let due = post.comments.iter().map(|comment| (comment.id, text(comment.author, &comment.body)));
        let mut due: Vec<_> = due.collect();
        // Those of one moment are in no order.
        let mut sorted = shown;
        sorted.sort();
        due.sort();
        same!(format!("the comments of post “{}”", post.title), sorted, due);
        Ok(())
    }
}

/// Every event that was ever seen is still where it was, as it was; new ones are added to what is known.
pub async fn compare_log(app: &Arc<App>, seen: &mut Vec<String>, all: bool) -> Found {
    let after = if all { 0 } else { seen.len() as u64 };
    let events = app.log.read_log(Position(after), u32::MAX).await.map_err(failed)?;
    for (place, event) in (usize::try_from(after).expect("few events")..).zip(&events) {
        let event = format!("{event:?}");
        match seen.get(place) {
            Some(before) => same!(format!("the event at position {}", place + 1), event, *before),
            None => seen.push(event),
        }
    }
    same!("the end of the log", after + events.len() as u64, seen.len() as u64);
    Ok(())
}
