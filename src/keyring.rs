//! Data keys: one a member and one of the site, wrapped in the vault, unwrapped in memory. With
//! them personal fields are sealed after deciding and opened after reading. What a key no longer
//! opens is erased.

use std::sync::Arc;

use countersign_events::{
    account::AccountEvent,
    event::Event,
    ids::{DataKeyId, EventId, UserId},
    recorded::{Recorded, Timestamp},
    sensitive::{Personal, Subject},
};
use papaya::HashMap;

use crate::{
    secrets::{RootKey, SubKey, context},
    store::{StoreError, StoredEvent, Vault, decode},
    token_state::TokenState,
    world::World,
};

/// The name of the sealed field of the envelope.
pub const CLIENT_ADDRESS: &str = "client_address";

/// The keys, and the vault behind them.
pub struct Keyring {
    vault: Arc<dyn Vault>,
    wrap: SubKey,
    site: (DataKeyId, SubKey),
    world: World,
    /// `None` for a key that the vault no longer has.
    opened: HashMap<DataKeyId, Option<SubKey>>,
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
    pub async fn open(vault: Arc<dyn Vault>, root: &RootKey, world: World) -> Result<Self, StoreError> {
        let wrap = root.derive(context::DATA_KEY_WRAP);
        let site = if let Some((id, wrapped)) = vault.site_key().await? {
            (id, unwrap(&wrap, id, &wrapped)?)
        } else {
            let (id, key) = (DataKeyId(world.uuid()), SubKey::from_bytes(world.random()));
            vault.put_data_key(id, "site", &wrap_key(&wrap, id, &key, &world), world.now()).await?;
            (id, key)
        };
        Ok(Self { vault, wrap, site, world, opened: HashMap::new(), erased: HashMap::new() })
    }

    /// Makes a data key for a member who is about to join.
    ///
    /// # Errors
    /// [`StoreError`] when the vault cannot keep it.
    pub async fn make(&self, user: UserId, at: Timestamp) -> Result<DataKeyId, StoreError> {
        let (id, key) = (DataKeyId(self.world.uuid()), SubKey::from_bytes(self.world.random()));
        self.vault.put_data_key(id, &user.to_string(), &wrap_key(&self.wrap, id, &key, &self.world), at).await?;
        self.opened.pin().insert(id, Some(key));
        Ok(id)
    }

    /// What opens data keys.
    #[must_use]
    pub fn opener(&self) -> Opener {
        Opener(self.wrap.clone())
    }

    async fn key(&self, id: DataKeyId) -> Result<Option<SubKey>, StoreError> {
        if id == self.site.0 {
            return Ok(Some(self.site.1.clone()));
        }
        if let Some(key) = self.opened.pin().get(&id) {
            return Ok(key.clone());
        }
        let key = self.vault.data_key(id).await?.map(|wrapped| unwrap(&self.wrap, id, &wrapped)).transpose()?;
        // Not in the place of what somebody forgot meanwhile.
        Ok(self.opened.pin().get_or_insert(id, key).clone())
    }

    /// Forgets a member who was erased, and their key.
    pub fn forget(&self, user: UserId, key: DataKeyId) {
        self.erased.pin().insert(user, ());
        self.opened.pin().insert(key, None);
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
        let Some(sub_key) = self.key(key).await? else { return Ok(Personal::Erased) };
        let bytes = sub_key.seal(self.world.random(), &associated(event_id, field, key), text.as_bytes());
        Ok(Personal::Sealed { key, bytes })
    }

    /// Reads a stored event and opens its personal fields; those whose key is gone are erased.
    ///
    /// # Errors
    /// [`StoreError`] when the event cannot be read or the vault does not answer.
    pub async fn read(&self, stored: &StoredEvent) -> Result<Recorded<Event>, StoreError> {
        self.read_where(stored, |_| true).await
    }

    /// The same, where the fields of the event itself are opened only when `opens` says so.
    ///
    /// # Errors
    /// [`StoreError`] when the event cannot be read or the vault does not answer.
    pub async fn read_where(
        &self,
        stored: &StoredEvent,
        opens: fn(&Event) -> bool,
    ) -> Result<Recorded<Event>, StoreError> {
        self.open_where(decode(stored)?, opens).await
    }

    /// Opens the personal fields of an event where `opens` says so; those whose key is gone are erased.
    ///
    /// # Errors
    /// [`StoreError`] when the vault does not answer.
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
            recorded.envelope.client_address = Some(self.open_field(address, event_id, CLIENT_ADDRESS, sender).await?);
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
        let text = self
            .key(*key)
            .await?
            .and_then(|sub_key| sub_key.open(&associated(event_id, field, *key), bytes))
            .and_then(|plain| String::from_utf8(plain.to_vec()).ok());
        Ok(text.map_or(Personal::Erased, Personal::Clear))
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
        unwrap(&self.0, id, wrapped).ok()
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
    unwrap(&root.derive(context::DATA_KEY_WRAP), id, wrapped).is_ok()
}

fn unwrap(wrap: &SubKey, id: DataKeyId, wrapped: &[u8]) -> Result<SubKey, StoreError> {
    wrap.open(id.0.as_bytes(), wrapped)
        .and_then(|plain| plain.as_slice().try_into().ok())
        .map(SubKey::from_bytes)
        .ok_or_else(|| {
            StoreError::Unavailable(
                "the root key does not open the vault: it is the key of another site. Set COUNTERSIGN_ROOT_KEY, or put \
                 the file back, to the key that this site was made with; every node has the same"
                    .to_owned(),
            )
        })
}
