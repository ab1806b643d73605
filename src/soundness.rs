//! Reads a log through with its keys, page by page, and tells what of it does not read: events that are missing, out of
//! order or undecodable, texts that their key does not open, keys and held secrets that the vault has lost. What is missing
//! because its member was erased is in order, and the log says who was.
//!
//! In memory are the members whose key is gone and the secrets that wait, never the events.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
};

use countersign_events::{
    account::AccountEvent,
    event::Event,
    ids::{DataKeyId, SecretId, UserId},
    inbox::InboxEvent,
    recorded::{Position, Recorded, Timestamp},
    sensitive::{Personal, Subject},
};

use crate::{
    keyring::{self, Opener},
    secrets::SubKey,
    store::{StoreError, StoredEvent, decode, facts::Opened},
};

/// Events that are read at once.
const PAGE: u32 = 500;
/// So many faults are named; with as many events that cannot be read, reading ends.
const NAMED: usize = 20;
/// So many streams are named whose versions are not in order.
const STREAMS: u32 = 5;
/// Keys that are kept unwrapped; beyond that they are looked up again.
const KEYS: usize = 10_000;

/// Where a fault lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// In the log.
    Log,
    /// In the vault, or in the root key.
    Keys,
    /// Among the tokens that wait in the vault for their owner. No read model is made of those.
    Held,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Soundness {
    /// How many events were read.
    pub events: u64,
    /// What does not read, the first of it.
    pub faults: Vec<(Side, String)>,
    /// How many faults are not named.
    pub more: u64,
}

impl Soundness {
    /// Whether everything reads that read models are made of.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.faults.iter().all(|(side, _)| *side == Side::Held)
    }

    /// The faults of one side.
    pub fn of(&self, side: Side) -> impl Iterator<Item = &str> {
        self.faults.iter().filter(move |(of, _)| *of == side).map(|(_, told)| told.as_str())
    }

    fn add(&mut self, side: Side, told: String) {
        if self.faults.len() < NAMED {
            self.faults.push((side, told));
        } else {
            self.more += 1;
        }
    }
}

impl fmt::Display for Soundness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told: Vec<_> = self.of(Side::Log).chain(self.of(Side::Keys)).collect();
        f.write_str(&told.join("; "))?;
        if self.more > 0 { write!(f, "; and {} more", self.more) } else { Ok(()) }
    }
}

/// Reads everything through. Without an `opener`, which the root key makes, no text is opened.
///
/// # Errors
/// [`StoreError::Unavailable`] when log or vault do not answer.
pub async fn read_through(site: &mut dyn Opened, opener: Option<&Opener>) -> Result<Soundness, StoreError> {
    let mut reading = Reading {
        opened: site,
        opener,
        found: Soundness::default(),
        last: (Position(0), Timestamp::MIN_UTC),
        keys: HashMap::new(),
        lost: BTreeMap::new(),
        erased: HashSet::new(),
        waiting: HashMap::new(),
    };
    reading.through_the_end().await?;
    for stream in reading.opened.disordered_streams(STREAMS).await? {
        reading.found.add(Side::Log, format!("the versions of stream {stream} are not 1, 2, 3 …"));
    }
    let mut gone = vec![];
    for secret in reading.waiting.keys() {
        if !reading.opened.holds(*secret).await? {
            gone.push(*secret);
        }
    }
    // What was ended meanwhile was ended by an event first.
    reading.through_the_end().await?;
    let Reading { mut found, lost, erased, waiting, .. } = reading;
    for (user, Lost { first, events }) in lost.into_iter().filter(|(user, _)| !erased.contains(user)) {
        found.add(
            Side::Keys,
            format!("member {user} was not erased, and their data key is gone: {events} events, the first at {first}"),
        );
    }
    let mut gone: Vec<_> = gone.iter().filter_map(|secret| waiting.get(secret)).collect();
    gone.sort();
    for (position, user) in gone.into_iter().filter(|(_, user)| !erased.contains(user)) {
        found.add(Side::Held, format!("the token that event {position} holds for member {user} is gone"));
    }
    Ok(found)
}

struct Reading<'a> {
    opened: &'a mut dyn Opened,
    opener: Option<&'a Opener>,
    found: Soundness,
    /// The last event that was read, and when it was recorded.
    last: (Position, Timestamp),
    keys: HashMap<DataKeyId, Key>,
    lost: BTreeMap<UserId, Lost>,
    erased: HashSet<UserId>,
    /// Secrets that wait for their recipient, with the event that holds them.
    waiting: HashMap<SecretId, (Position, UserId)>,
}

/// What is sealed with a key that is gone.
struct Lost {
    first: Position,
    events: u64,
}

#[derive(Clone)]
enum Key {
    Gone,
    /// The root key does not open it.
    Wrapped,
    Open(SubKey),
}

impl Reading<'_> {
    async fn through_the_end(&mut self) -> Result<(), StoreError> {
        let head = self.opened.head().await?.position;
        while self.last.0 < head && self.found.faults.len() < NAMED {
            match self.opened.events(self.last.0, PAGE).await {
                Ok(page) if page.is_empty() => {
                    let (first, last) = (self.last.0.next(), self.last.0);
                    let told = format!("events {first} to {head} are missing at the end, after event {last}");
                    self.found.add(Side::Log, told);
                    self.last.0 = head;
                }
                Ok(page) => {
                    for stored in page {
                        self.judge(stored).await?;
                    }
                }
                Err(StoreError::Corrupt { .. }) => self.one_by_one(head).await?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The same page, an event at a time: the ones that cannot be read are named.
    async fn one_by_one(&mut self, head: Position) -> Result<(), StoreError> {
        for _ in 0..PAGE {
            if self.last.0 >= head || self.found.faults.len() >= NAMED {
                break;
            }
            match self.opened.events(self.last.0, 1).await {
                Ok(page) => match page.into_iter().next() {
                    Some(stored) => self.judge(stored).await?,
                    None => break,
                },
                Err(StoreError::Corrupt { detail, .. }) => {
                    self.last.0 = self.last.0.next();
                    self.found.add(Side::Log, format!("event {} cannot be read: {detail}", self.last.0));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn judge(&mut self, stored: StoredEvent) -> Result<(), StoreError> {
        let position = stored.envelope.position;
        let (before, recorded_before) = self.last;
        if position != before.next() {
            let told = format!("events are missing between {before} and {position}");
            self.found.add(Side::Log, told);
        }
        if stored.envelope.recorded_at < recorded_before {
            self.found.add(Side::Log, format!("event {position} was recorded before the one before it"));
        }
        self.last = (position, stored.envelope.recorded_at);
        self.found.events += 1;
        match decode(&stored) {
            Ok(recorded) => self.open(recorded).await,
            Err(error) => {
                let told = match error {
                    StoreError::Corrupt { detail, .. } => detail,
                    error => error.to_string(),
                };
                self.found.add(Side::Log, format!("event {position} cannot be read: {told}"));
                Ok(())
            }
        }
    }

    async fn open(&mut self, recorded: Recorded<Event>) -> Result<(), StoreError> {
        let Recorded { envelope, mut event } = recorded;
        match &event {
            Event::Account(AccountEvent::UserErased { user_id, .. }) => {
                self.erased.insert(*user_id);
            }
            Event::Inbox(InboxEvent::PrivateMessageSent { to, held: Some(held), .. }) => {
                self.waiting.insert(held.secret_id, (envelope.position, *to));
            }
            Event::Inbox(
                InboxEvent::SecretRevealed { secret_id, .. } | InboxEvent::SecretExpired { secret_id, .. },
            ) => {
                self.waiting.remove(secret_id);
            }
            _ => {}
        }
        if self.opener.is_none() {
            return Ok(());
        }
        let sender = envelope.actor.user().map_or(Subject::Site, Subject::User);
        let mut personal: Vec<_> = event
            .personal_fields()
            .into_iter()
            .map(|(field, subject, personal)| (field, subject, &*personal))
            .collect();
        personal.extend(envelope.client_address.as_ref().map(|address| (keyring::CLIENT_ADDRESS, sender, address)));
        let mut lost = None;
        for (field, subject, personal) in personal {
            let Personal::Sealed { key, bytes } = personal else { continue };
            let position = envelope.position;
            match (self.key(*key).await?, subject) {
                (Key::Open(opened), _) => {
                    if !keyring::opens_field(&opened, envelope.event_id, field, *key, bytes) {
                        self.found
                            .add(Side::Log, format!("the {field} of event {position} does not open with its key"));
                    }
                }
                (Key::Gone, Subject::User(user)) => lost = Some(user),
                (Key::Gone, Subject::Site) => {
                    self.found.add(Side::Keys, format!("the key of the {field} of event {position} is gone"));
                }
                (Key::Wrapped, _) => {
                    self.found.add(Side::Keys, format!("the root key does not open the key of event {position}"));
                }
            }
        }
        if let Some(user) = lost {
            self.lost.entry(user).or_insert(Lost { first: envelope.position, events: 0 }).events += 1;
        }
        Ok(())
    }

    async fn key(&mut self, id: DataKeyId) -> Result<Key, StoreError> {
        if let Some(key) = self.keys.get(&id) {
            return Ok(key.clone());
        }
        let wrapped = self.opened.data_key(id).await?;
        let key = match (wrapped, self.opener) {
            (None, _) => Key::Gone,
            (Some(wrapped), Some(opener)) => opener.unwrap(id, &wrapped).map_or(Key::Wrapped, Key::Open),
            (Some(_), None) => Key::Wrapped,
        };
        if self.keys.len() >= KEYS {
            self.keys.clear();
        }
        self.keys.insert(id, key.clone());
        Ok(key)
    }
}
