//! schemathesis over `/openapi.json` against the real program: requests of its own making, fitting the description
//! and not, with a token of each scope and with a session. No answer may be a 5xx, have a status, header, content
//! type or shape that is not described. The seed is fixed, the number of requests bounded.

use std::{fmt::Write as _, process::Command};

use axum::http::{Method, StatusCode};
use countersign_events::scope::Scope;
use serde_json::{Value, json};

use crate::{
    prerequisites::{require_python_module, times},
    running_site::{RunningSite, Visitor},
};

const LIMITS: &[(&str, &str)] = &[
    ("LIMITS_API_PER_MINUTE", "1000000"),
    ("LIMITS_LOGIN_PER_MINUTE", "10000"),
    ("LIMITS_OPEN_REQUESTS", "1000"),
    ("LOG", "warn"),
];
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance";

/// A site with things to find, and the configuration that names them.
struct Stage {
    site: RunningSite,
    ada: Visitor,
    csrf: String,
}

impl Stage {
    async fn set() -> Self {
        let site = RunningSite::start_with(LIMITS, &[]);
        site.given_member("ada", &["admin"]);
        site.given_member("ben", &[]);
        let mut ada = site.visitor();
        ada.log_in("ada").await;
        let csrf = ada.get("/settings/apps").await.hidden("csrf_token");
        let post = made(&mut ada, "/api/v1/posts", &csrf, &json!({ "title": "A post" })).await;
        let bot = json!({ "name": "Bot", "purpose": "personal" });
        let own = made(&mut ada, "/api/v1/applications", &csrf, &bot).await;
        let mut ben = site.visitor();
        let approved = made(&mut ada, "/api/v1/applications", &csrf, &bot).await;
        ben.log_in("ben").await;
        let bens = ben.get("/settings/apps").await.hidden("csrf_token");
        let other = made(&mut ben, "/api/v1/applications", &bens, &bot).await;
        site.given_member("rob", &["reviewer"]);
        let mut rob = site.visitor();
        rob.log_in("rob").await;
        rob.decide(&approved, "approve").await;
        let message = ada.waiting_message("Bot").await;
        let message = message.rsplit('/').next().expect("an id");
        // Without things that are there, most answers would be 404; and a position is of this log or refused.
        let mut config = "[parameters]\n\"header.Countersign-Position\" = \"1.1\"\n".to_owned();
        for (resource, id) in
            [("posts", post), ("applications", own), ("review", other), ("messages", message.to_owned())]
        {
            writeln!(config, "[[operations]]\ninclude-path-regex = \"^/api/v1/{resource}/.id\"").expect("text");
            writeln!(config, "parameters = {{ \"path.id\" = \"{id}\" }}").expect("text");
        }
        std::fs::write(site.directory().join("schemathesis.toml"), config).expect("a file");
        Self { site, ada, csrf }
    }

    /// Runs it with these headers in every request; `phases` and `examples` bound it.
    fn run(&self, name: &str, headers: &[String], phases: &str, examples: u32) {
        let examples = times(examples).to_string();
        let mut command = Command::new("python3");
        command.args(["-c", "import sys; from schemathesis.cli import schemathesis; sys.exit(schemathesis())"]);
        command.args(["--config-file", "schemathesis.toml", "run"]).arg(format!("{}/openapi.json", self.site.url()));
        command.args(["--checks", CHECKS, "--phases", phases, "--max-examples", &examples, "--seed", "20260101"]);
        command.args(["--workers", "1", "--request-timeout", "30", "--no-shrink", "--suppress-health-check", "all"]);
        command.args(headers.iter().flat_map(|header| ["-H", header]));
        command.current_dir(self.site.directory()).env("NO_PROXY", "*");
        let output = command.output().expect("python3 starts");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "with {name}:\n{out}{err}\n{}", self.site.said().1);
        let tested = out.lines().any(|line| line.trim_end().ends_with("passed") && line.contains("generated"));
        assert!(tested, "with {name} nothing was tried:\n{out}");
    }
}

async fn made(visitor: &mut Visitor, path: &str, csrf: &str, body: &Value) -> String {
    let answer = visitor.json(Method::POST, path, csrf, body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    answer.json()["id"].as_str().expect("an id").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_nothing_with_a_token_of_each_scope() {
    if !require_python_module("schemathesis") {
        return;
    }
    let stage = Stage::set().await;
    for scope in Scope::ALL {
        let (token, _) = stage.site.given_token("ada", scope.as_str());
        stage.run(&format!("a token with {scope}"), &[format!("Authorization: {token}")], "fuzzing", 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_nothing_with_a_session() {
    if !require_python_module("schemathesis") {
        return;
    }
    let stage = Stage::set().await;
    let cookies: Vec<_> = stage.ada.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let headers = [format!("Cookie: {}", cookies.join("; ")), format!("X-CSRF-Token: {}", stage.csrf)];
    stage.run("a session", &headers, "coverage,fuzzing", 6);
}
