//! The description of the API as a page: made from the same document that programs read, with no script.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use futures_util::future::BoxFuture;
use serde_json::{Map, Value};

use super::{Frame, render};
use crate::{
    app::App,
    web::{
        codes::{CODES, Code},
        document::Document,
        extract::Visitor,
    },
};

#[derive(Template)]
#[template(path = "docs.html")]
struct DocsPage {
    frame: Frame,
    site_url: String,
    groups: Vec<Group>,
    shapes: Vec<Shape>,
    codes: Vec<&'static Code>,
}

struct Group {
    slug: String,
    name: String,
    about: String,
    operations: Vec<Operation>,
}

struct Operation {
    id: String,
    method: String,
    path: String,
    who: String,
    summary: String,
    parameters: Vec<Field>,
    body: Option<Kind>,
    answers: Vec<Answer>,
    curl: String,
}

/// A parameter, or a field of a shape.
struct Field {
    name: String,
    place: String,
    kind: Kind,
    required: bool,
    about: String,
}

/// A type in words, with the shape it leads to.
struct Kind {
    words: String,
    shape: Option<String>,
}

struct Answer {
    status: String,
    about: String,
    kind: Option<Kind>,
    /// The words of an error.
    codes: Vec<String>,
}

struct Shape {
    name: String,
    about: String,
    fields: Vec<Field>,
}

/// What answers `GET /docs`.
pub(in crate::web) fn show(
    document: &Document,
) -> impl Fn(State<Arc<App>>, Visitor) -> BoxFuture<'static, Response> + Clone + Send + use<> {
    let document = document.clone();
    move |State(app), visitor| {
        let document = document.clone();
        Box::pin(async move {
            match document.value() {
                Ok(value) => {
                    let frame = Frame::of(&app, &visitor).await;
                    render(&app, &visitor, StatusCode::OK, &page(frame, value))
                }
                Err(error) => error.into_response(),
            }
        })
    }
}

fn page(frame: Frame, document: &Value) -> DocsPage {
    let site_url = text(&document["servers"][0], "url");
    let shapes = entries(&document["components"]["schemas"]).map(|(name, schema)| Shape {
        name: name.clone(),
        about: text(schema, "description"),
        fields: fields(schema),
    });
    let groups = list(&document["tags"]).map(|tag| {
        let name = text(tag, "name");
        let slug = name.to_lowercase().replace(' ', "-");
        let operations = operations(document, &name, &site_url);
        Group { slug, about: text(tag, "description"), operations, name }
    });
    let groups: Vec<_> = groups.collect();
    let answers = || groups.iter().flat_map(|group| &group.operations).flat_map(|operation| &operation.answers);
    // Words that only pages have are told by no door here; 405 is told where there is no door.
    let told = |code: &&Code| {
        code.status == 405
            || answers()
                .any(|one| one.status == code.status.to_string() && one.codes.iter().any(|word| word == code.word))
    };
    let codes = CODES.iter().filter(told).collect();
    DocsPage { frame, groups, shapes: shapes.collect(), codes, site_url }
}

fn operations(document: &Value, group: &str, site_url: &str) -> Vec<Operation> {
    let every = entries(&document["paths"])
        .flat_map(|(path, item)| entries(item).map(move |(method, operation)| (path, method, operation)));
    let here = every.filter(|(.., operation)| operation["tags"][0] == group);
    here.map(|(path, method, operation)| {
        let body = &operation["requestBody"]["content"]["application/json"]["schema"];
        Operation {
            id: text(operation, "operationId"),
            method: method.to_uppercase(),
            path: path.clone(),
            who: text(operation, "x-who"),
            summary: text(operation, "summary"),
            parameters: list(&operation["parameters"])
                .map(|one| field(&text(one, "name"), one, one["required"] == true))
                .collect(),
            body: (!body.is_null()).then(|| kind(body)),
            answers: entries(&operation["responses"]).map(|(status, told)| answer(status, told)).collect(),
            curl: curl(document, method, &format!("{site_url}{path}"), operation),
        }
    })
    .collect()
}

fn answer(status: &str, told: &Value) -> Answer {
    let content = &told["content"];
    let problem = &content["application/problem+json"]["schema"]["allOf"][1]["properties"]["code"]["enum"];
    let schema = &content["application/json"]["schema"];
    let codes: Vec<_> = list(problem).filter_map(Value::as_str).map(ToOwned::to_owned).collect();
    Answer {
        status: status.to_owned(),
        about: if codes.is_empty() { text(told, "description") } else { String::new() },
        kind: (!schema.is_null()).then(|| kind(schema)),
        codes,
    }
}

fn fields(schema: &Value) -> Vec<Field> {
    let required = |name: &str| list(&schema["required"]).any(|one| one == name);
    entries(&schema["properties"]).map(|(name, value)| field(name, value, required(name))).collect()
}

/// A property, or a parameter, whose schema is its own.
fn field(name: &str, value: &Value, required: bool) -> Field {
    let schema = if value["schema"].is_null() { value } else { &value["schema"] };
    Field {
        name: name.to_owned(),
        place: text(value, "in"),
        kind: kind(schema),
        required,
        about: text(value, "description"),
    }
}

fn kind(schema: &Value) -> Kind {
    Kind { words: words(schema), shape: shape_in(schema) }
}

fn words(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str() {
        return shape_name(name);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        return choices.iter().map(words).collect::<Vec<_>>().join(" or ");
    }
    if schema["enum"].is_array() {
        return list(&schema["enum"])
            .map(|word| word.as_str().map_or_else(|| word.to_string(), ToOwned::to_owned))
            .collect::<Vec<_>>()
            .join(" | ");
    }
    if schema["properties"]["data"].is_object() {
        return format!("page: {}", words(&schema["properties"]["data"]));
    }
    let types: Vec<_> = match &schema["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    };
    let named = types.into_iter().map(|name| match (name, schema["format"].as_str()) {
        ("array", _) => format!("list of {}", words(&schema["items"])),
        ("string", Some(format)) => format.to_owned(),
        (name, _) => name.to_owned(),
    });
    named.collect::<Vec<_>>().join(" or ")
}

fn shape_name(reference: &str) -> String {
    reference.rsplit('/').next().unwrap_or_default().to_owned()
}

/// The shape that a schema names, however deep.
fn shape_in(schema: &Value) -> Option<String> {
    match schema {
        Value::Object(parts) => match parts.get("$ref").and_then(Value::as_str) {
            Some(reference) => Some(shape_name(reference)),
            None => parts.values().find_map(shape_in),
        },
        Value::Array(parts) => parts.iter().find_map(shape_in),
        _ => None,
    }
}

/// How to call it from a shell.
fn curl(document: &Value, method: &str, url: &str, operation: &Value) -> String {
    let ways: Vec<_> = list(&operation["security"]).filter_map(Value::as_object).collect();
    let has = |scheme| ways.iter().any(|way| way.contains_key(scheme));
    let mut lines =
        vec![if method == "get" { "curl".to_owned() } else { format!("curl -X {}", method.to_uppercase()) }];
    if has("token") {
        lines.push("-H \"Authorization: $TOKEN\"".to_owned());
    } else if has("session") {
        let name = text(&document["components"]["securitySchemes"]["session"], "name");
        lines.push(format!("-b \"{name}=$SESSION\""));
        if has("csrf") {
            lines.push("-H \"X-CSRF-Token: $CSRF_TOKEN\"".to_owned());
        }
    }
    let body = &operation["requestBody"]["content"]["application/json"]["schema"];
    if !body.is_null() {
        lines.push("-H \"Content-Type: application/json\"".to_owned());
        lines.push(format!("-d '{}'", sample(document, body)));
    }
    lines.push(format!("'{url}'"));
    format!("{} {}", lines[0], lines[1..].join(" \\\n  "))
}

/// A body with the fields that must be there, or the first when none must.
fn sample(document: &Value, schema: &Value) -> Value {
    if let Some(name) = schema["$ref"].as_str() {
        return sample(document, &document["components"]["schemas"][shape_name(name)]);
    }
    if let Some(first) = list(&schema["enum"]).next() {
        return first.clone();
    }
    let kind = schema["type"].as_str().or_else(|| list(&schema["type"]).find_map(Value::as_str));
    match kind {
        Some("object") => {
            let properties = entries(&schema["properties"]).collect::<Vec<_>>();
            let required = |name: &str| list(&schema["required"]).any(|one| one == name);
            let none_must = !properties.iter().any(|(name, _)| required(name));
            let chosen =
                properties.iter().enumerate().filter(|(index, (name, _))| required(name) || none_must && *index == 0);
            Value::Object(
                chosen.map(|(_, (name, value))| ((*name).clone(), sample(document, value))).collect::<Map<_, _>>(),
            )
        }
        Some("array") => Value::Array(vec![sample(document, &schema["items"])]),
        Some("integer") => Value::from(1),
        Some("string") if schema["format"] == "uuid" => Value::from("00000000-0000-0000-0000-000000000000"),
        _ => Value::from("…"),
    }
}

fn text(value: &Value, key: &str) -> String {
    // Descriptions are Markdown for programs that show it; this page shows text.
    value[key].as_str().unwrap_or_default().replace('`', "")
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}
