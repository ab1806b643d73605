//! Applications from their owner's side: ask, edit, withdraw, look.

use countersign_events::{
    application::{self, Application, ApplicationCommand, Asked, Record, Seen, Standing},
    decider::Decider,
    ids::{ApplicationId, UserId},
    recorded::Version,
    redirect_uri::{Purpose, RedirectUri},
    scope::ScopeSet,
    text::{self, FieldError},
    token::ClientId,
};
use serde::{Deserialize, Serialize};

use super::{App, AppError, Caller, Done, Plan, error::FieldErrors};
use crate::store::rows::ApplicationRow;

/// An appeal is no longer, in characters.
const APPEAL_LENGTH: usize = 2_000;

/// What was typed into the apps tab.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the form's fields, by their names")]
pub struct Request {
    #[serde(default)]
    pub purpose: String,
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub website: String,
    /// One URI a line.
    #[serde(default)]
    pub redirect_uri: String,
    #[serde(default)]
    pub scopes: Vec<String>,
}

/// The fields of a request that are to say something else; what is left out stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields of `Request`")]
pub struct Changes {
    pub purpose: Option<String>,
    pub name: Option<String>,
    pub description: Option<String>,
    pub website: Option<String>,
    pub redirect_uri: Option<String>,
    pub scopes: Option<Vec<String>>,
}

impl Changes {
    fn of(self, before: Request) -> Request {
        Request {
            purpose: self.purpose.unwrap_or(before.purpose),
            name: self.name.unwrap_or(before.name),
            description: self.description.unwrap_or(before.description),
            website: self.website.unwrap_or(before.website),
            redirect_uri: self.redirect_uri.unwrap_or(before.redirect_uri),
            scopes: self.scopes.unwrap_or(before.scopes),
        }
    }
}

/// What an owner wants their application to ask for instead.
#[derive(Debug, Clone)]
pub struct Edit {
    wanted: Wanted,
    seen: Option<u32>,
}

#[derive(Debug, Clone)]
enum Wanted {
    Whole(Asked),
    Fields(Box<Changes>),
}

impl Edit {
    /// All of it anew.
    #[must_use]
    pub const fn whole(asked: Asked) -> Self {
        Self { wanted: Wanted::Whole(asked), seen: None }
    }

    /// Some fields, of whatever it asks for when they change.
    #[must_use]
    pub fn fields(changes: Changes) -> Self {
        Self { wanted: Wanted::Fields(Box::new(changes)), seen: None }
    }

    /// By somebody who read this revision: refused once there is another one. Without it, `whole` overwrites what they
    /// never saw.
    #[must_use]
    pub fn after_reading(self, revision: impl Into<Option<u32>>) -> Self {
        Self { seen: revision.into(), ..self }
    }
}

impl From<Asked> for Edit {
    fn from(asked: Asked) -> Self {
        Self::whole(asked)
    }
}

impl Request {
    /// What an application asks for now, or is proposed to become, as the form shows it.
    #[must_use]
    pub fn of(row: &ApplicationRow) -> Self {
        Self::for_this(row.proposed.clone().unwrap_or_else(|| row.asked()))
    }

    fn for_this(asked: Asked) -> Self {
        let uris: Vec<_> = asked.redirect_uris.iter().map(RedirectUri::as_str).collect();
        Self {
            purpose: asked.purpose.to_string(),
            name: asked.name,
            description: asked.description,
            website: asked.website.unwrap_or_default(),
            redirect_uri: uris.join("\n"),
            scopes: asked.scopes.iter().map(|scope| scope.to_string()).collect(),
        }
    }
}

impl App {
    /// Checks a request; every field that does not fit is named.
    ///
    /// # Errors
    /// [`AppError::Fields`].
    pub fn asked(&self, request: &Request) -> Result<Asked, AppError> {
        let mut errors = FieldErrors::default();
        let purpose = errors.take(purpose(&request.purpose));
        let name = errors.take(text::application_name(&request.name));
        if let Err(error) = text::refuse_look_alike("name", &name, &self.config.site_name) {
            errors.push(error);
        }
        let description = errors.take(text::description(&request.description));
        let website = errors.take(text::website(&request.website));
        let redirect_uris =
            errors.take(RedirectUri::parse_list(&request.redirect_uri, purpose).map_err(|error| FieldError {
                field: "redirect_uri",
                code: "malformed",
                message: error.to_string(),
            }));
        let scopes = errors.take(scopes(&request.scopes));
        errors.check()?;
        Ok(Asked { purpose, name, description, website, redirect_uris, scopes })
    }

    /// A member asks for an application.
    ///
    /// # Errors
    /// Fields that do not fit, or too many open requests.
    pub async fn request_application(
        &self,
        caller: &Caller,
        owner: UserId,
        asked: Asked,
    ) -> Result<Done<ApplicationId>, AppError> {
        let at = self.now();
        self.execute(caller, || async {
            let before = self.models.applications_of(owner).await?;
            self.check_open_requests(&before)?;
            let application_id = self.id_after(owner, before.len());
            let stream = application::stream(application_id);
            let command = ApplicationCommand::Request { application_id, owner, asked: asked.clone(), at };
            let requested = Application::default().decide(command)?;
            Ok(Plan::answering(application_id).with(&stream, Version(0), requested))
        })
        .await
    }

    /// The id of what a member asks for after so many applications. Of those who ask at the same moment, on whatever
    /// node, all want the same stream and one gets it; the others count again. Applications never leave their model.
    fn id_after(&self, owner: UserId, applications: usize) -> ApplicationId {
        let mac = self.keys.application.mac(&[owner.0.as_bytes(), &(applications as u64).to_le_bytes()]);
        let [bytes @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = mac;
        ApplicationId(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }

    fn check_open_requests(&self, applications: &[ApplicationRow]) -> Result<(), AppError> {
        let limit = self.config.limits_open_requests.get();
        let is_open =
            |row: &&ApplicationRow| matches!(row.standing, Standing::UnderReview | Standing::ChangesRequested);
        let open = applications.iter().filter(is_open).count();
        if open < limit as usize {
            return Ok(());
        }
        self.limits.refused.add("open_requests", 1);
        Err(AppError::TooManyOpenRequests(limit))
    }

    /// The owner changes what is asked for while it is under review; of an approved application it is a proposed change.
    ///
    /// # Errors
    /// Not theirs, the wrong state, another revision than the one that was read, or fields that do not fit.
    pub async fn edit_application(
        &self,
        caller: &Caller,
        owner: UserId,
        id: ApplicationId,
        edit: impl Into<Edit>,
    ) -> Result<Done<()>, AppError> {
        let (edit, at) = (edit.into(), self.now());
        self.change_application(caller, owner, id, |record| {
            Ok(ApplicationCommand::Edit { asked: self.edited(record, &edit)?, seen: edit.seen, at })
        })
        .await
    }

    /// What an application asks for once it is edited.
    fn edited(&self, record: &Record, edit: &Edit) -> Result<Asked, AppError> {
        match &edit.wanted {
            Wanted::Whole(asked) => Ok(asked.clone()),
            Wanted::Fields(changes) => {
                let before = record.proposed.as_ref().unwrap_or(&record.asked);
                self.asked(&changes.as_ref().clone().of(Request::for_this(before.clone())))
            }
        }
    }

    /// The owner takes it back; its tokens end. `seen` is what they read of it, where they say so.
    ///
    /// # Errors
    /// Not theirs, the wrong state, or another one than they read of.
    pub async fn withdraw_application(
        &self,
        caller: &Caller,
        owner: UserId,
        id: ApplicationId,
        seen: Seen,
    ) -> Result<Done<()>, AppError> {
        let at = self.now();
        self.change_application(caller, owner, id, |_| Ok(ApplicationCommand::Withdraw { seen, at })).await
    }

    /// The owner comes back with what reviewers asked for.
    ///
    /// # Errors
    /// Not theirs, the wrong state, another revision than the one that was read, or fields that do not fit.
    pub async fn resubmit_application(
        &self,
        caller: &Caller,
        owner: UserId,
        id: ApplicationId,
        edit: impl Into<Edit>,
    ) -> Result<Done<()>, AppError> {
        let (edit, at) = (edit.into(), self.now());
        self.change_application(caller, owner, id, |record| {
            Ok(ApplicationCommand::Resubmit { asked: self.edited(record, &edit)?, seen: edit.seen, at })
        })
        .await
    }

    /// The owner disagrees with a denial, once.
    ///
    /// # Errors
    /// Not theirs, the wrong state, or a text that does not fit.
    pub async fn appeal(
        &self,
        caller: &Caller,
        owner: UserId,
        id: ApplicationId,
        text: &str,
    ) -> Result<Done<()>, AppError> {
        let text = text::required_body("text", text, APPEAL_LENGTH)?;
        let at = self.now();
        let appeal = |_: &_| Ok(ApplicationCommand::Appeal { text: text.as_str().into(), at });
        self.change_application(caller, owner, id, appeal).await
    }

    /// The owner takes a proposed change back: the one of this revision, or whichever waits.
    ///
    /// # Errors
    /// Not theirs, no change waits, or it is of another revision.
    pub async fn withdraw_change(
        &self,
        caller: &Caller,
        owner: UserId,
        id: ApplicationId,
        seen: Option<u32>,
    ) -> Result<Done<()>, AppError> {
        let at = self.now();
        self.change_application(caller, owner, id, |_| Ok(ApplicationCommand::WithdrawChange { seen, at })).await
    }

    /// The owner has another client id in the place of one that strangers use: of this one, or of whichever it has. One
    /// that was replaced before is not replaced again.
    ///
    /// # Errors
    /// Not theirs, or not approved.
    pub async fn rotate_client_id(
        &self,
        caller: &Caller,
        owner: UserId,
        id: ApplicationId,
        seen: Option<ClientId>,
    ) -> Result<Done<()>, AppError> {
        let at = self.now();
        let client_id = ClientId::from_random(&self.world.random());
        let rotate =
            |_: &_| Ok(ApplicationCommand::RotateClientId { client_id: client_id.clone(), seen: seen.clone(), at });
        self.change_application(caller, owner, id, rotate).await
    }

    async fn change_application(
        &self,
        caller: &Caller,
        owner: UserId,
        id: ApplicationId,
        command: impl Fn(&Record) -> Result<ApplicationCommand, AppError> + Send + Sync,
    ) -> Result<Done<()>, AppError> {
        let stream = application::stream(id);
        self.execute(caller, || async {
            let (application, version) = self.load::<Application>(&stream).await?;
            // Somebody else's application is not there at all.
            let Application::Requested(record) = &application else { return Err(AppError::NotFound) };
            if record.owner != owner {
                return Err(AppError::NotFound);
            }
            match application.decide(command(record)?) {
                Ok(events) => Ok(Plan::answering(()).with(&stream, version, events)),
                Err(refusal) => Err(self.overtaken(record, refusal).await?),
            }
        })
        .await
    }

    /// An application as its owner sees it.
    ///
    /// # Errors
    /// [`AppError::NotFound`], also when it is somebody else's.
    pub async fn my_application(&self, owner: UserId, id: ApplicationId) -> Result<ApplicationRow, AppError> {
        self.models.application(id).await?.filter(|row| row.owner_id == owner).ok_or(AppError::NotFound)
    }

    /// A member's applications, newest first.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn my_applications(&self, owner: UserId) -> Result<Vec<ApplicationRow>, AppError> {
        Ok(self.models.applications_of(owner).await?)
    }

    /// The record behind an application, with the version of its stream.
    pub(super) async fn application_record(&self, id: ApplicationId) -> Result<(Box<Record>, Version), AppError> {
        match self.load::<Application>(&application::stream(id)).await? {
            (Application::Requested(record), version) => Ok((record, version)),
            (Application::NotRequested, _) => Err(AppError::NotFound),
        }
    }

    /// The text of the reason of the last decision on an application.
    ///
    /// # Errors
    /// [`AppError::Store`].
    pub async fn reason_of(&self, row: &ApplicationRow) -> Result<Option<String>, AppError> {
        let Some(position) = row.reason_position else { return Ok(None) };
        let Some(mut recorded) = self.event_at(position).await? else { return Ok(None) };
        let reason = recorded.event.personal_fields().into_iter().find(|(field, ..)| *field == "reason");
        Ok(reason.and_then(|(_, _, reason)| reason.clear().filter(|text| !text.is_empty()).map(ToOwned::to_owned)))
    }
}

fn purpose(typed: &str) -> Result<Purpose, FieldError> {
    let typed = if typed.is_empty() { Purpose::default().as_str() } else { typed };
    typed.parse().map_err(|_| FieldError {
        field: "purpose",
        code: "malformed",
        message: "Choose one of web, personal and native.".to_owned(),
    })
}

/// An application that asks for nothing in particular gets what most need.
fn scopes(typed: &[String]) -> Result<ScopeSet, FieldError> {
    let error = |message: String| FieldError { field: "scope", code: "malformed", message };
    let scopes = ScopeSet::parse(&typed.join(" ")).map_err(|unknown| error(format!("{unknown}.")))?;
    let excess = scopes.difference(ScopeSet::grantable());
    if !excess.is_empty() {
        return Err(error(format!(
            "An application cannot have the scope {excess}; choose among {}.",
            ScopeSet::grantable()
        )));
    }
    Ok(if scopes.is_empty() { ScopeSet::default_requested() } else { scopes })
}
