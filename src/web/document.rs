//! The description of the API (`OpenAPI` 3.1), made once, when it is first asked for, from the table of doors, the types of their
//! handlers, and the words about them. What is common to all doors (tokens, errors, headers) is added here.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, LazyLock, OnceLock},
};

use axum::{
    body::Bytes,
    http::{Method, header},
    response::{IntoResponse, Response},
};
use countersign_events::scope::Scope;
use serde_json::{Map, Value, json};

use super::{
    api::about::{About, GROUPS},
    codes,
    describe::{Answers, Sketch, parameter},
    doors,
    doors::{Door, Who},
    error::{ApiError, Problem},
};
use crate::{
    app::{App, CommandId},
    config::Config,
};

/// The description, there as soon as the doors are known.
#[derive(Clone, Default)]
pub struct Document(Arc<OnceLock<LazyLock<Written, Describe>>>);

type Describe = Box<dyn FnOnce() -> Written + Send>;

struct Written {
    value: Value,
    bytes: Bytes,
}

impl Document {
    /// Describes the doors of this site.
    pub(super) fn describe(&self, app: Arc<App>) {
        let describe: Describe = Box::new(move || {
            // A table of its own: those that are open hold this, and neither would ever go.
            let value = describe(&app.config, &doors(&Self::default()));
            let bytes = serde_json::to_vec(&value).expect("a description is plain data").into();
            Written { value, bytes }
        });
        self.0.get_or_init(|| LazyLock::new(describe));
    }

    /// As it is.
    ///
    /// # Errors
    /// 404 while there is none.
    pub fn value(&self) -> Result<&Value, ApiError> {
        self.0.get().map(|written| &written.value).ok_or_else(ApiError::not_found)
    }

    /// What answers `GET /openapi.json`.
    pub(super) fn as_json(&self) -> impl Fn() -> std::future::Ready<Result<Text, ApiError>> + Clone + Send + use<> {
        let document = self.clone();
        move || {
            let text = document.0.get().map(|written| Text(written.bytes.clone()));
            std::future::ready(text.ok_or_else(ApiError::not_found))
        }
    }
}

/// The text of the description.
pub struct Text(Bytes);

impl IntoResponse for Text {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, "application/json")], self.0).into_response()
    }
}

impl Answers for Text {
    fn answers(sketch: &mut Sketch) {
        sketch.answer_json(200, "The description.", &json!({ "type": "object" }));
    }
}

fn describe(config: &Config, doors: &[Door]) -> Value {
    let mut schemas = BTreeMap::new();
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    let mut common = Sketch::default();
    common.reference::<Problem>();
    schemas.append(&mut common.schemas);
    for group in GROUPS {
        for about in group.doors {
            let Some(door) = doors.iter().find(|door| is_door(about, door)) else { continue };
            let Some(sketch) = &door.sketch else { continue };
            schemas.extend(sketch.schemas.clone());
            let method = door.method.as_str().to_ascii_lowercase();
            paths.entry(door.path).or_default().insert(method, operation(door, sketch, about, group.name));
        }
    }
    let tags: Vec<_> = GROUPS.iter().map(|group| json!({ "name": group.name, "description": group.about })).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": format!("{} API", config.site_name),
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Errors are problem details (RFC 9457); `code` is a stable word. Answers to commands carry \
                            `Countersign-Position`; a read that brings it back sees at least that.",
            "license": { "name": env!("CARGO_PKG_LICENSE"), "identifier": env!("CARGO_PKG_LICENSE") },
        },
        "servers": [{ "url": config.url("/").trim_end_matches('/') }],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": schemas,
            "headers": headers(),
            "securitySchemes": security_schemes(config),
        },
    })
}

fn is_door(about: &About, door: &Door) -> bool {
    about.door.split_once(' ').is_some_and(|(method, path)| method == door.method.as_str() && path == door.path)
}

fn operation(door: &Door, sketch: &Sketch, about: &About, group: &str) -> Value {
    let mut parameters = sketch.parameters.clone();
    parameters.extend(common_parameters(door));
    let mut answers = sketch.answers.clone();
    for answer in answers.values_mut() {
        answer["headers"]["X-Request-Id"] = header_reference("X-Request-Id");
        if is_command(door) {
            answer["headers"]["Countersign-Position"] = header_reference("Countersign-Position");
        }
    }
    for (status, problem) in problems(door, sketch, about) {
        let told = answers.entry(status).or_insert_with(|| json!({ "description": "", "content": {} }));
        merge_problem(told, problem);
    }
    let mut operation = json!({
        "operationId": operation_id(door),
        "tags": [group],
        "summary": about.summary,
        "description": format!("Who may call it: {}.", door.who),
        "parameters": parameters,
        "responses": answers.into_iter().map(|(status, answer)| (status.to_string(), answer)).collect::<Map<_, _>>(),
        "security": security(door),
        "x-who": door.who.to_string(),
    });
    if let Some(schema) = &sketch.body {
        let content = json!({ "application/json": { "schema": schema } });
        operation["requestBody"] = json!({ "required": !sketch.body_is_optional, "content": content });
    }
    operation
}

fn operation_id(door: &Door) -> String {
    let words = door.path.split(['/', '{', '}', '.']).filter(|word| !word.is_empty());
    let words: Vec<_> =
        std::iter::once(door.method.as_str().to_ascii_lowercase()).chain(words.map(ToOwned::to_owned)).collect();
    words.join("_")
}

fn is_command(door: &Door) -> bool {
    door.method != Method::GET
}

fn common_parameters(door: &Door) -> Vec<Value> {
    if is_command(door) {
        let about =
            "A name for this command, such as a fresh UUID: a repeat under the same name answers as the first did.";
        let schema =
            json!({ "type": "string", "minLength": 1, "maxLength": CommandId::LONGEST, "pattern": "^[\\x21-\\x7e]+$" });
        return vec![parameter("header", "Idempotency-Key", about, &schema)];
    }
    let about = "`Countersign-Position` of an earlier answer: this one sees at least that, or waits for it.";
    let schema = json!({ "type": "string", "pattern": "^[0-9]{1,18}\\.[0-9]{1,18}$" });
    vec![parameter("header", "Countersign-Position", about, &schema)]
}

/// The words of the errors that a door can answer with, by status.
fn problems(door: &Door, sketch: &Sketch, about: &About) -> BTreeMap<u16, Value> {
    let mut words: Vec<&str> = about.codes.to_vec();
    words.extend(["token_transport", "token_malformed", "token_unknown", "token_expired", "token_revoked"]);
    words.extend([
        "too_many_parameters",
        "application_suspended",
        "too_many_requests",
        "internal",
        "unavailable",
        "timeout",
    ]);
    // 401, of a token; a session of a suspended member is none.
    words.push("user_suspended");
    if !matches!(door.who, Who::Anyone | Who::AnyoneOrToken(_)) {
        words.push("token_missing");
    }
    match door.who {
        Who::Anyone | Who::AnyToken | Who::Watcher => {}
        Who::AnyoneOrToken(_) | Who::With(_) | Who::OwnerOrStaff => words.push("insufficient_scope"),
        Who::Session => words.push("session_required"),
        Who::SessionOf(_) | Who::SessionOfStaff => words.extend(["session_required", "role_missing"]),
        Who::Holder(..) => words.extend(["insufficient_scope", "role_missing"]),
    }
    if is_command(door) {
        words.extend(["cross_site", "csrf_token", "command_id_malformed", "command_id_reused", "lost_race"]);
    } else {
        words.extend(["position_malformed", "position_beyond_head", "behind", "building"]);
    }
    if !matches!(door.who, Who::Anyone | Who::AnyoneOrToken(_)) {
        words.push("command_id_malformed");
    }
    if door.path.contains('{') {
        words.push("not_found");
    }
    if sketch.body.is_some() {
        words.extend(["json", "body", "media_type", "fields"]);
    }
    let statuses: BTreeSet<_> = codes::CODES.iter().map(|code| code.status).collect();
    statuses.into_iter().filter_map(|status| Some((status, problem(&words, status, door)?))).collect()
}

fn problem(words: &[&str], status: u16, door: &Door) -> Option<Value> {
    // Suspended members have no session, and their tokens are told so with 401.
    let codes: Vec<_> =
        codes::of_status(words, status).filter(|code| (code.status, code.word) != (403, "user_suspended")).collect();
    if codes.is_empty() {
        return None;
    }
    let about: Vec<_> = codes.iter().map(|code| format!("`{}`: {}", code.word, code.meaning)).collect();
    let words: BTreeSet<_> = codes.iter().map(|code| code.word).collect();
    let told = json!({ "properties": { "status": { "const": status }, "code": { "enum": words } } });
    let schema = json!({ "allOf": [{ "$ref": "#/components/schemas/Problem" }, told] });
    let mut content = json!({ "application/problem+json": { "schema": schema } });
    if !door.api {
        content["text/html"] = json!({ "schema": { "type": "string" } });
    }
    let mut headers = json!({ "X-Request-Id": header_reference("X-Request-Id") });
    let more: &[&str] = match status {
        401 => &["WWW-Authenticate"],
        429 => &["Retry-After", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"],
        503 => &["Retry-After"],
        _ => &[],
    };
    for name in more {
        headers[*name] = header_reference(name);
    }
    Some(json!({ "description": about.join(" "), "content": content, "headers": headers }))
}

/// Beside what a door answers of its own with this status, as `/readyz` does with 503.
fn merge_problem(told: &mut Value, problem: Value) {
    let Value::Object(problem) = problem else { return };
    for (key, value) in problem {
        match (&mut told[&key], value) {
            (Value::Object(known), Value::Object(more)) => known.extend(more),
            (Value::String(known), Value::String(more)) if !known.is_empty() => {
                known.push(' ');
                known.push_str(&more);
            }
            (known, more) => *known = more,
        }
    }
}

fn security(door: &Door) -> Value {
    let token = |scopes: &[Scope]| {
        let scopes: Vec<_> = scopes.iter().map(|scope| scope.as_str()).collect();
        [json!({ "bearer": scopes }), json!({ "token": scopes })]
    };
    let session = if is_command(door) { json!({ "session": [], "csrf": [] }) } else { json!({ "session": [] }) };
    let mut ways = vec![];
    match door.who {
        Who::Anyone | Who::Watcher => ways.push(json!({})),
        Who::AnyoneOrToken(scope) => {
            ways.push(json!({}));
            ways.extend(token(&[scope]));
        }
        Who::AnyToken => ways.extend(token(&[])),
        Who::Session | Who::SessionOf(_) | Who::SessionOfStaff => ways.push(session),
        Who::With(scope) | Who::Holder(_, scope) => {
            ways.extend(token(&[scope]));
            ways.push(session);
        }
        Who::OwnerOrStaff => {
            ways.extend(token(&[Scope::Review]));
            ways.extend(token(&[Scope::Audit]));
            ways.push(session);
        }
    }
    Value::Array(ways)
}

fn security_schemes(config: &Config) -> Value {
    json!({
        "bearer": { "type": "http", "scheme": "bearer", "description": "`Authorization: Bearer <token>`." },
        "token": {
            "type": "apiKey", "in": "header", "name": "Authorization",
            "description": "The token alone: `Authorization: <token>`.",
        },
        "session": {
            "type": "apiKey", "in": "cookie", "name": super::cookies::session_name(config),
            "description": "A member signed in to a browser.",
        },
        "csrf": {
            "type": "apiKey", "in": "header", "name": "X-CSRF-Token",
            "description": "Beside the session, for everything but reading: the `csrf_token` of any of its pages.",
        },
    })
}

fn header_reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/headers/{name}") })
}

fn headers() -> Value {
    let text = |about: &str| json!({ "description": about, "required": true, "schema": { "type": "string" } });
    let number =
        |about: &str| json!({ "description": about, "required": true, "schema": { "type": "integer", "minimum": 0 } });
    json!({
        "X-Request-Id": text("Names the request; `instance` of its problem has it too."),
        "Countersign-Position": text("Where the log stood: <epoch>.<position>."),
        "WWW-Authenticate": text("What is missing (RFC 6750)."),
        "Retry-After": number("Seconds to wait."),
        "RateLimit-Limit": number("How many requests are allowed."),
        "RateLimit-Remaining": number("How many are left."),
        "RateLimit-Reset": number("Seconds until all are there again."),
    })
}
