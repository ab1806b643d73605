//! Judges what became of a log that many wrote at once: whether each command that was acknowledged is in it once, whether
//! it has a gap, whether followers saw all of it, and whether it is a history that commands one after the other could
//! have made: each is decided again on what came before it. Knows nothing of how the log came about.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use countersign::app::reviews::Verb;
use countersign_events::{
    account::{Account, AccountStanding, Role},
    application::{Application, ApplicationCommand, ApplicationEvent, Bench, Decision, Signatures},
    decider::Decider,
    event::Event,
    ids::{ApplicationId, PostId, UserId},
    post::{CastVote, Direction, Post, PostCommand, PostEvent, Vote, VoteEvent},
    recorded::{Recorded, StreamName, Timestamp},
};

/// A command as a writer sent it, perhaps several times, under one id.
#[derive(Debug, Clone)]
pub struct Sent {
    pub id: String,
    pub asked: Asked,
    pub told: Told,
}

/// What was asked for.
#[derive(Debug, Clone)]
pub enum Asked {
    Post { by: UserId },
    Comment { post: PostId, by: UserId },
    Vote { post: PostId, by: UserId, direction: Direction },
    Review { application: ApplicationId, by: UserId, verb: Verb },
}

/// What its sender was told in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// That it was done, with the position that the log had then.
    Done(u64),
    /// That it was refused, and no try before was left without an answer.
    Refused,
    /// Nothing that could be relied on.
    Unknown,
}

/// Everything that is wrong, in words.
pub fn faults(log: &[Recorded<Event>], sent: &[Sent], followers: &[Vec<u64>]) -> Vec<String> {
    let mut faults = vec![];
    places(log, &mut faults);
    commands(log, sent, &mut faults);
    serial(log, sent, &mut faults);
    for (number, seen) in followers.iter().enumerate() {
        follower(number, seen, log.len() as u64, &mut faults);
    }
    faults
}

/// Positions, versions and event ids.
fn places(log: &[Recorded<Event>], faults: &mut Vec<String>) {
    let mut versions: BTreeMap<&StreamName, u64> = BTreeMap::new();
    let mut ids = BTreeSet::new();
    let mut before: Option<Timestamp> = None;
    for (recorded, due) in log.iter().zip(1_u64..) {
        let envelope = &recorded.envelope;
        if envelope.position.0 != due {
            faults.push(format!("position {} stands where {due} is due", envelope.position));
        }
        let version = versions.entry(&envelope.stream).or_default();
        *version += 1;
        if envelope.version.0 != *version {
            faults.push(format!("{}: version {} instead of {version}", at(recorded), envelope.version));
        }
        if !ids.insert(envelope.event_id) {
            faults.push(format!("{}: its event id was there before", at(recorded)));
        }
        if before.replace(envelope.recorded_at).is_some_and(|before| before >= envelope.recorded_at) {
            faults.push(format!("{}: it was recorded no later than the one before", at(recorded)));
        }
    }
}

fn at(recorded: &Recorded<Event>) -> String {
    format!("at {} in {}", recorded.envelope.position, recorded.envelope.stream)
}

/// Each command is in the log as often as it may be.
fn commands(log: &[Recorded<Event>], sent: &[Sent], faults: &mut Vec<String>) {
    let mut of_command: HashMap<&str, Vec<&Recorded<Event>>> = HashMap::new();
    for recorded in log {
        if let Some(id) = &recorded.envelope.command_id {
            of_command.entry(id).or_default().push(recorded);
        }
    }
    for Sent { id, asked, told } in sent {
        let events = of_command.remove(id.as_str()).unwrap_or_default();
        let own = events.iter().filter(|recorded| asked.is(&recorded.event)).count();
        let positions: Vec<_> = events.iter().map(|recorded| recorded.envelope.position.0).collect();
        if positions.windows(2).any(|two| two[1] != two[0] + 1) {
            faults.push(format!("command {id} was carried out in pieces, at {positions:?}"));
        }
        if own > 1 || (own == 0 && !events.is_empty()) {
            faults.push(format!("command {id} is in the log {own} times, at {positions:?}"));
        }
        match (told, positions.last()) {
            (Told::Done(_), None) if asked.adds_always() => {
                faults.push(format!("command {id} was acknowledged and is not in the log"));
            }
            (Told::Done(told), Some(last)) if told != last => {
                faults.push(format!("command {id} was acknowledged at {told} and ends at {last}"));
            }
            (Told::Done(told), _) if *told > log.len() as u64 => {
                faults.push(format!("command {id} was acknowledged at {told}, where the log never came"));
            }
            (Told::Refused, Some(_)) => faults.push(format!("command {id} was refused and is in the log")),
            _ => {}
        }
    }
    faults.extend(of_command.keys().map(|id| format!("nobody sent command {id}")));
}

impl Asked {
    /// Whether this is what it leads to.
    fn is(&self, event: &Event) -> bool {
        match (self, event) {
            (Self::Post { by }, Event::Post(PostEvent::PostPublished { author, .. })) => by == author,
            (Self::Comment { post, by }, Event::Post(PostEvent::CommentPosted { post_id, author, .. })) => {
                (post, by) == (post_id, author)
            }
            (
                Self::Vote { post, by, direction },
                Event::Vote(VoteEvent::VoteCast { post_id, user_id, direction: cast, .. }),
            ) => (post, by, direction) == (post_id, user_id, cast),
            (Self::Review { application, by, verb }, Event::Application(event)) => match (verb, event) {
                (Verb::Claim, ApplicationEvent::ReviewClaimed { application_id, by: who, .. })
                | (Verb::Release, ApplicationEvent::ReviewReleased { application_id, by: who, .. }) => {
                    (application, by) == (application_id, who)
                }
                (Verb::Suspend, ApplicationEvent::ApplicationSuspended { application_id, decision })
                | (Verb::Reinstate, ApplicationEvent::ApplicationReinstated { application_id, decision }) => {
                    (application, by) == (application_id, &decision.by)
                }
                _ => false,
            },
            _ => false,
        }
    }

    /// Whether doing it leaves an event whatever was before.
    const fn adds_always(&self) -> bool {
        matches!(self, Self::Post { .. } | Self::Comment { .. })
    }
}

/// What each aggregate had come to.
#[derive(Default)]
struct States {
    posts: HashMap<PostId, Post>,
    votes: HashMap<(PostId, UserId), Vote>,
    applications: HashMap<ApplicationId, Application>,
    accounts: HashMap<UserId, Account>,
}

/// Decides everything again.
fn serial(log: &[Recorded<Event>], sent: &[Sent], faults: &mut Vec<String>) {
    let carried_out: BTreeSet<_> = log.iter().filter_map(|recorded| recorded.envelope.command_id.as_deref()).collect();
    // What was acknowledged and changed nothing: it already was so, right then.
    let mut idle: BTreeMap<u64, Vec<&Sent>> = BTreeMap::new();
    for sent in sent.iter().filter(|sent| !carried_out.contains(sent.id.as_str()) && !sent.asked.adds_always()) {
        if let Told::Done(position) = sent.told {
            idle.entry(position).or_default().push(sent);
        }
    }
    let mut states = States::default();
    for recorded in log {
        if let Err(why) = states.take(recorded) {
            faults.push(format!("{}: {why}", at(recorded)));
        }
        for sent in idle.remove(&recorded.envelope.position.0).unwrap_or_default() {
            if !states.changes_nothing(&sent.asked, recorded.envelope.recorded_at) {
                faults.push(format!("command {} was acknowledged without an event, and had something to do", sent.id));
            }
        }
    }
}

/// One reviewer decides, as these tests set the site up.
const BENCH: Bench = Bench { signatures: Signatures::One, another: true };

impl States {
    /// Decides again what led to an event, and takes it in.
    fn take(&mut self, recorded: &Recorded<Event>) -> Result<(), String> {
        match &recorded.event {
            Event::Account(event) => {
                if let StreamName::Account(user) = recorded.envelope.stream {
                    let state = self.accounts.entry(user).or_default();
                    *state = std::mem::take(state).evolve(event);
                }
                Ok(())
            }
            Event::Post(event) => {
                let (post, command) = post_command(event);
                again(self.posts.entry(post).or_default(), command, event)
            }
            Event::Vote(event) => {
                let VoteEvent::VoteCast { post_id, user_id, direction, at, .. } = *event;
                let state = self.votes.entry((post_id, user_id)).or_default();
                again(state, CastVote { post_id, user_id, direction, at }, event)
            }
            Event::Application(event) => self.take_review(event),
            Event::Username(_) | Event::Authorization(_) | Event::Inbox(_) | Event::Site(_) | Event::Projection(_) => {
                Ok(())
            }
        }
    }

    fn take_review(&mut self, event: &ApplicationEvent) -> Result<(), String> {
        use ApplicationCommand as C;
        use ApplicationEvent as E;
        let (id, by, command) = match event.clone() {
            E::ApplicationRequested { application_id, owner, asked, at } => {
                (application_id, None, C::Request { application_id, owner, asked, at })
            }
            E::ReviewClaimed { application_id, by, at } => {
                (application_id, Some(by), C::Claim { by, bench: BENCH, at })
            }
            E::ReviewReleased { application_id, by, at } => (application_id, Some(by), C::Release { by, at }),
            E::ApplicationApproved { application_id, client_id, decision } => {
                (application_id, Some(decision.by), C::Approve { decision, client_id, bench: BENCH })
            }
            E::ApplicationSuspended { application_id, decision } => {
                (application_id, Some(decision.by), C::Suspend { decision })
            }
            E::ApplicationReinstated { application_id, decision } => {
                (application_id, Some(decision.by), C::Reinstate { decision })
            }
            other => return Err(format!("no writer asked for this: {other:?}")),
        };
        // The guard that a decision carries: who decides is a reviewer at that very moment.
        if let Some(by) = by
            && !self.is_reviewer(by)
        {
            return Err(format!("{by} was no reviewer"));
        }
        again(self.applications.entry(id).or_default(), command, event)
    }

    fn is_reviewer(&self, user: UserId) -> bool {
        matches!(
            self.accounts.get(&user),
            Some(Account::Registered { roles, standing: AccountStanding::Active, .. }) if roles.allow(Role::Reviewer)
        )
    }

    fn changes_nothing(&self, asked: &Asked, at: Timestamp) -> bool {
        match *asked {
            Asked::Post { .. } | Asked::Comment { .. } => false,
            Asked::Vote { post, by, direction } => {
                self.votes.get(&(post, by)).copied().unwrap_or_default() == Vote(direction)
            }
            Asked::Review { application, by, verb } => {
                let decision = Decision { by, revision: 1, reason_code: "other".to_owned(), reason: "".into(), at };
                let command = match verb {
                    Verb::Claim => ApplicationCommand::Claim { by, bench: BENCH, at },
                    Verb::Release => ApplicationCommand::Release { by, at },
                    Verb::Suspend => ApplicationCommand::Suspend { decision },
                    Verb::Reinstate => ApplicationCommand::Reinstate { decision },
                    _ => return false,
                };
                let state = self.applications.get(&application);
                state.is_some_and(|state| state.decide(command).is_ok_and(|events| events.is_empty()))
            }
        }
    }
}

fn post_command(event: &PostEvent) -> (PostId, PostCommand) {
    match event.clone() {
        PostEvent::PostPublished { post_id, author, mentions, title, url, body, at } => {
            (post_id, PostCommand::Publish { post_id, author, mentions, title, url, body, at })
        }
        PostEvent::CommentPosted { post_id, comment_id, parent, author, answers: _, mentions, body, at } => {
            (post_id, PostCommand::Comment { post_id, comment_id, parent, author, mentions, body, at })
        }
    }
}

/// Whether the same comes of a command when it is decided on what was before.
fn again<D>(state: &mut D, command: D::Command, event: &D::Event) -> Result<(), String>
where
    D: Decider,
    D::Event: PartialEq + std::fmt::Debug,
    D::Refusal: std::fmt::Debug,
{
    let decided = state.decide(command);
    *state = std::mem::take(state).evolve(event);
    match decided {
        Ok(events) if events.as_slice() == std::slice::from_ref(event) => Ok(()),
        other => Err(format!("{event:?} was appended where {other:?} would have been decided")),
    }
}

/// Each position once and in order.
fn follower(number: usize, seen: &[u64], head: u64, faults: &mut Vec<String>) {
    for (seen, due) in seen.iter().zip(1_u64..) {
        if *seen != due {
            faults.push(format!("follower {number} saw {seen} where {due} was due"));
            return;
        }
    }
    if seen.len() as u64 != head {
        faults.push(format!("follower {number} saw {} events of {head}", seen.len()));
    }
}

#[cfg(test)]
mod tests {
    use countersign_events::{
        ids::{CommentId, EventId},
        recorded::{Actor, Envelope, Position, Version},
    };
    use uuid::Uuid;

    use super::*;

    const POST: PostId = PostId(Uuid::from_u128(1));
    const ADA: UserId = UserId(Uuid::from_u128(2));
    const BEN: UserId = UserId(Uuid::from_u128(3));

    fn time(number: u64) -> Timestamp {
        Timestamp::from_timestamp_micros(1_800_000_000_000_000 + number.cast_signed()).unwrap()
    }

    #[derive(Clone, Default)]
    struct History {
        log: Vec<Recorded<Event>>,
        sent: Vec<Sent>,
    }

    impl History {
        /// A post, a comment, and two votes that meet on one stream, all acknowledged.
        fn good() -> Self {
            let mut history = Self::default();
            history.publish();
            history.comment(1);
            history.vote(Direction::Up, Direction::None);
            history.vote(Direction::Down, Direction::Up);
            history
        }

        fn append(&mut self, stream: StreamName, event: impl Into<Event>, asked: Asked) {
            let position = self.log.len() as u64 + 1;
            let version = self.log.iter().filter(|recorded| recorded.envelope.stream == stream).count() as u64 + 1;
            let id = format!("command-{position}");
            let envelope = Envelope {
                position: Position(position),
                event_id: EventId(Uuid::from_u128(u128::from(position))),
                stream,
                version: Version(version),
                recorded_at: time(position),
                actor: Actor::System,
                on_behalf_of: None,
                client_address: None,
                request_id: None,
                command_id: Some(id.clone()),
                causation: None,
            };
            self.log.push(Recorded { envelope, event: event.into() });
            self.sent.push(Sent { id, asked, told: Told::Done(position) });
        }

        fn publish(&mut self) {
            let event = PostEvent::PostPublished {
                post_id: POST,
                author: ADA,
                mentions: vec![],
                title: "t".into(),
                url: None,
                body: "b".into(),
                at: time(0),
            };
            self.append(StreamName::Post(POST), event, Asked::Post { by: ADA });
        }

        fn comment(&mut self, number: u128) {
            let event = PostEvent::CommentPosted {
                post_id: POST,
                comment_id: CommentId(Uuid::from_u128(number)),
                parent: None,
                author: BEN,
                answers: ADA,
                mentions: vec![],
                body: "b".into(),
                at: time(0),
            };
            self.append(StreamName::Post(POST), event, Asked::Comment { post: POST, by: BEN });
        }

        fn vote(&mut self, direction: Direction, previous: Direction) {
            let event = VoteEvent::VoteCast { post_id: POST, user_id: BEN, direction, previous, at: time(0) };
            self.append(StreamName::Vote(POST, BEN), event, Asked::Vote { post: POST, by: BEN, direction });
        }

        fn faults(&self) -> String {
            let all: Vec<u64> = (1..=self.log.len() as u64).collect();
            faults(&self.log, &self.sent, &[all.clone(), all]).join("\n")
        }
    }

    #[test]
    fn a_serial_history_has_no_fault() {
        assert_eq!(History::good().faults(), "");
    }

    #[test]
    fn a_gap_is_found() {
        let mut history = History::good();
        let lost = history.log.remove(1);
        history.sent.retain(|sent| Some(&sent.id) != lost.envelope.command_id.as_ref());
        assert!(history.faults().contains("position 3 stands where 2 is due"), "{}", history.faults());
    }

    #[test]
    fn a_command_that_was_carried_out_twice_is_found() {
        let mut history = History::good();
        history.comment(2);
        history.log[4].envelope.command_id = Some("command-2".to_owned());
        history.sent.pop();
        assert!(
            history.faults().contains("command command-2 is in the log 2 times, at [2, 5]"),
            "{}",
            history.faults()
        );
    }

    #[test]
    fn an_acknowledged_command_that_was_lost_is_found() {
        let mut history = History::good();
        history.comment(2);
        history.log.pop();
        assert!(history.faults().contains("command-5 was acknowledged and is not in the log"), "{}", history.faults());
        history.sent.last_mut().unwrap().told = Told::Unknown;
        assert_eq!(history.faults(), "", "one that was not acknowledged may be missing");
    }

    #[test]
    fn a_refused_command_in_the_log_is_found() {
        let mut history = History::good();
        history.sent[1].told = Told::Refused;
        assert!(history.faults().contains("command-2 was refused and is in the log"), "{}", history.faults());
    }

    #[test]
    fn an_event_that_nobody_asked_for_is_found() {
        let mut history = History::good();
        history.sent.pop();
        assert!(history.faults().contains("nobody sent command command-4"), "{}", history.faults());
    }

    #[test]
    fn a_lost_update_is_found() {
        let mut history = History::good();
        // Decided on the vote before the last: that one was overlooked.
        history.vote(Direction::None, Direction::Up);
        assert!(history.faults().contains("would have been decided"), "{}", history.faults());
    }

    #[test]
    fn what_is_said_to_have_changed_nothing_and_would_have_is_found() {
        let mut history = History::good();
        let asked = Asked::Vote { post: POST, by: BEN, direction: Direction::Down };
        history.sent.push(Sent { id: "again".to_owned(), asked, told: Told::Done(4) });
        assert_eq!(history.faults(), "", "it was so at the end");
        history.sent.last_mut().unwrap().told = Told::Done(3);
        assert!(history.faults().contains("command again was acknowledged without an event"), "{}", history.faults());
    }

    #[test]
    fn two_events_of_one_version_are_found() {
        let mut history = History::good();
        history.log[3].envelope.version = Version(1);
        assert!(history.faults().contains("version 1 instead of 2"), "{}", history.faults());
    }

    #[test]
    fn a_follower_that_saw_too_little_too_much_or_another_order_is_found() {
        let history = History::good();
        for (seen, fault) in [
            (vec![1, 2, 4], "follower 0 saw 4 where 3 was due"),
            (vec![1, 2, 2, 3, 4], "follower 0 saw 2 where 3 was due"),
            (vec![1, 3, 2, 4], "follower 0 saw 3 where 2 was due"),
            (vec![1, 2, 3], "follower 0 saw 3 events of 4"),
        ] {
            assert_eq!(faults(&history.log, &history.sent, &[seen]), [fault]);
        }
    }
}
