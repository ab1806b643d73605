//! Every event as one sentence: who did what to what, and why. Names are those of now; whoever is erased is
//! `[erased]`. Texts that people wrote stand beside the sentence, not in it, but for the titles of posts.

use countersign_events::{
    account::{AccountEvent, UsernameEvent},
    application::{ApplicationEvent, Decision},
    authorization::{AuthorizationEvent, Ended, Via},
    event::Event,
    ids::{ApplicationId, UserId},
    inbox::{InboxEvent, Topic},
    post::{Direction, PostEvent, VoteEvent},
    recorded::{Actor, Recorded, Timestamp},
    scope::{Scope, ScopeSet},
    sensitive::Personal,
    site::{ProjectionEvent, SiteEvent},
};

use super::App;

#[cfg(test)]
mod tests;

/// So many settings that changed are told one by one.
const DIFFERENCES: usize = 5;

/// An event in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentence {
    /// The sentence.
    pub text: String,
    /// What whoever decided or appealed wrote to say why.
    pub why: Option<String>,
}

impl Sentence {
    /// The sentence with the why in it.
    #[must_use]
    pub fn whole(&self) -> String {
        match &self.why {
            None => self.text.clone(),
            Some(why) => format!("{} “{}”", self.text, why.replace('\n', " ")),
        }
    }
}

/// Where names come from.
pub(super) trait Names {
    fn member(&self, user: UserId) -> String;
    fn application(&self, application: ApplicationId) -> String;
    fn actor(&self, actor: &Actor) -> String;
    /// The title of a clause of the policy.
    fn clause(&self, code: &str) -> String;
}

impl Names for App {
    fn member(&self, user: UserId) -> String {
        self.state.name_of(user)
    }

    fn application(&self, application: ApplicationId) -> String {
        self.state.client(application).map_or_else(|| application.to_string(), |client| client.name)
    }

    fn actor(&self, actor: &Actor) -> String {
        self.actor_name(actor)
    }

    fn clause(&self, code: &str) -> String {
        self.policy.title(code).to_owned()
    }
}

impl App {
    /// A recorded event in words.
    #[must_use]
    pub fn sentence(&self, recorded: &Recorded<Event>) -> Sentence {
        sentence(self, recorded)
    }
}

pub(super) fn sentence(names: &dyn Names, recorded: &Recorded<Event>) -> Sentence {
    let told = Told { names, by: &recorded.envelope.actor };
    let text = match &recorded.event {
        Event::Account(event) => told.account(event),
        Event::Username(event) => told.username(event),
        Event::Application(event) => told.application(event),
        Event::Authorization(event) => told.authorization(event),
        Event::Inbox(event) => told.inbox(event),
        Event::Post(event) => told.post(event),
        Event::Vote(event) => told.vote(event),
        Event::Site(event) => told.site(event),
        Event::Projection(event) => told.projection(event),
    };
    let through = recorded.envelope.on_behalf_of.map(|application| told.named(application));
    let through = through.map(|name| format!(", through {name}")).unwrap_or_default();
    Sentence { text: format!("{text}{through}."), why: why(&recorded.event) }
}

/// What was written to say why.
fn why(event: &Event) -> Option<String> {
    let text = match event {
        Event::Application(event) => reason(event)?,
        Event::Projection(ProjectionEvent::ParkedEventDiscarded { reason, .. }) => reason,
        Event::Account(_)
        | Event::Username(_)
        | Event::Authorization(_)
        | Event::Inbox(_)
        | Event::Post(_)
        | Event::Vote(_)
        | Event::Site(_)
        | Event::Projection(_) => return None,
    };
    match text {
        Personal::Clear(text) if text.is_empty() => None,
        Personal::Clear(text) => Some(text.clone()),
        Personal::Sealed { .. } => Some("[sealed]".to_owned()),
        Personal::Erased => Some("[erased]".to_owned()),
    }
}

fn reason(event: &ApplicationEvent) -> Option<&Personal> {
    use ApplicationEvent as E;
    match event {
        E::ReviewSigned { decision, .. }
        | E::ChangesRequested { decision, .. }
        | E::ApplicationApproved { decision, .. }
        | E::ApplicationDenied { decision, .. }
        | E::ChangeApproved { decision, .. }
        | E::ChangeDenied { decision, .. }
        | E::ApplicationSuspended { decision, .. }
        | E::ApplicationReinstated { decision, .. }
        | E::ApplicationRevoked { decision, .. } => Some(&decision.reason),
        E::ApplicationAppealed { text, .. } => Some(text),
        E::ApplicationRequested { .. }
        | E::ApplicationEdited { .. }
        | E::ReviewClaimed { .. }
        | E::ReviewReleased { .. }
        | E::ApplicationResubmitted { .. }
        | E::ChangeProposed { .. }
        | E::ChangeWithdrawn { .. }
        | E::ApplicationWithdrawn { .. }
        | E::ClientIdRotated { .. } => None,
    }
}

/// Sentences, without their ends, about what one actor did.
struct Told<'a> {
    names: &'a dyn Names,
    by: &'a Actor,
}

impl Told<'_> {
    fn actor(&self) -> String {
        self.names.actor(self.by)
    }

    fn member(&self, user: UserId) -> String {
        self.names.member(user)
    }

    fn named(&self, application: ApplicationId) -> String {
        format!("“{}”", self.names.application(application))
    }

    fn is_by(&self, user: UserId) -> bool {
        self.by.user() == Some(user)
    }

    fn account(&self, event: &AccountEvent) -> String {
        use AccountEvent as E;
        let actor = self.actor();
        let member = |user: &UserId| self.member(*user);
        match event {
            E::UserRegistered { user_id, .. } if self.is_by(*user_id) => format!("{actor} joined"),
            E::UserRegistered { user_id, .. } => format!("{actor} added {} as a member", member(user_id)),
            E::RoleGranted { user_id, role, .. } => format!("{actor} gave {} the role {role}", member(user_id)),
            E::RoleWithdrawn { user_id, role, .. } => format!("{actor} took the role {role} from {}", member(user_id)),
            E::PasswordChanged { user_id, .. } if self.is_by(*user_id) => format!("{actor} set a new password"),
            E::PasswordChanged { user_id, .. } => format!("{actor} set a new password for {}", member(user_id)),
            E::UserSuspended { user_id, .. } => format!("{actor} suspended {}", member(user_id)),
            E::UserReinstated { user_id, .. } => format!("{actor} reinstated {}", member(user_id)),
            E::UserErased { user_id, .. } => format!("{actor} erased {}", member(user_id)),
        }
    }

    fn username(&self, event: &UsernameEvent) -> String {
        match event {
            UsernameEvent::UsernameClaimed { user_id } => format!("{} took a username", self.member(*user_id)),
            UsernameEvent::UsernameReleased { user_id } => format!("{} gave up a username", self.member(*user_id)),
        }
    }

    fn application(&self, event: &ApplicationEvent) -> String {
        use ApplicationEvent as E;
        let actor = self.actor();
        let it = |id: &ApplicationId| self.named(*id);
        let decided = |verb: &str, id: &ApplicationId, decision: &Decision| {
            let (by, title) = (self.member(decision.by), self.names.clause(&decision.reason_code));
            format!("{by} {verb} {}, revision {}: {title}", self.named(*id), decision.revision)
        };
        match event {
            E::ApplicationRequested { application_id, owner, asked, .. } => {
                let (owner, scopes) = (self.member(*owner), listed(asked.scopes));
                let today = it(application_id);
                let renamed = format!("“{}”", asked.name);
                let now = if today == renamed { String::new() } else { format!(" (now {today})") };
                format!("{owner} asked for {renamed}{now}, a {} application for {scopes}", asked.purpose)
            }
            E::ApplicationEdited { application_id, revision, .. } => {
                format!("{actor} edited the request for {}; it is at revision {revision}", it(application_id))
            }
            E::ReviewClaimed { application_id, by, .. } => {
                format!("{} took up the review of {}", self.member(*by), it(application_id))
            }
            E::ReviewReleased { application_id, by, .. } if self.is_by(*by) => {
                format!("{actor} let the review of {} go", it(application_id))
            }
            E::ReviewReleased { application_id, by, .. } => {
                format!("{actor} released the review of {} from {}", it(application_id), self.member(*by))
            }
            E::ReviewSigned { application_id, decision } => {
                decided("signed, as the first of two,", application_id, decision)
            }
            E::ChangesRequested { application_id, decision } => {
                decided("asked for changes of", application_id, decision)
            }
            E::ApplicationResubmitted { application_id, revision, .. } => {
                format!("{actor} resubmitted {} at revision {revision}", it(application_id))
            }
            E::ApplicationApproved { application_id, decision, .. } => decided("approved", application_id, decision),
            E::ApplicationDenied { application_id, decision } => decided("denied", application_id, decision),
            E::ApplicationAppealed { application_id, owner, .. } => {
                format!("{} appealed against the denial of {}", self.member(*owner), it(application_id))
            }
            E::ChangeProposed { application_id, revision, .. } => {
                format!("{actor} proposed a change of {}, revision {revision}", it(application_id))
            }
            E::ChangeApproved { application_id, decision, .. } => {
                decided("approved the change of", application_id, decision)
            }
            E::ChangeDenied { application_id, decision } => decided("denied the change of", application_id, decision),
            E::ChangeWithdrawn { application_id, revision, .. } => {
                format!("{actor} took back the proposed change of {}, revision {revision}", it(application_id))
            }
            E::ApplicationSuspended { application_id, decision } => decided("suspended", application_id, decision),
            E::ApplicationReinstated { application_id, decision } => decided("reinstated", application_id, decision),
            E::ApplicationRevoked { application_id, decision } => decided("revoked", application_id, decision),
            E::ApplicationWithdrawn { application_id, .. } => {
                format!("{actor} withdrew {}; its tokens, if any, ended", it(application_id))
            }
            E::ClientIdRotated { application_id, client_id, previous, .. } => {
                format!("{actor} had the client id of {} changed from {previous} to {client_id}", it(application_id))
            }
        }
    }

    fn authorization(&self, event: &AuthorizationEvent) -> String {
        use AuthorizationEvent as E;
        let actor = self.actor();
        match event {
            E::UserAuthorized { application_id, user_id, scopes, via, .. } => {
                let (it, member, scopes) = (self.named(*application_id), self.member(*user_id), listed(*scopes));
                match via {
                    Via::Consent => format!("{member} authorized {it} for {scopes}"),
                    Via::Approval => format!("{it} may act for its owner {member} since it was approved: {scopes}"),
                    Via::Operator => format!("{actor} let {it} act for {member}: {scopes}"),
                }
            }
            E::AuthorizationDenied { application_id, user_id, .. } => {
                format!("{} refused to authorize {}", self.member(*user_id), self.named(*application_id))
            }
            E::TokenIssued { application_id, user_id, kind, scopes, expires_at, held, .. } => {
                let it = format!("{} token of {}", kind.as_str(), self.named(*application_id));
                let what = if self.is_by(*user_id) {
                    format!("{actor} got the {it}")
                } else {
                    format!("{actor} issued {} a {it}", self.member(*user_id))
                };
                let until = expires_at.map_or_else(|| "without end".to_owned(), |at| format!("good until {}", day(at)));
                let waits = if held.is_some() { "; it waits in the inbox" } else { "" };
                format!("{what} for {}, {until}{waits}", listed(*scopes))
            }
            E::TokenRevoked { application_id, user_id, why, .. } => {
                let (it, member) = (self.named(*application_id), self.member(*user_id));
                match why {
                    Ended::Revoked => format!("{actor} revoked a token of {it} that {member} had"),
                    Ended::GivenUp => format!("{member} gave up a token of {it}"),
                    Ended::Regenerated => format!("{member} had a token of {it} replaced"),
                    Ended::Displaced => {
                        format!("A token of {it} that {member} had ended, since a newer one took its place")
                    }
                    Ended::RoleLost => {
                        format!("A token of {it} that {member} had ended, since they lost the role it rests on")
                    }
                    Ended::NeverRevealed => {
                        format!("A token of {it} for {member} ended, since nobody revealed it in time")
                    }
                }
            }
            E::AuthorizationRescinded { application_id, user_id, .. } => {
                let (it, member) = (self.named(*application_id), self.member(*user_id));
                let whose = if self.is_by(*user_id) { String::new() } else { format!(" by {member}") };
                format!("{actor} took back what {it} was allowed{whose}; its tokens ended")
            }
        }
    }

    fn inbox(&self, event: &InboxEvent) -> String {
        match event {
            InboxEvent::PrivateMessageSent { to, from, topic, held, .. } => {
                let from = from.map_or_else(|| self.names.actor(&Actor::System), |from| self.member(from));
                let about = match topic {
                    Topic::Letter => String::new(),
                    Topic::Decision { application_id } => {
                        format!(" about the decision on {}", self.named(*application_id))
                    }
                    Topic::SecretExpired { application_id } => {
                        format!(" that the token of {} expired unseen", self.named(*application_id))
                    }
                };
                let with = held.map(|held| format!(", with a token that waits until {}", day(held.until)));
                format!("{from} wrote a private message to {}{about}{}", self.member(*to), with.unwrap_or_default())
            }
            InboxEvent::SecretRevealed { user_id, .. } => {
                format!("{} revealed the token that waited in a message", self.member(*user_id))
            }
            InboxEvent::SecretExpired { user_id, .. } => {
                format!("The token that waited in a message to {} expired unseen", self.member(*user_id))
            }
            InboxEvent::NotificationsRead { user_id, ids, .. } => {
                let plural = if ids.len() == 1 { "" } else { "s" };
                format!("{} read {} notification{plural}", self.member(*user_id), ids.len())
            }
        }
    }

    fn post(&self, event: &PostEvent) -> String {
        let mentioning = |mentions: &[UserId]| match mentions {
            [] => String::new(),
            named => {
                let named: Vec<_> = named.iter().map(|user| self.member(*user)).collect();
                format!(", mentioning {}", named.join(", "))
            }
        };
        match event {
            PostEvent::PostPublished { author, title, mentions, .. } => {
                let title = match title {
                    Personal::Clear(title) => format!("“{title}”"),
                    Personal::Sealed { .. } => "[sealed]".to_owned(),
                    Personal::Erased => "[erased]".to_owned(),
                };
                format!("{} published the post {title}{}", self.member(*author), mentioning(mentions))
            }
            PostEvent::CommentPosted { author, answers, parent, mentions, .. } => {
                let (author, answers) = (self.member(*author), self.member(*answers));
                let verb = if parent.is_some() { "answered a comment of" } else { "commented on a post of" };
                format!("{author} {verb} {answers}{}", mentioning(mentions))
            }
        }
    }

    fn vote(&self, VoteEvent::VoteCast { user_id, direction, .. }: &VoteEvent) -> String {
        let did = match direction {
            Direction::Up => "voted for a post",
            Direction::Down => "voted against a post",
            Direction::None => "took back a vote on a post",
        };
        format!("{} {did}", self.member(*user_id))
    }

    fn site(&self, event: &SiteEvent) -> String {
        match event {
            SiteEvent::FirstAdministratorNamed { user_id, .. } => {
                format!("{} became the first administrator", self.member(*user_id))
            }
            SiteEvent::ConfigurationChanged { differences, .. } => {
                let shown =
                    |value: &Option<String>| value.as_ref().map_or("nothing".to_owned(), |value| format!("`{value}`"));
                let told = differences.iter().take(DIFFERENCES);
                let told: Vec<_> =
                    told.map(|one| format!("{} from {} to {}", one.key, shown(&one.from), shown(&one.to))).collect();
                let more = differences.len().saturating_sub(DIFFERENCES);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                format!("The configuration changed: {}{more}", told.join(", "))
            }
            SiteEvent::AuditExported { by, from, to, format, filters, rows, .. } => {
                let by = self.member(*by);
                let events = if *rows == 1 { "1 event".to_owned() } else { format!("{rows} events") };
                let format = match format.in_words() {
                    "" => String::new(),
                    format => format!(", as {format}"),
                };
                let within = if *rows == 0 { String::new() } else { format!(" from position {from} to {to}") };
                let filters =
                    if filters.is_empty() { String::new() } else { format!(", filtered by {}", filters.join(", ")) };
                format!("{by} took a copy of the history: {events}{within}{format}{filters}")
            }
            SiteEvent::ClockAccepted { wall, judged, .. } => {
                let [wall, judged] = [wall, judged].map(moment);
                format!(
                    "{} accepted the clock as right: it read {wall}, and the site had gone by {judged}",
                    self.actor()
                )
            }
            SiteEvent::CutOffLowered { from, to, .. } => {
                let [from, to] = [from, to].map(moment);
                format!("{} moved the cut-off of dead rows back from {from} to {to}", self.actor())
            }
        }
    }

    fn projection(&self, event: &ProjectionEvent) -> String {
        let actor = self.actor();
        match event {
            ProjectionEvent::ProjectionRebuilt { name, generation, through, .. } => {
                format!("{actor} rebuilt the read model {name} as generation {generation}, through position {through}")
            }
            ProjectionEvent::EventParked { name, stream, position, error, .. } => {
                format!(
                    "The read model {name} could not take position {position}, so the stream {stream} rests in it: {error}"
                )
            }
            ProjectionEvent::ParkedEventRetried { name, position, .. } => {
                format!("{actor} tried position {position}, parked in the read model {name}, again")
            }
            ProjectionEvent::ParkedEventDiscarded { name, position, .. } => {
                format!("{actor} gave up position {position}, parked in the read model {name}")
            }
        }
    }
}

/// Scopes as a list in a sentence.
fn listed(scopes: ScopeSet) -> String {
    let words: Vec<_> = scopes.iter().map(Scope::as_str).collect();
    match words.split_last() {
        None => "nothing".to_owned(),
        Some((last, [])) => (*last).to_owned(),
        Some((last, first)) => format!("{} and {last}", first.join(", ")),
    }
}

fn moment(at: &Timestamp) -> String {
    at.format("%-d %B %Y, %H:%M").to_string()
}

fn day(at: Timestamp) -> String {
    at.format("%-d %B %Y").to_string()
}
