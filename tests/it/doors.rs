//! The table of doors: a golden file lists each with who may call it, and each is tried by everybody there is. A new
//! door is tested by standing in the table.

use std::{collections::BTreeSet, fmt::Write as _, path::Path};

use axum::{
    body::Body,
    http::{Method, Request, StatusCode, header},
};
use countersign::{
    app::Caller,
    web::{
        self,
        api::about::GROUPS,
        codes::CODES,
        document::Document,
        doors::{Door, Who},
    },
};
use countersign_events::{
    account::Role,
    ids::UserId,
    recorded::Actor,
    scope::{Scope, ScopeSet},
};

use serde_json::Value;

use crate::{
    browser_double::{Answer, Browser},
    checks_scene::Scene,
    support::TestApp,
};

const GOLDEN: &str = "tests/it/routes.txt";

#[test]
fn the_golden_file_lists_every_door_with_who_may_call_it() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(GOLDEN);
    let mut listed = String::new();
    for Door { method, path, who, .. } in web::doors(&Document::default()) {
        writeln!(listed, "{:<6} {path:<42} {who}", method.as_str()).expect("a string takes text");
    }
    if std::env::var_os("GOLDEN").is_some_and(|value| value == "write") {
        std::fs::write(&path, &listed).expect("the golden file can be written");
    }
    let golden = std::fs::read_to_string(&path).expect("the golden file");
    let differing: Vec<_> = golden
        .lines()
        .filter(|line| !listed.lines().any(|door| door == *line))
        .chain(listed.lines().filter(|door| !golden.lines().any(|line| line == *door)))
        .collect();
    assert!(
        golden == listed,
        "{GOLDEN} and the table in src/web.rs differ (GOLDEN=write writes it anew, for its diff to be \
         read):\n{}",
        differing.join("\n")
    );
}

/// What somebody comes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum With {
    Nothing,
    Session,
    Token(Scope),
}

/// Somebody, with what they come with.
struct Comer {
    name: String,
    roles: Vec<Role>,
    with: With,
    owner: bool,
    browser: Browser,
    headers: Vec<(&'static str, String)>,
}

/// What a door says to somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Opens,
    Refuses,
    /// To them there is no such thing.
    Hides,
}

impl Comer {
    fn holds(&self, role: Role) -> bool {
        self.roles.contains(&role) || self.roles.contains(&Role::Admin)
    }

    /// What the table says, by the words of interface.md s3.
    fn expects(&self, who: Who) -> Expected {
        let opens = match (who, self.with) {
            (Who::Anyone, _) => true,
            (Who::AnyoneOrToken(scope), with) => !matches!(with, With::Token(other) if other != scope),
            // None of them comes from this machine, as far as the site can tell.
            (Who::Watcher, _) | (_, With::Nothing) => false,
            (Who::AnyToken, with) => with != With::Session,
            (Who::Session, with) => with == With::Session,
            (Who::SessionOf(role), with) => with == With::Session && self.holds(role),
            (Who::SessionOfStaff, with) => {
                with == With::Session
                    && [Role::Reviewer, Role::Auditor, Role::Operator].iter().any(|role| self.holds(*role))
            }
            (Who::With(scope), with) => matches!(with, With::Session) || with == With::Token(scope),
            (Who::Holder(role, scope), with) => {
                self.holds(role) && (with == With::Session || with == With::Token(scope))
            }
            (Who::OwnerOrStaff, With::Session) => {
                if !(self.owner || self.holds(Role::Reviewer) || self.holds(Role::Auditor)) {
                    return Expected::Hides;
                }
                true
            }
            (Who::OwnerOrStaff, With::Token(scope)) => {
                scope == Scope::Review && self.holds(Role::Reviewer)
                    || scope == Scope::Audit && self.holds(Role::Auditor)
            }
        };
        if opens { Expected::Opens } else { Expected::Refuses }
    }

    async fn knock(&mut self, door: &Door, uri: &str) -> Answer {
        let mut request = Request::builder().method(door.method.clone()).uri(uri);
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let body = if door.api && door.method != Method::GET {
            request = request.header(header::CONTENT_TYPE, "application/json");
            Body::from("{}")
        } else {
            Body::empty()
        };
        self.browser.send(request.body(body).expect("a request")).await
    }
}

async fn in_a_browser(scene: &Scene, name: &str, user: UserId, roles: &[Role]) -> Comer {
    let mut browser = scene.browser_of(user).await;
    let csrf = browser.get("/settings/apps").await.hidden("csrf_token");
    Comer {
        name: format!("the session of {name}"),
        roles: roles.to_vec(),
        with: With::Session,
        owner: user == scene.cleo,
        browser,
        headers: vec![("x-csrf-token", csrf)],
    }
}

async fn with_a_token(scene: &Scene, name: &str, user: UserId, roles: &[Role], scope: Scope) -> Comer {
    let caller = Caller { actor: Actor::Cli("test".to_owned()), ..Caller::system() };
    let scopes: ScopeSet = [scope].into_iter().collect();
    let issued = scene.site.app.issue_token(&caller, user, scopes, None).await.expect("a token");
    Comer {
        name: format!("a token of {name} with {scope}"),
        roles: roles.to_vec(),
        with: With::Token(scope),
        owner: user == scene.cleo,
        browser: scene.stranger(),
        headers: vec![("authorization", issued.answer.1)],
    }
}

/// Nobody; the session of a member of each kind; a token of each scope, of a member and of those whose role it needs.
async fn everybody(scene: &Scene) -> Vec<Comer> {
    let nobody = Comer {
        name: "nobody".to_owned(),
        roles: vec![],
        with: With::Nothing,
        owner: false,
        browser: scene.stranger(),
        headers: vec![],
    };
    let mut comers = vec![nobody];
    comers.push(in_a_browser(scene, "the owner", scene.cleo, &[]).await);
    comers.push(in_a_browser(scene, "a member", scene.ben, &[]).await);
    for role in Role::ALL {
        let user = scene.site.given_member(&format!("of-{role}"), &[role]).await;
        comers.push(in_a_browser(scene, role.as_str(), user, &[role]).await);
        if role == Role::Admin {
            for scope in Scope::ALL {
                comers.push(with_a_token(scene, "an admin", user, &[role], scope).await);
            }
        }
    }
    for scope in ScopeSet::grantable().iter() {
        comers.push(with_a_token(scene, "the owner", scene.cleo, &[], scope).await);
    }
    // A session takes back what its member authorized, tokens with it.
    comers.sort_by_key(|comer| comer.with == With::Session);
    comers
}

/// The door's address, where it needs one, of a thing that is there.
fn address(scene: &Scene, door: &Door) -> String {
    let id = if door.path.contains("applications") || door.path.contains("/apps/") || door.path.contains("review") {
        scene.application.to_string()
    } else {
        UserId(scene.site.app.world.uuid()).to_string()
    };
    door.path.replace("{id}", &id).replace("{verb}", "approve").replace("{group}", "audit")
}

fn says(door: &Door, answer: &Answer) -> Expected {
    let to_log_in = answer.location().starts_with("/login?");
    match answer.status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Expected::Refuses,
        StatusCode::SEE_OTHER if to_log_in && !door.api => Expected::Refuses,
        StatusCode::NOT_FOUND if door.who == Who::OwnerOrStaff => Expected::Hides,
        _ => Expected::Opens,
    }
}

#[tokio::test]
async fn each_door_opens_to_exactly_those_that_the_table_names() {
    let scene = Scene::start_with(&[("LIMITS_API_PER_MINUTE", "100000")]).await;
    let mut tried = 0;
    let mut wrong = vec![];
    for comer in &mut everybody(&scene).await {
        for door in web::doors(&Document::default()) {
            // A page takes no token: with one, nobody is signed in.
            if !door.api && matches!(comer.with, With::Token(_)) && door.path != "/" {
                continue;
            }
            let answer = comer.knock(&door, &address(&scene, &door)).await;
            let (expected, said) = (comer.expects(door.who), says(&door, &answer));
            if expected != said {
                let Door { method, path, who, .. } = &door;
                wrong.push(format!("{method} {path} ({who}): {} got {} {}", comer.name, answer.status, answer.body));
            }
            tried += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(tried > 500, "{tried} tries are not everybody at every door");
}

async fn document(settings: &[(&str, &str)], path: &str) -> Value {
    let site = TestApp::start_with(settings).await;
    let answer = Browser::new(&site.app).get(path).await;
    assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, "application/json"));
    answer.json()
}

fn operations(document: &Value) -> Vec<(String, Value)> {
    let paths = document["paths"].as_object().expect("paths");
    let each = paths.iter().flat_map(|(path, item)| {
        let item = item.as_object().expect("methods");
        item.iter().map(move |(method, operation)| (format!("{} {path}", method.to_uppercase()), operation.clone()))
    });
    each.collect()
}

#[tokio::test]
async fn the_document_describes_exactly_the_doors_for_programs() {
    let document = document(&[], "/openapi.json").await;
    let described: BTreeSet<_> = operations(&document).into_iter().map(|(door, _)| door).collect();
    let doors = web::doors(&Document::default());
    let programs = doors.iter().filter(|door| door.sketch.is_some());
    let there: BTreeSet<_> = programs.map(|door| format!("{} {}", door.method, door.path)).collect();
    assert_eq!(described, there, "src/web/api/about.rs has words for each");
    let in_words = GROUPS.iter().flat_map(|group| group.doors).map(|about| about.door.to_owned()).collect();
    assert_eq!(there, in_words);
    assert!(doors.iter().all(|door| door.sketch.is_some() || !door.api && !door.path.starts_with("/api/")));
}

#[tokio::test]
async fn every_operation_tells_who_may_call_it_and_how_it_fails() {
    let document = document(&[], "/openapi.json").await;
    for door in web::doors(&Document::default()).iter().filter(|door| door.sketch.is_some()) {
        let Door { method, path, who, .. } = door;
        let operation = &document["paths"][path][method.as_str().to_lowercase()];
        assert_eq!(operation["x-who"], who.to_string());
        let answers = operation["responses"].as_object().expect("answers");
        let mut wanted = vec!["400", "401", "429", "500", "503"];
        if path.contains("{id}") {
            wanted.push("404");
        }
        if operation["requestBody"].is_object() {
            wanted.extend(["413", "415", "422"]);
        }
        if *method != Method::GET {
            wanted.extend(["403", "409", "422"]);
        }
        for status in wanted {
            let told = &answers[status]["content"]["application/problem+json"];
            assert!(told.is_object(), "{method} {path} does not tell of {status}");
        }
        assert!(answers.keys().any(|status| status.starts_with('2')), "{method} {path} has no good answer");
        let ways = operation["security"].as_array().expect("security");
        let takes = |scheme| ways.iter().any(|way| way[scheme].is_array());
        let expected = match who {
            Who::Anyone | Who::Watcher => (false, false),
            Who::AnyoneOrToken(_) | Who::AnyToken => (true, false),
            Who::Session | Who::SessionOf(_) | Who::SessionOfStaff => (false, true),
            Who::With(_) | Who::Holder(..) | Who::OwnerOrStaff => (true, true),
        };
        assert_eq!((takes("bearer"), takes("session")), expected, "{method} {path}");
        assert_eq!(takes("csrf"), expected.1 && *method != Method::GET, "{method} {path}");
    }
}

#[tokio::test]
async fn the_document_names_the_public_url_with_its_path() {
    let document = document(&[("PUBLIC_URL", "http://127.0.0.1:8080/dev")], "/dev/openapi.json").await;
    assert_eq!(document["servers"][0]["url"], "http://127.0.0.1:8080/dev");
}

#[tokio::test]
async fn the_reference_shows_every_door_shape_and_error_it_links_to_on_pages_of_moderate_size() {
    let site = TestApp::start().await;
    let mut browser = Browser::new(&site.app);
    let index = browser.get("/docs").await;
    assert_eq!(index.status, StatusCode::OK);
    let mut pages = vec![("/docs".to_owned(), index.body.clone())];
    for group in GROUPS {
        let path = format!("/docs/{}", group.name.to_lowercase().replace(' ', "-"));
        assert!(index.body.contains(&format!("href=\"{path}\"")), "no way leads to {path}");
        let page = browser.get(&path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        // A line may break at the slashes of a path.
        let text = page.body.replace("<wbr>", "");
        for about in group.doors {
            let (method, path) = about.door.split_once(' ').expect("method and path");
            assert!(text.contains(&format!("<code><b>{method}</b> {path}</code>")), "{}", about.door);
        }
        pages.push((path, page.body));
    }
    for (path, body) in &pages {
        assert!(body.len() <= 50 * 1024, "{path} has {} bytes", body.len());
        assert!(!body.contains("<script>") && body.matches("<script").count() <= 1, "{path} has a script of its own");
        for link in body.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            let (target, fragment) = link.split_once('#').unwrap_or((link, ""));
            let target = if target.is_empty() { path.as_str() } else { target };
            let there = pages.iter().find(|(known, _)| known == target);
            let has_it = |(_, body): &(String, String)| body.contains(&format!("id=\"{fragment}\""));
            assert!(fragment.is_empty() || there.is_none_or(has_it), "{path}: nothing has the id of {link}");
        }
    }
    assert!(pages[2].1.contains("http://127.0.0.1:8080/api/v1/posts"), "the site's own address stands in examples");
    assert_eq!(browser.get("/docs/nothing").await.status, StatusCode::NOT_FOUND);
    assert!(Browser::new(&site.app).get("/api").await.body.contains("href=\"/docs\""));
}

#[test]
fn every_word_of_an_error_in_the_sources_is_in_the_table_of_codes() {
    let mut words = BTreeSet::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web");
    let api = std::fs::read_dir(root.join("api")).expect("a directory").map(|entry| entry.expect("a file").path());
    let files = ["error.rs", "extract.rs", "context.rs", "doors.rs", "api.rs"].iter().map(|name| root.join(name));
    for file in files.chain(api) {
        let text = std::fs::read_to_string(&file).expect("a source");
        for call in ["told(StatusCode::", "hidden(", "conflict(", "bad_request(", "forbidden("] {
            for rest in text.split(call).skip(1) {
                // What comes before the first literal belongs to the same call.
                let Some((before, literal)) = rest.split_once('"') else { continue };
                if !before.contains([';', '{', '}', '|']) {
                    words.insert(literal.split('"').next().expect("a literal ends").to_owned());
                }
            }
        }
    }
    assert!(words.contains("wrong_state") && words.contains("session_required") && words.contains("unavailable"));
    let unknown: Vec<_> = words.iter().filter(|word| !CODES.iter().any(|code| code.word == **word)).collect();
    assert!(unknown.is_empty(), "src/web/codes.rs lacks {unknown:?}");
}
