//! Sends a command to the site, through the same functions of the app as pages, API and command line call.

use std::sync::Arc;

use countersign::app::{
    App, AppError, Caller, Done, NamedCommand,
    accounts::Joining,
    applications::{Edit, Request},
    reviews::Verdict,
};
use countersign_events::{application::Seen, recorded::Actor};

use super::oracle::{Command, Oracle, Value, Wish};
use crate::support::by;

/// What came of a command that was sent.
pub struct Told {
    pub value: Value,
    pub happened: bool,
    pub repeated: bool,
}

impl Told {
    fn of<T>(done: Done<T>, value: impl FnOnce(T) -> Value) -> Self {
        Self { happened: done.happened, repeated: done.repeated.is_some(), value: value(done.answer) }
    }

    fn nothing(done: Done<()>) -> Self {
        Self::of(done, |()| Value::Nothing)
    }
}

impl Wish {
    pub fn request(&self) -> Request {
        Request {
            purpose: self.purpose.to_owned(),
            name: self.name.clone(),
            description: self.description.clone(),
            website: self.website.clone().unwrap_or_default(),
            redirect_uri: self.redirect_uri.clone(),
            scopes: self.scopes.text().split(' ').map(ToOwned::to_owned).collect(),
        }
    }
}

/// An operator at the command line.
fn operator() -> Caller {
    Caller { actor: Actor::Cli("operator".to_owned()), ..Caller::system() }
}

impl Oracle {
    /// Whether a command can be named by its sender: the others are named by themselves, or never repeated.
    pub const fn can_be_named(command: &Command) -> bool {
        !matches!(
            command,
            Command::Agree { .. } | Command::Refuse { .. } | Command::Reveal { .. } | Command::Issue { .. }
        )
    }

    /// The member who sends a command; operators send the others.
    pub fn sender(&self, command: &Command) -> Option<usize> {
        match *command {
            Command::Request { owner, .. } => Some(owner),
            Command::Edit { by, .. }
            | Command::Resubmit { by, .. }
            | Command::Appeal { by, .. }
            | Command::WithdrawApplication { by, .. }
            | Command::WithdrawChange { by, .. }
            | Command::Rotate { by, .. }
            | Command::Review { by, .. }
            | Command::Publish { by, .. }
            | Command::Comment { by, .. }
            | Command::Vote { by, .. } => Some(by),
            Command::Agree { page } | Command::Refuse { page } => Some(self.pages[page].member),
            Command::Rescind { member, .. } | Command::RescindAll { member } | Command::MarkRead { member, .. } => {
                Some(member)
            }
            Command::EndToken { token, by_operator: false } | Command::Regenerate { token } => {
                Some(self.tokens[token].member)
            }
            Command::Reveal { secret } => Some(self.secrets[secret].member),
            Command::Write { from, .. } => Some(from),
            _ => None,
        }
    }

    /// Who sends a command, under which name, with which body.
    fn caller(&self, command: &Command, name: Option<(&str, u8)>) -> Caller {
        let caller = self.sender(command).map_or_else(operator, |member| by(self.members[member].id));
        let command = name.map(|(id, body)| NamedCommand {
            route: "simulated",
            id: id.parse().expect("an id"),
            body: [body; 32],
        });
        Caller { command, ..caller }
    }

    /// Sends a command.
    #[expect(clippy::too_many_lines, reason = "one arm a command")]
    pub async fn send(&self, app: &Arc<App>, command: &Command, name: Option<(&str, u8)>) -> Result<Told, AppError> {
        let caller = self.caller(command, name);
        let member = |number: usize| self.members[number].id;
        let application = |number: usize| self.applications[number].id;
        Ok(match command {
            Command::Join { name, password, roles } => {
                let done = app.create_account(&caller, Joining::new(name, password, None)?, roles).await?;
                Told::of(done, |user| Value::Id(user.0))
            }
            Command::Grant { member: user, role } => {
                Told::nothing(app.grant_role(&caller, member(*user), *role).await?)
            }
            Command::Withdraw { member: user, role } => {
                Told::nothing(app.withdraw_role(&caller, member(*user), *role).await?)
            }
            Command::SuspendMember { member: user } => {
                Told::nothing(app.suspend_account(&caller, member(*user)).await?)
            }
            Command::ReinstateMember { member: user } => {
                Told::nothing(app.reinstate_account(&caller, member(*user)).await?)
            }
            Command::Erase { member: user } => Told::nothing(app.erase_member(&caller, member(*user)).await?),
            Command::Request { owner, wish } => {
                let asked = app.asked(&wish.request())?;
                let done = app.request_application(&caller, member(*owner), asked).await?;
                Told::of(done, |id| Value::Id(id.0))
            }
            Command::Edit { by, application: of, wish, seen } => {
                let edit = Edit::whole(app.asked(&wish.request())?).after_reading(*seen);
                Told::nothing(app.edit_application(&caller, member(*by), application(*of), edit).await?)
            }
            Command::Resubmit { by, application: of, wish, seen } => {
                let edit = Edit::whole(app.asked(&wish.request())?).after_reading(*seen);
                Told::nothing(app.resubmit_application(&caller, member(*by), application(*of), edit).await?)
            }
            Command::Appeal { by, application: of, text } => {
                Told::nothing(app.appeal(&caller, member(*by), application(*of), text).await?)
            }
            Command::WithdrawApplication { by, application: of } => {
                Told::nothing(app.withdraw_application(&caller, member(*by), application(*of), Seen::default()).await?)
            }
            Command::WithdrawChange { by, application: of, seen } => {
                Told::nothing(app.withdraw_change(&caller, member(*by), application(*of), *seen).await?)
            }
            Command::Rotate { by, application: of } => {
                Told::nothing(app.rotate_client_id(&caller, member(*by), application(*of), None).await?)
            }
            Command::Review { by, application: of, verb, revision, reason } => {
                let verdict = Verdict { revision: *revision, reason_code: "other".to_owned(), reason: reason.clone() };
                let done = app.decide_application(&caller, member(*by), application(*of), *verb, &verdict).await?;
                Told::nothing(done)
            }
            Command::Agree { page } => {
                let page = &self.pages[*page];
                let done = app.authorize(&caller, &page.signed_in, &page.consent, &page.nonce).await?;
                Told::of(done, Value::Text)
            }
            Command::Refuse { page } => {
                let page = &self.pages[*page];
                let done = app.refuse(&caller, &page.signed_in, &page.consent, &page.nonce).await?;
                Told::of(done, Value::Text)
            }
            Command::Rescind { member: user, application: of } => {
                let of = of.map_or(countersign_events::ids::ApplicationId::SITE, application);
                Told::nothing(app.remove_authorization(&caller, member(*user), of).await?)
            }
            Command::RescindAll { member: user } => {
                Told::nothing(app.remove_authorizations(&caller, member(*user)).await?)
            }
            Command::Issue { member: user, scopes, days } => {
                let scopes = scopes.text().parse().expect("scopes");
                let lifetime = Some(chrono::Duration::days(*days));
                let done = app.issue_token(&caller, member(*user), scopes, lifetime).await?;
                Told::of(done, |(id, text)| Value::Token(id.0, text))
            }
            Command::EndToken { token, by_operator } => {
                let (user, id) = (self.tokens[*token].member, self.tokens[*token].id.expect("it is known"));
                Told::nothing(if *by_operator {
                    app.revoke_token(&caller, id).await?
                } else {
                    app.revoke_my_token(&caller, member(user), id).await?
                })
            }
            Command::Regenerate { token } => {
                let (user, id) = (self.tokens[*token].member, self.tokens[*token].id.expect("it is known"));
                Told::of(app.regenerate_token(&caller, member(user), id).await?, Value::Text)
            }
            Command::Reveal { secret } => {
                let secret = &self.secrets[*secret];
                let message = secret.message.expect("it was in the inbox");
                Told::of(app.reveal(&caller, member(secret.member), message).await?, Value::Text)
            }
            Command::Write { from, to, title, body } => {
                let to = &self.members[*to].name;
                let done = app.send_message(&caller, member(*from), to, title, body).await?;
                Told::of(done, |id| Value::Id(id.0))
            }
            Command::Publish { by, title, body, .. } => {
                let done = app.publish(&caller, member(*by), title, "", body).await?;
                Told::of(done, |id| Value::Id(id.0))
            }
            Command::Comment { by, post, parent, body, .. } => {
                let post = &self.posts[*post];
                let parent = parent.map(|parent| post.comments[parent].id);
                let done = app.comment(&caller, member(*by), post.id, parent, body).await?;
                Told::of(done, |id| Value::Id(id.0))
            }
            Command::Vote { by, post, direction } => {
                Told::nothing(app.vote(&caller, member(*by), self.posts[*post].id, *direction).await?)
            }
            Command::MarkRead { member: user, ids } => {
                Told::of(app.mark_read(&caller, member(*user), ids).await?, Value::Ids)
            }
        })
    }
}
