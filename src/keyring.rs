//! Data keys: one a member and one of the site, wrapped in the vault, unwrapped in memory. With
//! them personal fields are sealed after deciding and opened after reading. A text is erased when the log says so of its
//! member. A key that is missing says nothing of the kind: then the vault is not the one that belongs to this log.

use std::sync::Arc;

use countersign_events::{
    account::{self, AccountEvent},
    event::Event,
    ids::{DataKeyId, EventId, UserId},
    recorded::{Recorded, Timestamp, Version},
    sensitive::{Personal, Subject},
};
use papaya::HashMap;

use crate::{
    secrets::{RootKey, SubKey, context},
    store::{EventLog, StoreError, StoredEvent, Vault, decode},
    token_state::TokenState,
    world::World,
};

/// The name of the sealed field of the envelope.
pub const CLIENT_ADDRESS: &str = "client_address";

/// The keys, and the vault behind them.
pub struct Keyring {
    vault: Arc<dyn Vault>,
    /// Where it is written who was erased.
    log: Arc<dyn EventLog>,
    wrap: SubKey,
    site: (DataKeyId, SubKey),
    world: World,
    opened: HashMap<DataKeyId, SubKey>,
    /// Members whose key is missing, of whom that was said in the server's log.
    lacking: HashMap<UserId, ()>,
    /// Members of whom an event that was read, or [`Keyring::forget`], says that they were erased. Nothing of theirs
    /// is opened from then on, whether their key is destroyed yet or not: what was recorded of them later shows
    /// live what a rebuild will show.
    erased: HashMap<UserId, ()>,
}

impl Keyring {
    /// Opens the site's key, or makes it at the first start.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the vault does not answer, or was wrapped by another root key.
    pub async fn open(
        vault: Arc<dyn Vault>,
        log: Arc<dyn EventLog>,
        root: &RootKey,
        world: World,
    ) -> Result<Self, StoreError> {
        let wrap = root.derive(context::DATA_KEY_WRAP);
        let site = if let Some((id, wrapped)) = vault.site_key().await? {
            (id, unwrap(&wrap, id, &wrapped).ok_or_else(foreign)?)
        } else {
            let (id, key) = (DataKeyId(world.uuid()), SubKey::from_bytes(world.random()));
            vault.put_data_key(id, "site", &wrap_key(&wrap, id, &key, &world), world.now()).await?;
            (id, key)
        };
        let (opened, lacking, erased) = (HashMap::new(), HashMap::new(), HashMap::new());
        Ok(Self { vault, log, wrap, site, world, opened, lacking, erased })
    }

    /// Makes a data key for a member who is about to join.
    ///
    /// # Errors
    /// [`StoreError`] when the vault cannot keep it.
    pub async fn make(&self, user: UserId, at: Timestamp) -> Result<DataKeyId, StoreError> {
        let (id, key) = (DataKeyId(self.world.uuid()), SubKey::from_bytes(self.world.random()));
        self.vault.put_data_key(id, &user.to_string(), &wrap_key(&self.wrap, id, &key, &self.world), at).await?;
        self.opened.pin().insert(id, key);
        Ok(id)
    }

    /// What opens data keys.
    #[must_use]
    pub fn opener(&self) -> Opener {
        Opener(self.wrap.clone())
    }

    /// A key that opens; `None` when the vault has none. That is not remembered: it may be put back.
    async fn key(&self, id: DataKeyId) -> Result<Option<SubKey>, StoreError> {
        if id == self.site.0 {
            return Ok(Some(self.site.1.clone()));
        }
        if let Some(key) = self.opened.pin().get(&id) {
            return Ok(Some(key.clone()));
        }
        let key = self.vault.data_key(id).await?.and_then(|wrapped| unwrap(&self.wrap, id, &wrapped));
        if let Some(key) = &key {
            self.opened.pin().insert(id, key.clone());
        }
        Ok(key)
    }

    /// Forgets a member who was erased, and their key.
    pub fn forget(&self, user: UserId, key: DataKeyId) {
        self.erased.pin().insert(user, ());
        self.opened.pin().remove(&key);
    }

    /// Whether the log says that a member was erased. Asked where their key is missing: a model may not know it yet, and
    /// a replay has not come that far.
    async fn was_erased(&self, user: UserId) -> Result<bool, StoreError> {
        for stored in self.log.read_stream(&account::stream(user), Version(0)).await? {
            if let Event::Account(AccountEvent::UserErased { .. }) = decode(&stored)?.event {
                self.erased.pin().insert(user, ());
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What a text of this subject is when no key opens it.
    async fn without_key(&self, subject: Subject) -> Result<Personal, StoreError> {
        let Subject::User(member) = subject else { return Err(foreign()) };
        if self.was_erased(member).await? {
            return Ok(Personal::Erased);
        }
        Err(self.lost(member, "data key that opens"))
    }

    /// The vault has lost something of a member who was not erased. Logged once a member: it is asked for again and again.
    pub fn lost(&self, member: UserId, what: &'static str) -> StoreError {
        let error = StoreError::VaultLacks { member, what };
        if self.lacking.pin().insert(member, ()).is_none() {
            tracing::error!(%error, "the vault does not fit the log");
        }
        error
    }

    /// How many members' keys or passwords were found missing since the start.
    #[must_use]
    pub fn lacking(&self) -> usize {
        self.lacking.len()
    }

    /// Seals every personal field of `event`. `joining` is the key of a member who is not known yet.
    ///
    /// # Errors
    /// [`StoreError`] when a key cannot be had.
    pub async fn seal(
        &self,
        event: &mut Event,
        event_id: EventId,
        members: &TokenState,
        joining: Option<DataKeyId>,
    ) -> Result<(), StoreError> {
        for (field, subject, personal) in event.personal_fields() {
            let Personal::Clear(text) = &*personal else { continue };
            *personal = self.seal_text(text, field, subject, event_id, members, joining).await?;
        }
        Ok(())
    }

    /// Seals the address a request came from; it is personal to whoever sent it.
    ///
    /// # Errors
    /// [`StoreError`] when a key cannot be had.
    pub async fn seal_address(
        &self,
        address: &str,
        user: UserId,
        event_id: EventId,
        members: &TokenState,
        joining: Option<DataKeyId>,
    ) -> Result<Personal, StoreError> {
        self.seal_text(address, CLIENT_ADDRESS, Subject::User(user), event_id, members, joining).await
    }

    async fn seal_text(
        &self,
        text: &str,
        field: &str,
        subject: Subject,
        event_id: EventId,
        members: &TokenState,
        joining: Option<DataKeyId>,
    ) -> Result<Personal, StoreError> {
        if self.is_erased(subject) {
            return Ok(Personal::Erased);
        }
        let key = match subject {
            Subject::Site => self.site.0,
            Subject::User(user) => match members.member(user).map(|member| member.data_key).or(joining) {
                Some(key) => key,
                None => return Err(StoreError::Unavailable(format!("member {user} has no data key"))),
            },
        };
        let Some(sub_key) = self.key(key).await? else { return self.without_key(subject).await };
        let bytes = sub_key.seal(self.world.random(), &associated(event_id, field, key), text.as_bytes());
        Ok(Personal::Sealed { key, bytes })
    }

    /// Reads a stored event and opens its personal fields; those of members who were erased are erased.
    ///
    /// # Errors
    /// [`StoreError`] when the event cannot be read, the vault does not answer, or lacks the key of somebody who was not
    /// erased.
    pub async fn read(&self, stored: &StoredEvent) -> Result<Recorded<Event>, StoreError> {
        self.read_where(stored, |_| true).await
    }

    /// The same, where the fields of the event itself are opened only when `opens` says so.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub async fn read_where(
        &self,
        stored: &StoredEvent,
        opens: fn(&Event) -> bool,
    ) -> Result<Recorded<Event>, StoreError> {
        self.open_where(decode(stored)?, opens).await
    }

    /// Opens the personal fields of an event where `opens` says so. The address that it came from stays sealed where its
    /// key is missing: an event is not held up for it.
    ///
    /// # Errors
    /// [`StoreError`] when the vault does not answer, or lacks the key of somebody who was not erased.
    pub async fn open_where(
        &self,
        mut recorded: Recorded<Event>,
        opens: fn(&Event) -> bool,
    ) -> Result<Recorded<Event>, StoreError> {
        let event_id = recorded.envelope.event_id;
        if let Event::Account(AccountEvent::UserErased { user_id, .. }) = &recorded.event {
            self.erased.pin().insert(*user_id, ());
        }
        if opens(&recorded.event) {
            for (field, subject, personal) in recorded.event.personal_fields() {
                *personal = self.open_field(personal, event_id, field, subject).await?;
            }
        }
        let sender = recorded.envelope.actor.user().map_or(Subject::Site, Subject::User);
        if let Some(address) = &recorded.envelope.client_address {
            let opened = match self.open_field(address, event_id, CLIENT_ADDRESS, sender).await {
                Err(StoreError::VaultLacks { .. }) => address.clone(),
                opened => opened?,
            };
            recorded.envelope.client_address = Some(opened);
        }
        Ok(recorded)
    }

    fn is_erased(&self, subject: Subject) -> bool {
        matches!(subject, Subject::User(user) if self.erased.pin().contains_key(&user))
    }

    async fn open_field(
        &self,
        personal: &Personal,
        event_id: EventId,
        field: &str,
        subject: Subject,
    ) -> Result<Personal, StoreError> {
        if self.is_erased(subject) {
            return Ok(Personal::Erased);
        }
        let Personal::Sealed { key, bytes } = personal else { return Ok(personal.clone()) };
        let Some(sub_key) = self.key(*key).await? else { return self.without_key(subject).await };
        let plain = sub_key.open(&associated(event_id, field, *key), bytes);
        let text = plain.and_then(|plain| String::from_utf8(plain.to_vec()).ok());
        // Where the key is there, it is the text that is damaged: it stays as it is, and is not called erased.
        Ok(text.map_or_else(|| personal.clone(), Personal::Clear))
    }
}

/// What binds a sealed field to its place.
fn associated(event_id: EventId, field: &str, key: DataKeyId) -> Vec<u8> {
    [event_id.0.as_bytes().as_slice(), field.as_bytes(), key.0.as_bytes()].concat()
}

fn wrap_key(wrap: &SubKey, id: DataKeyId, key: &SubKey, world: &World) -> Vec<u8> {
    wrap.seal(world.random(), id.0.as_bytes(), key.as_bytes())
}

/// Opens data keys as the vault has them, and nothing else.
#[derive(Clone)]
pub struct Opener(SubKey);

impl Opener {
    /// Of a root key.
    #[must_use]
    pub fn of(root: &RootKey) -> Self {
        Self(root.derive(context::DATA_KEY_WRAP))
    }

    /// A data key; `None` when another root key wrapped it.
    #[must_use]
    pub fn unwrap(&self, id: DataKeyId, wrapped: &[u8]) -> Option<SubKey> {
        unwrap(&self.0, id, wrapped)
    }
}

/// Whether a key opens a sealed field of an event.
#[must_use]
pub fn opens_field(key: &SubKey, event_id: EventId, field: &str, id: DataKeyId, sealed: &[u8]) -> bool {
    key.open(&associated(event_id, field, id), sealed).is_some_and(|plain| std::str::from_utf8(&plain).is_ok())
}

/// Whether a root key is the one that wrapped this data key.
#[must_use]
pub fn opens(root: &RootKey, id: DataKeyId, wrapped: &[u8]) -> bool {
    unwrap(&root.derive(context::DATA_KEY_WRAP), id, wrapped).is_some()
}

fn unwrap(wrap: &SubKey, id: DataKeyId, wrapped: &[u8]) -> Option<SubKey> {
    let plain = wrap.open(id.0.as_bytes(), wrapped)?;
    plain.as_slice().try_into().ok().map(SubKey::from_bytes)
}

fn foreign() -> StoreError {
    StoreError::Unavailable(
        "the root key does not open the vault: it is the key of another site. Set COUNTERSIGN_ROOT_KEY, or put the file \
         back, to the key that this site was made with; every node has the same"
            .to_owned(),
    )
}
