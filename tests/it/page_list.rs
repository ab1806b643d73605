//! Every page there is, in every state worth a look, and how to get there as whom. The demo's pages are here; those of
//! hostile and of rare sites are beside what fills these sites. Looking at them is `auditor`'s.

use serde_json::json;

/// Where a page is. Ids are the site's; here things go by their names.
#[derive(Clone, Copy)]
pub enum At {
    Path(&'static str),
    /// A one-time link.
    Link,
    /// The post with this title.
    Post(&'static str),
    /// The first event of this type.
    Event(&'static str),
    /// The owner's page of an application.
    Application(&'static str),
    /// The reviewers' page of an application.
    Review(&'static str),
    /// What opens when that application sends somebody here, with more parameters.
    Consent(&'static str, &'static str),
    /// The notification with this in its title.
    Notification(&'static str),
}

/// A page to be looked at.
pub struct Page {
    /// Names it in complaints and in the files of pictures.
    pub name: &'static str,
    /// Its door, as the golden file has it.
    pub door: &'static str,
    /// Who looks at it: a member's name, or nobody.
    pub who: &'static str,
    pub at: At,
    /// The script that leads on from there to the page itself.
    pub then: String,
    pub status: u16,
    /// It cannot be opened a second time.
    pub once: bool,
}

/// Nobody is signed in.
pub const NOBODY: &str = "";
/// A member who has done nothing yet; whoever sets a site up lets them join.
pub const NEWCOMER: &str = "newcomer";
/// In the place of a door: whichever it was.
pub const ERROR: &str = "an error page";
/// The form that every page of a signed-in member has, and that holds nothing but what each form carries: what is put into
/// it can be sent to any door.
pub const ANY_FORM: &str = "form[action$='/logout']";
/// More than a form may hold.
const TOO_LONG: &str = ascii(&[b'x'; 270_000]);

/// Text of a fixed length.
pub const fn ascii(bytes: &'static [u8]) -> &'static str {
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) => "",
    }
}

pub fn page(name: &'static str, door: &'static str, who: &'static str, at: At) -> Page {
    Page { name, door, who, at, then: String::new(), status: 200, once: false }
}

impl Page {
    /// What its title is to tell apart: the door, or that it is an error.
    pub fn kind(&self) -> &'static str {
        self.door
    }

    pub fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// It is what a form of that page leads to. The form is sent as a browser would that checks no field: `to` is where,
    /// when not where the form says (`+` stands for the page's own path); fields that the form lacks are put into it.
    pub fn sent(self, status: u16, form: &str, to: &str, fields: &[(&str, &str)]) -> Self {
        let fields: Vec<_> = fields.iter().map(|(name, value)| [name, value]).collect();
        let then = format!("{SEND}\nsend({}, {}, {});", json!(form), json!(to), json!(fields));
        Self { then, status, ..self }
    }

    pub fn once(self) -> Self {
        Self { once: true, ..self }
    }
}

const SEND: &str = "
const send = (selector, to, fields) => {
  const form = document.querySelector(selector);
  if (to) form.action = to.replace(/^\\+/, location.pathname);
  for (const [name, value] of fields) {
    if (name === 'enctype') { form.enctype = value; continue; }
    const known = form.elements[name];
    let field = known && (known.matches?.('input, select, textarea') || known[0].type === 'radio') ? known : null;
    if (!field) {
      field = document.createElement('textarea');
      field.name = name;
      form.append(field);
    }
    field.value = value;
  }
  HTMLFormElement.prototype.submit.call(form);
};";

/// The demo as members and strangers see it.
pub fn of_members() -> Vec<Page> {
    [board(), accounts(), apps(), inbox(), consent(), guides()].into_iter().flatten().collect()
}

/// The demo as reviewers and other staff see it, and what is shown when something is wrong.
pub fn of_staff() -> Vec<Page> {
    [reviews(), decisions(), audit(), errors()].into_iter().flatten().collect()
}

fn board() -> Vec<Page> {
    use At::{Path, Post};
    let front = |name, who, path| page(name, "/", who, Path(path));
    let post = |name, who, title| page(name, "/posts/{id}", who, Post(title));
    vec![
        front("front", NOBODY, "/"),
        front("front-new", NOBODY, "/?sort=new"),
        front("front-old", NOBODY, "/?sort=old"),
        front("front-top", NOBODY, "/?sort=top&t=year"),
        front("front-bottom", NOBODY, "/?sort=bottom"),
        front("front-controversial", NOBODY, "/?sort=controversial"),
        front("front-comments", NOBODY, "/?sort=comments"),
        front("front-second-page", NOBODY, "/?sort=new&page=2&limit=5"),
        front("front-nothing", NOBODY, "/?sort=new&page=99"),
        front("front-signed-in", "ben", "/"),
        front("front-staff", "ada", "/"),
        front("front-post-refused", "ben", "/").sent(
            422,
            ANY_FORM,
            "/posts",
            &[("title", ""), ("url", "nonsense"), ("body", "What I typed.")],
        ),
        page("write", "/posts/new", "ben", Path("/posts/new")),
        post("post", NOBODY, "Soup for twelve, one pot"),
        post("post-signed-in", "ben", "Soup for twelve, one pot"),
        post("post-with-link", "ben", "SQLite does not do checkpoints"),
        post("post-through-the-api", NOBODY, "14 of my posts are safe"),
        post("post-without-comments", "ben", "Night trains are back on the northern line"),
        post("post-comment-refused", "ben", "Soup for twelve, one pot").sent(
            422,
            ANY_FORM,
            "+/comments",
            &[("body", " ")],
        ),
    ]
}

fn accounts() -> Vec<Page> {
    use At::Path;
    vec![
        page("login", "/login", NOBODY, Path("/login")),
        page("login-to-come-back", "/login", NOBODY, Path("/login?return_to=/settings/apps")),
        page("login-again", "/login", "ben", Path("/login?again=1")),
        page("login-refused", "/login", NOBODY, Path("/login")).sent(
            401,
            "main form",
            "",
            &[("username", "nobody-here"), ("password", "not the password")],
        ),
        page("signup", "/signup", NOBODY, Path("/signup")),
        page("signup-refused", "/signup", NOBODY, Path("/signup")).sent(
            422,
            "main form",
            "",
            &[("username", "b"), ("password", "short"), ("password_repeat", "other")],
        ),
        page("settings", "/settings", "ben", Path("/settings")),
        page("authorizations", "/settings/authorizations", "ben", Path("/settings/authorizations")),
        page("authorizations-none", "/settings/authorizations", NEWCOMER, Path("/settings/authorizations")),
    ]
}

fn apps() -> Vec<Page> {
    use At::{Application, Path};
    const APPS: &str = "/settings/apps";
    const ONE: &str = "/settings/apps/{id}";
    let application = |name, who, title| page(name, ONE, who, Application(title));
    let good = [("name", "One more"), ("redirect_uri", "https://more.example/cb"), ("description", "One too many.")];
    vec![
        page("apps-none", APPS, NEWCOMER, Path(APPS)),
        page("apps", APPS, "ben", Path(APPS)),
        page("apps-with-tokens", APPS, "cleo", Path(APPS)),
        page("apps-with-dead-tokens", APPS, "joe", Path(APPS)),
        page("apps-refused", APPS, NEWCOMER, Path(APPS)).sent(
            422,
            ANY_FORM,
            APPS,
            &[("purpose", "web"), ("name", ""), ("redirect_uri", "http://plain.example/cb#x"), ("website", "nonsense")],
        ),
        page("apps-too-many", APPS, "ben", Path(APPS)).sent(429, ANY_FORM, APPS, &good),
        page("apps-new-token", APPS, "cleo", Path(APPS)).sent(200, "form[action$='/regenerate']", "", &[]).once(),
        application("application-under-review", "ben", "Comment Lens"),
        application("application-overdue", "finn", "Weekly Statistics"),
        application("application-claimed", "hana", "Moodboard"),
        application("application-signed", "gus", "Translator"),
        application("application-appealed", "gus", "Karma Garden"),
        application("application-resubmitted", "dara", "Archive Search"),
        application("application-changes-requested", "ben", "Autopost"),
        application("application-approved", "cleo", "Front Page Digest"),
        application("application-approved-personal", "cleo", "Nightly backup"),
        application("application-approved-with-change", "dara", "Pocket Reader"),
        application("application-rotated", "joe", "Chat Bridge"),
        application("application-denied", "finn", "Vote Counter"),
        application("application-suspended", "hana", "Image Mirror"),
        application("application-revoked", "ivan", "Profile Lens"),
        application("application-withdrawn", "ivan", "Front page widget"),
        application("application-edit-refused", "ben", "Comment Lens").sent(
            422,
            ANY_FORM,
            "+/edit",
            &[("name", ""), ("redirect_uri", "nonsense")],
        ),
        application("application-appeal-refused", "finn", "Vote Counter").sent(
            422,
            ANY_FORM,
            "+/appeal",
            &[("text", " ")],
        ),
        application("application-edit-overtaken", "ben", "Comment Lens").sent(
            409,
            ANY_FORM,
            "+/edit",
            &[
                ("revision", "1"),
                ("name", "Comment Lens"),
                ("redirect_uri", "https://lens.example/cb"),
                ("description", "What I typed while somebody else changed it."),
                ("scope", "read"),
            ],
        ),
        application("application-too-late", "ivan", "Front page widget").sent(409, ANY_FORM, "+/rotate-client-id", &[]),
    ]
}

fn inbox() -> Vec<Page> {
    use At::{Notification, Path};
    let message = |name, who, title| page(name, "/inbox/{id}", who, Notification(title));
    vec![
        page("inbox-empty", "/inbox", NEWCOMER, Path("/inbox")),
        page("inbox", "/inbox", "ben", Path("/inbox")),
        page("inbox-write", "/inbox", "ben", Path("/inbox?to=olga&title=Re: Chains")),
        page("inbox-write-refused", "/inbox", "ben", Path("/inbox")).sent(
            422,
            ANY_FORM,
            "/inbox",
            &[("to", "nobody-here"), ("title", ""), ("body", "What I typed.")],
        ),
        message("message-of-a-member", "ben", "Chains on the pass"),
        message("message-mention", "gus", "mentioned you"),
        message("message-reply", "ben", "dara replied to you"),
        message("message-denied", "finn", "was denied"),
        message("message-changes-requested", "ben", "needs changes"),
        message("message-access", "ben", "You authorized"),
        message("message-revealed", "cleo", "“Front Page Digest” was approved"),
        message("message-expired", "joe", "“Feed bridge” was approved"),
        message("message-held", "ben", "“Quiz bot” was approved"),
        message("message-reveal", "ben", "“Quiz bot” was approved").sent(200, ANY_FORM, "+/reveal", &[]).once(),
        message("message-revealed-too-late", "ben", "“Quiz bot” was approved").sent(409, ANY_FORM, "+/reveal", &[]),
    ]
}

fn consent() -> Vec<Page> {
    use At::{Consent, Path};
    const DOOR: &str = "/authorize";
    vec![
        page("consent", DOOR, "joe", Consent("Front Page Digest", "&state=x")),
        page("consent-native", DOOR, "cleo", Consent("Pocket Reader", "")),
        page("consent-after-log-in", DOOR, NOBODY, Consent("Front Page Digest", "")),
        page("consent-suspended", DOOR, "joe", Consent("Image Mirror", "")).with_status(403),
        page("consent-unknown", DOOR, "joe", Path("/authorize?client_id=nobody")).with_status(400),
        page("consent-other-address", DOOR, "joe", Consent("Front Page Digest", "&redirect_uri=https://evil.example/"))
            .with_status(400),
        page("consent-ended", DOOR, "joe", Consent("Front Page Digest", "")).sent(
            403,
            "form[action$='/authorize']",
            "",
            &[("nonce", "nonsense"), ("decision", "authorize")],
        ),
    ]
}

fn guides() -> Vec<Page> {
    use At::Path;
    vec![
        page("guide", "/api", NOBODY, Path("/api")),
        page("guide-signed-in", "/api", "ben", Path("/api")),
        page("docs", "/docs", NOBODY, Path("/docs")),
        page("docs-applications", "/docs/{group}", NOBODY, Path("/docs/applications")),
        page("docs-who-am-i", "/docs/{group}", "ben", Path("/docs/who-am-i")),
    ]
}

fn reviews() -> Vec<Page> {
    use At::{Path, Review};
    let list = |name, path| page(name, "/admin/apps", "rob", Path(path));
    let review = |name, who, title| page(name, "/admin/apps/{id}", who, Review(title));
    vec![
        page("admin", "/admin", "rob", Path("/admin")),
        page("admin-as-administrator", "/admin", "ada", Path("/admin")),
        list("queue", "/admin/apps"),
        list("queue-under-review", "/admin/apps?state=under_review"),
        list("queue-changes-requested", "/admin/apps?state=changes_requested"),
        list("queue-approved", "/admin/apps?state=approved"),
        list("queue-denied", "/admin/apps?state=denied"),
        list("queue-suspended", "/admin/apps?state=suspended"),
        list("queue-revoked", "/admin/apps?state=revoked"),
        list("queue-withdrawn", "/admin/apps?state=withdrawn"),
        list("queue-yours", "/admin/apps?claimed_by=me"),
        list("queue-all", "/admin/apps?state=all"),
        list("queue-overdue", "/admin/apps?overdue=true"),
        list("queue-empty", "/admin/apps?owner=newcomer"),
        review("review", "rob", "Comment Lens"),
        review("review-overdue", "rob", "Weekly Statistics"),
        review("review-claimed", "mia", "Moodboard"),
        review("review-claimed-by-me", "rob", "Moodboard"),
        review("review-signed", "mia", "Translator"),
        review("review-signed-by-me", "rob", "Translator"),
        review("review-appeal", "mia", "Karma Garden"),
        review("review-own-denial", "rob", "Karma Garden"),
        review("review-resubmitted", "rob", "Archive Search"),
        review("review-change", "rob", "Pocket Reader"),
        review("review-changes-requested", "rob", "Autopost"),
        review("review-approved", "rob", "Front Page Digest"),
        review("review-denied", "rob", "Vote Counter"),
        review("review-suspended", "rob", "Image Mirror"),
        review("review-revoked", "rob", "Profile Lens"),
        review("review-withdrawn", "rob", "Front page widget"),
        review("review-own", "mia", "Reviewers' own"),
    ]
}

fn decisions() -> Vec<Page> {
    use At::Review;
    let decide = |name, status, to, fields: &[(&str, &str)]| {
        page(name, "/admin/apps/{id}", "rob", Review("Comment Lens")).sent(status, ANY_FORM, to, fields)
    };
    vec![
        decide("decision-without-reason", 422, "+/deny", &[("revision", "2"), ("reason_code", ""), ("reason", "")]),
        decide(
            "decision-on-an-old-revision",
            409,
            "+/deny",
            &[("revision", "1"), ("reason_code", "other"), ("reason", "What I typed stays.")],
        ),
        decide(
            "decision-not-possible",
            409,
            "+/reinstate",
            &[("revision", "2"), ("reason_code", "other"), ("reason", "What I typed.")],
        ),
    ]
}

fn audit() -> Vec<Page> {
    use At::Path;
    const LIST: &str = "/admin/audit";
    const EVENT: &str = "/admin/audit/{id}";
    let list = |name, path| page(name, LIST, "otto", Path(path));
    let event = |name, path| page(name, EVENT, "otto", Path(path));
    vec![
        page("admin-as-auditor", "/admin", "otto", Path("/admin")),
        page("admin-as-operator", "/admin", "olga", Path("/admin")),
        list("audit", LIST),
        list("audit-of-a-quarter", "/admin/audit?weeks=13"),
        list("audit-filtered", "/admin/audit?actor=rob&since=2020-01-01"),
        list("audit-older", "/admin/audit?after=60"),
        list("audit-nothing", "/admin/audit?user=newcomer&type=ApplicationApproved"),
        list("audit-refused", "/admin/audit?type=Nonsense").with_status(400),
        event("audit-event", "/admin/audit/100"),
        event("audit-first-event", "/admin/audit/1"),
        page("audit-no-event", ERROR, "otto", Path("/admin/audit/1000000")).with_status(404),
        page("operations", "/admin/operations", "olga", Path("/admin/operations")),
    ]
}

fn errors() -> Vec<Page> {
    use At::{Path, Post};
    let error = |name, who, path, status| page(name, ERROR, who, Path(path)).with_status(status);
    let sends = |name, status, to, fields: &[(&str, &str)]| {
        page(name, ERROR, "ben", Path("/settings")).sent(status, ANY_FORM, to, fields)
    };
    vec![
        error("error-400", NOBODY, "/?sort=sideways", 400),
        error("error-400-queue", "rob", "/admin/apps?state=nonsense", 400),
        error("error-403", "ben", "/admin/apps", 403),
        error("error-404", NOBODY, "/nowhere", 404),
        error("error-404-post", "ben", "/posts/00000000-0000-7000-8000-000000000000", 404),
        error("error-404-link", NOBODY, "/setup?token=ended", 404),
        error("error-405", NOBODY, "/logout", 405),
        sends("error-403-form", 403, "/posts", &[("csrf_token", "nonsense")]),
        sends("error-413", 413, "/posts", &[("body", TOO_LONG)]),
        sends("error-415", 415, "/posts", &[("enctype", "multipart/form-data")]),
        page("error-422", ERROR, "ben", Post("Soup for twelve, one pot")).sent(
            422,
            ANY_FORM,
            "+/votes",
            &[("direction", "sideways")],
        ),
        page("error-429", ERROR, "olga", Path("/inbox")).sent(
            429,
            ANY_FORM,
            "/inbox",
            &[("to", "ben"), ("title", "Once more"), ("body", "One more than the site takes.")],
        ),
    ]
}
