//! Messages from member to member. What they say is their sender's: erasing the sender erases it.

use countersign_events::{
    account::AccountStanding,
    decider::Decider,
    ids::{MessageId, UserId},
    inbox::{self, Inbox, InboxCommand, Topic},
    text::{self, FieldError},
};

use super::{App, AppError, Caller, Done, Plan, error::FieldErrors};

/// The longest body, in characters.
const BODY: usize = 20_000;

impl App {
    /// A member writes to another, by username.
    ///
    /// # Errors
    /// Fields that do not fit, a recipient who gets no messages, or too many messages of this sender.
    pub async fn send_message(
        &self,
        caller: &Caller,
        from: UserId,
        to: &str,
        title: &str,
        body: &str,
    ) -> Result<Done<MessageId>, AppError> {
        // What was sent is sent, whatever became of the recipient since.
        if let Some(done) = self.repeated(caller).await? {
            return Ok(done);
        }
        let mut errors = FieldErrors::default();
        let to = self.recipient(from, to).await?;
        let to = to.map_err(|error| errors.push(error)).ok();
        let title = errors.take(text::post_title(title));
        let body = errors.take(text::required_body("body", body, BODY));
        errors.check()?;
        let Some(to) = to else { return Err(AppError::NotFound) };
        let message_id = MessageId(self.world.uuid());
        let stream = inbox::stream(to);
        let at = self.now();
        self.execute(caller, || async {
            // Charged here, where a repeat of what was sent before does not come.
            self.limits.check_message(from)?;
            let (title, body) = (title.as_str().into(), body.as_str().into());
            let (from, topic, held) = (Some(from), Topic::Letter, None);
            let send = InboxCommand::Send { message_id, to, from, topic, title, body, held, at };
            // Messages commute: they need no version of the inbox.
            Ok(Plan::answering(message_id).with_any(&stream, Inbox::default().decide(send)?))
        })
        .await
    }

    /// The member whom a message is for, or what is wrong with the field that names them.
    async fn recipient(&self, from: UserId, name: &str) -> Result<Result<UserId, FieldError>, AppError> {
        let wrong = |code, message: String| Ok(Err(FieldError::new("to", code, message)));
        let name = name.trim().trim_start_matches('@');
        if name.is_empty() {
            return wrong("required", "The recipient is missing. Write a username.".to_owned());
        }
        let known = match text::username(name) {
            Ok(name) => self.models.account_named(&self.username_digest(&name)).await?,
            Err(_) => None,
        };
        match known {
            None => wrong("unknown", "There is no member of this name. Look at how it is written.".to_owned()),
            Some(account) if account.user_id == from => {
                wrong("yourself", "This is your own name. Write to somebody else.".to_owned())
            }
            Some(account) if account.standing != AccountStanding::Active => {
                wrong("unavailable", format!("{name} gets no messages now."))
            }
            Some(account) => Ok(Ok(account.user_id)),
        }
    }
}
