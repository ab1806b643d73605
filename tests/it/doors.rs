//! The table of doors: a golden file lists each with who may call it, and each is tried by everybody there is. A new
//! door is tested by standing in the table.

use std::{fmt::Write as _, path::Path};

use axum::{
    body::Body,
    http::{Method, Request, StatusCode, header},
};
use countersign::{
    app::Caller,
    web::{
        self,
        doors::{Door, Who},
    },
};
use countersign_events::{
    account::Role,
    ids::UserId,
    recorded::Actor,
    scope::{Scope, ScopeSet},
};

use crate::{
    browser_double::{Answer, Browser},
    checks_scene::Scene,
};

const GOLDEN: &str = "tests/it/routes.txt";

#[test]
fn the_golden_file_lists_every_door_with_who_may_call_it() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(GOLDEN);
    let mut listed = String::new();
    for Door { method, path, who, .. } in web::doors() {
        writeln!(listed, "{:<6} {path:<42} {who}", method.as_str()).expect("a string takes text");
    }
    if std::env::var_os("COUNTERSIGN_GOLDEN").is_some_and(|value| value == "write") {
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
        "{GOLDEN} and the table in src/web.rs differ (COUNTERSIGN_GOLDEN=write writes it anew, for its diff to be \
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
            (_, With::Nothing) => false,
            (Who::AnyToken, with) => with != With::Session,
            (Who::Session, with) => with == With::Session,
            (Who::SessionOf(role), with) => with == With::Session && self.holds(role),
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
    door.path.replace("{id}", &id).replace("{verb}", "approve")
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
        for door in web::doors() {
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
