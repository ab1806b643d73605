//! The form of an application: what was typed, what is wrong with it, and what a reviewer will see of it. Who sends it
//! where is `settings`'s and `requests`'s.

use axum::http::StatusCode;
use countersign_events::{
    application::{Asked, Difference, difference},
    redirect_uri::Purpose,
    scope::{Scope, ScopeSet},
    text::FieldError,
};

use crate::{
    app::{
        App, AppError,
        applications::{Edit, Request},
    },
    store::rows::ApplicationRow,
    web::{error::tell, extract::Fields},
};

/// What a browser sent.
pub(super) struct Sent {
    typed: Request,
    asked: Result<Asked, AppError>,
    /// Only to be looked at, not to be asked for.
    preview: bool,
    /// The revision of the application that the form was filled with.
    seen: Option<u32>,
}

impl Sent {
    /// Reads and judges the fields.
    pub(super) fn read(app: &App, form: &Fields) -> Self {
        let typed = Request {
            purpose: form.text("purpose").to_owned(),
            name: form.text("name").to_owned(),
            description: form.text("description").to_owned(),
            website: form.text("website").to_owned(),
            redirect_uri: form.text("redirect_uri").replace("\r\n", "\n"),
            scopes: form.all("scope"),
        };
        let asked = later_stage(form).and_then(|()| app.asked(&without_hidden(&typed)));
        let seen = form.text("revision").parse().ok();
        Self { typed, asked, preview: form.get("preview").is_some(), seen }
    }

    /// What the browser wants, of an application that may be there already.
    pub(super) fn wish(self, holds: Option<&ApplicationRow>) -> Wish {
        if !self.preview {
            return Wish::Send(Box::new(self));
        }
        // Nobody who looks at a preview has read what the application asks for meanwhile.
        let form = RequestForm::of(self.typed, holds).filled_at(self.seen);
        match self.asked {
            Ok(asked) => {
                let differs = holds.map(|row| difference(&row.asked(), &asked)).unwrap_or_default();
                let form = RequestForm { preview: Some(Preview { asked, differs }), busy: true, ..form };
                Wish::Preview(StatusCode::OK, Box::new(form))
            }
            Err(error) => Wish::Preview(tell(&error).status, Box::new(form.with(error))),
        }
    }
}

/// What a browser wants of a form.
pub(super) enum Wish {
    /// To see it again, with what a reviewer will see or with what is wrong.
    Preview(StatusCode, Box<RequestForm>),
    /// To have it carried out.
    Send(Box<Sent>),
}

impl Sent {
    /// What was typed, and what that asks for.
    pub(super) fn request(self) -> (Request, Result<Asked, AppError>) {
        (self.typed, self.asked)
    }

    /// The same of an application that is there: every field of it, by somebody who read the revision that the form was
    /// filled with.
    pub(super) fn edit(self) -> (Typed, Result<Edit, AppError>) {
        let Self { typed, asked, seen, .. } = self;
        let unnamed = || FieldError {
            field: "revision",
            code: "required",
            message: "This form does not say which revision it changes. It does now: look at it and send it again."
                .to_owned(),
        };
        let edit = match (asked, seen) {
            (Ok(asked), Some(revision)) => Ok(Edit::whole(asked).after_reading(revision)),
            (Ok(_), None) => Err(unnamed().into()),
            (Err(AppError::Fields(mut errors)), None) => {
                errors.push(unnamed());
                Err(AppError::Fields(errors))
            }
            (Err(error), _) => Err(error),
        };
        (Typed { request: typed, seen }, edit)
    }
}

/// What was typed into the form of an application that is there, and over which revision of it.
pub(super) struct Typed {
    request: Request,
    seen: Option<u32>,
}

/// A personal application has no redirect URI, and its form no field for one that anybody sees: what was typed there
/// before another purpose was chosen counts for nothing.
fn without_hidden(typed: &Request) -> Request {
    let mut request = typed.clone();
    if request.purpose == Purpose::Personal.as_str() {
        request.redirect_uri.clear();
    }
    request
}

/// What this release does not offer is refused, not passed over.
fn later_stage(form: &Fields) -> Result<(), AppError> {
    let offered = ["flow", "client_type"].into_iter().filter(|field| form.get(field).is_some());
    let errors: Vec<_> = offered
        .map(|field| FieldError {
            field,
            code: "not_offered",
            message: format!("This site does not offer a choice of {field}; leave it out."),
        })
        .collect();
    if errors.is_empty() { Ok(()) } else { Err(AppError::Fields(errors)) }
}

/// The form as it is shown.
pub(super) struct RequestForm {
    pub(super) typed: Request,
    /// The revision that it is filled with, or typed over.
    pub(super) revision: Option<u32>,
    /// What an approved application is for; it stays.
    pub(super) fixed: Option<Purpose>,
    /// What is offered, each with whether it is chosen.
    pub(super) scopes: Vec<(Scope, bool)>,
    pub(super) errors: Vec<FieldError>,
    /// What is wrong with no field.
    pub(super) problem: Option<String>,
    pub(super) preview: Option<Preview>,
    /// Whether its reader has something to do in it.
    pub(super) busy: bool,
}

/// What a reviewer will see.
pub(super) struct Preview {
    pub(super) asked: Asked,
    /// From what the application asks for, or is approved for, now.
    pub(super) differs: Vec<Difference>,
}

impl RequestForm {
    /// With what was typed, for an application that may be there already.
    pub(super) fn of(typed: Request, row: Option<&ApplicationRow>) -> Self {
        Self {
            revision: row.map(|row| row.revision),
            fixed: row.filter(|row| row.client_id.is_some()).map(|row| row.purpose),
            scopes: offered(&typed),
            typed,
            errors: vec![],
            problem: None,
            preview: None,
            busy: false,
        }
    }

    /// With what was typed over an earlier revision, as far as that is known.
    fn filled_at(self, seen: Option<u32>) -> Self {
        Self { revision: seen.or(self.revision), ..self }
    }

    /// With what did not happen to an application because of this error, and what is wrong. Whoever is told what differs
    /// has read it: sent again, the form replaces that too.
    pub(super) fn unsent(typed: Typed, row: &ApplicationRow, error: &AppError) -> Self {
        let form = Self { busy: true, ..Self::of(typed.request, Some(row)) };
        match error {
            AppError::Fields(errors) => Self { errors: errors.clone(), ..form.filled_at(typed.seen) },
            AppError::Overtaken(_) => form,
            _ => form.filled_at(typed.seen),
        }
    }

    /// With what is wrong.
    pub(super) fn with(mut self, error: AppError) -> Self {
        self.busy = true;
        match error {
            AppError::Fields(errors) => self.errors = errors,
            error => self.problem = Some(tell(&error).detail),
        }
        self
    }

    /// Whether it came back unsent.
    pub(super) const fn was_refused(&self) -> bool {
        !self.errors.is_empty() || self.problem.is_some()
    }

    /// The purposes with their titles, one line on each, and whether it is chosen; without a word that is a web
    /// application.
    pub(super) fn purposes(&self) -> [(Purpose, &'static str, &'static str, bool); 3] {
        let typed = self.typed.purpose.as_str();
        let chosen = if typed.is_empty() { Purpose::default().as_str() } else { typed };
        PURPOSES.map(|(purpose, title, explained)| (purpose, title, explained, purpose.as_str() == chosen))
    }

    /// What the application is for, in words, where that stays.
    pub(super) fn fixed_in_words(&self) -> Option<&'static str> {
        self.fixed.as_ref().map(purpose_in_words)
    }

    /// Whether members may be asked for it, so that they have to be sent back somewhere.
    pub(super) fn has_members(&self) -> bool {
        self.fixed != Some(Purpose::Personal)
    }

    /// Whether the options that most leave alone are in view: where there is something to see in them.
    pub(super) fn shows_more(&self) -> bool {
        let usual = self.scopes.iter().all(|(scope, chosen)| *chosen == ScopeSet::default_requested().contains(*scope));
        let alone = usual && self.typed.website.is_empty() && !self.has_mistake_in(&["scope", "website"]);
        !alone || self.preview.is_some() || self.fixed.is_some()
    }

    /// Whether one of these fields has a mistake.
    pub(super) fn has_mistake_in(&self, fields: &[&str]) -> bool {
        self.errors.iter().any(|error| fields.contains(&error.field))
    }
}

fn offered(request: &Request) -> Vec<(Scope, bool)> {
    let chosen = |scope: Scope| request.scopes.iter().any(|typed| typed.split(' ').any(|word| word == scope.as_str()));
    let default = |scope| request.scopes.is_empty() && ScopeSet::default_requested().contains(scope);
    ScopeSet::grantable().iter().map(|scope| (scope, chosen(scope) || default(scope))).collect()
}

/// The purposes that the form offers, each with its title and one line on it.
const PURPOSES: [(Purpose, &str, &str); 3] = [
    (
        Purpose::Web,
        "A web application",
        "A site of yours that other members authorize. They are sent back to its redirect URI with a token.",
    ),
    (
        Purpose::Personal,
        "A bot or script of my own",
        "It acts for you alone, with one token of yours. It needs no redirect URI.",
    ),
    (
        Purpose::Native,
        "A desktop or mobile application",
        "A program on members' own devices that they authorize. It may have a scheme of its own as redirect URI.",
    ),
];

/// What an application is for, in words.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "templates pass references")]
pub(super) const fn purpose_in_words(purpose: &Purpose) -> &'static str {
    match purpose {
        Purpose::Web => "Web application, for other members",
        Purpose::Personal => "Bot or script of its owner's own",
        Purpose::Native => "Desktop or mobile application, for other members",
    }
}
