//! A site whose members put into every field the worst that it takes: HTML and scripts, words without an end, letters that
//! run the other way, emoji, piles of accents, pictures from elsewhere, discussions without a bottom, texts and histories
//! without an end. And its pages.

use countersign::app::{
    applications::Request,
    authorizations::{ConsentPage, ConsentRequest},
    reviews::{Verb, Verdict},
};
use countersign_events::{
    account::Role,
    ids::{ApplicationId, UserId},
};

use crate::{
    page_list::{ANY_FORM, At, ERROR, Page, ascii, page},
    served_app::ServedApp,
    support::by,
};

/// An owner and a reviewer with names as wide as they come.
const OWNER: &str = "WWWWWWWWWWWWWWWWWWWWWWWWW";
const REVIEWER: &str = "mmmmmmmmmmmmmmmmmmmmmmmmm";
/// Whoever looks on.
const BEN: &str = "ben";
pub const STAFF: &str = "ada";

const SCRIPT: &str = "<script>alert(1)</script><img src=x onerror=a()>";
const WIDE: &str = "WWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWW";
const ARABIC: &str = "قارئ الصفحة الأولى (1) للجميع";
const EMOJI: &str = "🧑🏽🚀🇩🇪🏴‼️🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥";
const ACCENTS: &str = "Z̷̡̢̛̛͖̱̺̦̙̖̞̼̜̰̳̝̟̲̪̈́̀̇̐̓̊̈́̋a̴l̵g̶o̷";
const NATIVE: &str = "Private scheme";
const HOST: &str = "Host without an end";

const WIDE_TITLE: &str = ascii(&[b'W'; 300]);
const ARABIC_TITLE: &str = "هل رأى أحد منكم قفلا يفتح نفسه تحت المطر؟ (2 من 3) https://example.org/";
/// Titles of messages: those of posts are taken.
const WIDE_LETTER: &str = ascii(&[b'M'; 300]);
const ARABIC_LETTER: &str = "رسالة: هل رأى أحد منكم قفلا يفتح نفسه؟ (1) [x](https://evil.example/)";
const SCRIPT_LETTER: &str = "\"></title><script>alert(2)</script> & 'too' <b onclick=alert(2)>";
const ACCENTS_TITLE: &str = "Ḧ̶̢̛̹̠͚̲͇́̀̏̊͗è̴̡̛̛̱̗̫̤̝̑̓̈́̏ l̵l̵o̷, everybody";
const LONG_TITLE: &str = "ვის უნახავს წვიმაში საკეტი, რომელიც თავისით იხსნება?";
const EMOJI_TITLE: &str =
    "🏔️❄️ 🧑🏽🚀🇩🇪🏴‼️ 🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥";
const SCRIPT_TITLE: &str = "</title><script>alert(1)</script> & \"quotes\" 'too' <b onclick=alert(1)>";

/// Markdown with everything that should not come through, and much that is hard to fit in.
fn prose() -> String {
    let wide = "W".repeat(400);
    let table = format!("| a | b | c |\n|---|---|---|\n| {wide} | {wide} | {wide} |");
    format!(
        "<script>alert(1)</script> <img src=\"https://pictures.example/x.png\" onerror=alert(1)>\n\n\
         ![a picture](https://pictures.example/y.png) ![](https://pictures.example/z.png \"{wide}\")\n\n\
         [a link](https://evil.example/) [another](javascript:alert(1)) [wide](https://evil.example/{wide})\n\n\
         &#x202E;this runs the other way &#x2067;and this &#x200F;too\n\n\
         {wide}\n\n# A heading\n\n###### A small one\n\n    {wide}\n\n`{wide}`\n\n{table}\n\n\
         > > > > > > > > > > > > {wide}\n\n- a\n  - b\n    - c\n      - d\n        - e\n          - {wide}\n\n\
         1. {ARABIC_TITLE}\n2. {EMOJI}\n\n---\n\n- [ ] a task\n- [x] another\n\n~~over~~ **bold** *aslant*"
    )
}

/// 4,096 characters in one.
fn long_uri() -> String {
    let start = "https://app.example/";
    format!("{start}{}", "a".repeat(4_096 - start.len()))
}

fn long_host() -> String {
    let label = "w".repeat(60);
    format!("https://{label}.{label}.{label}.{label}.example/cb")
}

/// What the owner types, with the worst in every field but those that are named.
fn request(name: &str, purpose: &str, redirect_uri: &str) -> Request {
    let start = "https://site.example/";
    Request {
        purpose: purpose.to_owned(),
        name: name.to_owned(),
        description: format!("<h1>{}</h1> {ARABIC} {EMOJI}", "W".repeat(150)),
        website: format!("{start}{}", "b".repeat(256 - start.len())),
        redirect_uri: redirect_uri.to_owned(),
        scopes: vec!["read identity notifications messages write vote".to_owned()],
    }
}

struct Filling<'a> {
    served: &'a ServedApp,
    owner: UserId,
    reviewer: UserId,
}

/// The site, filled.
pub async fn start() -> ServedApp {
    let settings = [
        ("SITE_NAME", "<b>Acme</b> & \"Sons\""),
        ("LIMITS_OPEN_REQUESTS", "100"),
        ("LIMITS_LOGIN_PER_MINUTE", "1000"),
        ("REVIEW_TARGET_DAYS", "1"),
    ];
    let served = ServedApp::start_with(&settings).await;
    let owner = served.site.given_member(OWNER, &[]).await;
    let reviewer = served.site.given_member(REVIEWER, &[Role::Reviewer]).await;
    let ben = served.site.given_member(BEN, &[]).await;
    served.site.given_member(STAFF, &[Role::Admin]).await;
    let filling = Filling { served: &served, owner, reviewer };
    filling.board(ben).await;
    filling.applications().await;
    filling.consent(ben, SCRIPT).await;
    filling.consent(ben, HOST).await;
    filling.consent(reviewer, NATIVE).await;
    let app = &served.site.app;
    for title in [SCRIPT_LETTER, WIDE_LETTER, ARABIC_LETTER] {
        app.send_message(&by(owner), owner, BEN, title, &prose()).await.expect("it is sent");
    }
    served.site.clock.advance(chrono::Duration::days(3));
    served.site.settle().await;
    served
}

impl Filling<'_> {
    async fn board(&self, ben: UserId) {
        let (app, owner) = (&self.served.site.app, self.owner);
        let long = "წვიმაში საკეტი თავისით იხსნება. ".repeat(624);
        app.publish(&by(owner), owner, LONG_TITLE, "", &long).await.expect("it is published");
        let url = format!("https://evil.example/{}", "a".repeat(2_000));
        for (title, url) in [(WIDE_TITLE, url.as_str()), (ARABIC_TITLE, ""), (EMOJI_TITLE, ""), (ACCENTS_TITLE, "")] {
            app.publish(&by(owner), owner, title, url, "").await.expect("it is published");
        }
        let post = app.publish(&by(owner), owner, SCRIPT_TITLE, "", &prose()).await.expect("it is published").answer;
        app.comment(&by(ben), ben, post, None, &prose()).await.expect("it is said");
        let mut above = None;
        for depth in 0..30 {
            let text = format!("{depth}: @{BEN} {WIDE}");
            above = Some(app.comment(&by(owner), owner, post, above, &text).await.expect("it is said").answer);
        }
    }

    async fn ask(&self, name: &str, purpose: &str, redirect_uri: &str) -> ApplicationId {
        let app = &self.served.site.app;
        let asked = app.asked(&request(name, purpose, redirect_uri)).expect("it fits");
        app.request_application(&by(self.owner), self.owner, asked).await.expect("it can be asked for").answer
    }

    async fn decide(&self, id: ApplicationId, verb: Verb) {
        let app = &self.served.site.app;
        let reason = format!("<script>alert(1)</script> {ARABIC} {}", "W".repeat(1_900));
        let revision = app.reviewed_application(id).await.expect("it is there").revision;
        let verdict = Verdict { revision, reason_code: "other".to_owned(), reason };
        let decided = app.decide_application(&by(self.reviewer), self.reviewer, id, verb, &verdict).await;
        decided.expect("it can be decided");
    }

    async fn applications(&self) {
        let (app, owner) = (&self.served.site.app, self.owner);
        let script = self.ask(SCRIPT, "web", "https://app.example/cb?<b>").await;
        self.decide(script, Verb::Approve).await;
        let ten: Vec<_> = (0..10).map(|at| format!("https://app{at}.example/{}", "c".repeat(380))).collect();
        let asked = app.asked(&request("Another <name>", "web", &ten.join("\n"))).expect("it fits");
        app.edit_application(&by(owner), owner, script, asked).await.expect("it can be proposed");
        for _ in 0..22 {
            // No two are of one instant.
            self.served.site.clock.advance(chrono::Duration::seconds(1));
            let newest = app.my_tokens(owner).await.expect("tokens").remove(0).row.token_id;
            app.regenerate_token(&by(owner), owner, newest).await.expect("another");
        }

        let wide = self.ask(WIDE, "web", &long_uri()).await;
        self.decide(wide, Verb::Claim).await;
        let asked = app.asked(&request(WIDE, "web", "https://app.example/short")).expect("it fits");
        app.edit_application(&by(owner), owner, wide, asked).await.expect("it can be edited");
        let asked = app.asked(&request(WIDE, "web", &long_uri())).expect("it fits");
        app.edit_application(&by(owner), owner, wide, asked).await.expect("it can be edited");

        let denied = self.ask(ARABIC, "web", &long_uri()).await;
        self.decide(denied, Verb::Deny).await;
        let asked_back = self.ask(EMOJI, "personal", "").await;
        for _ in 0..14 {
            self.decide(asked_back, Verb::RequestChanges).await;
            let asked = app.asked(&request(EMOJI, "personal", "")).expect("it fits");
            app.resubmit_application(&by(owner), owner, asked_back, asked).await.expect("it can be resubmitted");
        }
        self.decide(asked_back, Verb::RequestChanges).await;
        let suspended = self.ask(ACCENTS, "web", &long_uri()).await;
        self.decide(suspended, Verb::Approve).await;
        self.decide(suspended, Verb::Suspend).await;
        let native = format!("{}.app:/cb", "org.example.".repeat(20).trim_end_matches('.'));
        let native = self.ask(NATIVE, "native", &native).await;
        self.decide(native, Verb::Approve).await;
        let host = self.ask(HOST, "web", &long_host()).await;
        self.decide(host, Verb::Approve).await;
        let appealed = self.ask("Appealed", "web", &long_uri()).await;
        self.decide(appealed, Verb::Deny).await;
        app.appeal(&by(owner), owner, appealed, &"W".repeat(2_000)).await.expect("it can be appealed against");
    }

    async fn consent(&self, user: UserId, name: &str) {
        let app = &self.served.site.app;
        let applications = app.my_applications(self.owner).await.expect("they are there");
        let client = applications.iter().find(|row| row.name == name).and_then(|row| row.client_id.as_ref());
        let client_id = client.expect("it was approved").to_string();
        let request = ConsentRequest { client_id, ..ConsentRequest::default() };
        let ConsentPage::Ask(consent) = app.consent_page(&request).await.expect("a page") else { panic!("it asks") };
        let browser = app.begin_session(user).await.expect("a session");
        let signed_in = app.signed_in(&browser).await.expect("a vault").expect("signed in");
        let nonce = app.consent_nonce(&signed_in, &consent);
        app.authorize(&by(user), &signed_in, &consent, &nonce).await.expect("it is authorized");
    }
}

/// The pages on which something of that is shown.
pub fn pages() -> Vec<Page> {
    use At::{Application, Consent, Event, Notification, Path, Post, Review};
    let post = |name, who, title| page(name, "/posts/{id}", who, Post(title));
    let application = |name, title| page(name, "/settings/apps/{id}", OWNER, Application(title));
    let review = |name, title| page(name, "/admin/apps/{id}", REVIEWER, Review(title));
    let consent = |name, title| page(name, "/authorize", STAFF, Consent(title, "&state=%3Cb%3E%22'"));
    let message = |name, title| page(name, "/inbox/{id}", BEN, Notification(title));
    vec![
        page("hostile-front", "/", "", Path("/?sort=new")),
        page("hostile-front-signed-in", "/", OWNER, Path("/?sort=new")),
        page("hostile-front-refused", "/", OWNER, Path("/")).sent(
            422,
            ANY_FORM,
            "/posts",
            &[("title", "\u{202e}over"), ("url", SCRIPT_TITLE), ("body", "</textarea><script>alert(1)</script>")],
        ),
        post("hostile-post-script", BEN, SCRIPT_TITLE),
        post("hostile-post-wide", "", WIDE_TITLE),
        post("hostile-post-arabic", "", ARABIC_TITLE),
        post("hostile-post-emoji", "", EMOJI_TITLE),
        post("hostile-post-accents", "", ACCENTS_TITLE),
        post("hostile-post-long", "", LONG_TITLE),
        page("hostile-login", "/login", "", Path("/login?return_to=/%22%3E%3Cscript%3E&username=%22%3E%3Cscript%3E")),
        page("hostile-signup-refused", "/signup", "", Path("/signup")).sent(
            422,
            "main form",
            "",
            &[("username", "\"><script>alert(1)"), ("password", "short"), ("password_repeat", "x")],
        ),
        page("hostile-settings", "/settings", OWNER, Path("/settings")),
        page("hostile-apps", "/settings/apps", OWNER, Path("/settings/apps")),
        page("hostile-apps-ended", "/settings/apps", OWNER, Path("/settings/apps?ended=2")),
        page("hostile-apps-refused", "/settings/apps", OWNER, Path("/settings/apps")).sent(
            422,
            ANY_FORM,
            "/settings/apps",
            &[
                ("name", ascii(&[b'W'; 400])),
                ("redirect_uri", ascii(&[b'W'; 5_000])),
                ("description", "</textarea><script>alert(1)</script>"),
                ("website", "\"><script>alert(1)</script>"),
            ],
        ),
        application("hostile-application-approved", SCRIPT),
        application("hostile-application-under-review", WIDE),
        application("hostile-application-denied", ARABIC),
        application("hostile-application-changes-requested", EMOJI),
        application("hostile-application-suspended", ACCENTS),
        application("hostile-application-appealed", "Appealed"),
        page("hostile-authorizations", "/settings/authorizations", BEN, Path("/settings/authorizations")),
        page("hostile-inbox", "/inbox", BEN, Path("/inbox")),
        message("hostile-message-script", SCRIPT_LETTER),
        message("hostile-message-wide", WIDE_LETTER),
        message("hostile-message-arabic", ARABIC_LETTER),
        page("hostile-message-decision", "/inbox/{id}", OWNER, Notification("needs changes")),
        consent("hostile-consent-script", SCRIPT),
        consent("hostile-consent-host", HOST),
        consent("hostile-consent-native", NATIVE),
        page(
            "hostile-consent-unknown",
            "/authorize",
            BEN,
            Path("/authorize?client_id=%3Cscript%3E&redirect_uri=%22%3E"),
        )
        .with_status(400),
        page("hostile-guide", "/api", "", Path("/api")),
        page("hostile-queue", "/admin/apps", REVIEWER, Path("/admin/apps")),
        page("hostile-queue-all", "/admin/apps", REVIEWER, Path("/admin/apps?state=approved")),
        page("hostile-audit", "/admin/audit", STAFF, Path("/admin/audit")),
        page("hostile-audit-decisions", "/admin/audit", STAFF, Path("/admin/audit?type=ApplicationDenied")),
        page("hostile-audit-changes", "/admin/audit", STAFF, Path("/admin/audit?type=ApplicationEdited")),
        page("hostile-audit-refused", "/admin/audit", STAFF, Path("/admin/audit?user=%22%3E%3Cscript%3Ealert(1)"))
            .with_status(400),
        // The long one was published first.
        page("hostile-audit-event", "/admin/audit/{id}", STAFF, Event("PostPublished")),
        page("hostile-operations", "/admin/operations", STAFF, Path("/admin/operations")),
        review("hostile-review-change", SCRIPT),
        review("hostile-review-wide", WIDE),
        review("hostile-review-denied", ARABIC),
        review("hostile-review-changes-requested", EMOJI),
        review("hostile-review-suspended", ACCENTS),
        review("hostile-review-appeal", "Appealed"),
        review("hostile-decision-on-an-old-revision", WIDE).sent(
            409,
            ANY_FORM,
            "+/deny",
            &[("revision", "1"), ("reason_code", "other"), ("reason", "</textarea><script>alert(1)</script>")],
        ),
        page("hostile-error", ERROR, "", Path("/%3Cscript%3Ealert(1)%3C/script%3E")).with_status(404),
    ]
}
