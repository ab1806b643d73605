//! The description of the API as pages, one for each group of doors: made from the same document that programs read,
//! and of use without a script.

use std::{collections::BTreeSet, sync::Arc};

use askama::Template;
use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use futures_util::future::BoxFuture;
use serde_json::{Map, Value};

use super::{Frame, PageError, render};
use crate::{
    app::{App, AppError},
    web::{
        codes::{CODES, Code},
        document::Document,
        extract::Visitor,
    },
};

/// Every door in a line, and every error.
#[derive(Template)]
#[template(path = "docs.html")]
struct IndexPage {
    frame: Frame,
    site_url: String,
    groups: Vec<Group>,
    codes: Vec<&'static Code>,
}

/// Doors that belong together, each with what it takes and answers, and the shapes of that.
#[derive(Template)]
#[template(path = "docs_group.html")]
struct GroupPage {
    frame: Frame,
    /// Every group, for the way to the others.
    names: Vec<(String, String)>,
    group: Group,
    shapes: Vec<Shape>,
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

/// A page on its way.
type Shown = BoxFuture<'static, Result<Response, PageError>>;

/// What answers `GET /docs`.
pub(in crate::web) fn index(document: &Document) -> impl Fn(State<Arc<App>>, Visitor) -> Shown + Clone + Send + use<> {
    let document = document.clone();
    move |State(app), visitor| {
        let document = document.clone();
        Box::pin(async move {
            let document = document.value().map_err(|_| AppError::NotFound)?;
            let frame = Frame::of(&app, &visitor).await;
            Ok(render(&app, &visitor, StatusCode::OK, &index_page(frame, document)))
        })
    }
}

/// What answers `GET /docs/{group}`.
pub(in crate::web) fn group(
    document: &Document,
) -> impl Fn(State<Arc<App>>, Visitor, Path<String>) -> Shown + Clone + Send + use<> {
    let document = document.clone();
    move |State(app), visitor, Path(slug)| {
        let document = document.clone();
        Box::pin(async move {
            let document = document.value().map_err(|_| AppError::NotFound)?;
            let frame = Frame::of(&app, &visitor).await;
            let page = group_page(frame, document, &slug).ok_or(AppError::NotFound)?;
            Ok(render(&app, &visitor, StatusCode::OK, &page))
        })
    }
}

fn index_page(frame: Frame, document: &Value) -> IndexPage {
    let groups: Vec<_> = list(&document["tags"]).map(|tag| read_group(document, tag)).collect();
    let answers = || groups.iter().flat_map(|group| &group.operations).flat_map(|operation| &operation.answers);
    // Words that only pages have are told by no door here; 405 is told where there is no door.
    let told = |code: &&Code| {
        code.status == 405
            || answers()
                .any(|one| one.status == code.status.to_string() && one.codes.iter().any(|word| word == code.word))
    };
    let codes = CODES.iter().filter(told).collect();
    IndexPage { frame, site_url: text(&document["servers"][0], "url"), groups, codes }
}

fn group_page(frame: Frame, document: &Value, slug: &str) -> Option<GroupPage> {
    let names: Vec<_> =
        list(&document["tags"]).map(|tag| text(tag, "name")).map(|name| (slug_of(&name), name)).collect();
    let tag = list(&document["tags"]).find(|tag| slug_of(&text(tag, "name")) == slug)?;
    let group = read_group(document, tag);
    let shapes = shapes(document, &group.operations);
    Some(GroupPage { frame, names, group, shapes })
}

fn slug_of(name: &str) -> String {
    name.to_lowercase().replace(' ', "-")
}

fn read_group(document: &Value, tag: &Value) -> Group {
    let name = text(tag, "name");
    let operations = operations(document, &name, &text(&document["servers"][0], "url"));
    Group { slug: slug_of(&name), about: text(tag, "description"), operations, name }
}

/// The shapes that these doors take or answer with, and those within, in the order of the document.
fn shapes(document: &Value, operations: &[Operation]) -> Vec<Shape> {
    let taken = operations.iter().filter_map(|operation| operation.body.as_ref());
    let answered = operations.iter().flat_map(|operation| &operation.answers).filter_map(|answer| answer.kind.as_ref());
    // Every error is a Problem.
    let mut named = BTreeSet::from(["Problem".to_owned()]);
    let mut open: Vec<_> = taken.chain(answered).filter_map(|kind| kind.shape.clone()).chain(named.clone()).collect();
    let schemas = &document["components"]["schemas"];
    while let Some(name) = open.pop() {
        let within = fields(&schemas[&name]).into_iter().filter_map(|field| field.kind.shape);
        open.extend(within.filter(|shape| named.insert(shape.clone())));
        named.insert(name);
    }
    let known = entries(schemas).filter(|(name, _)| named.contains(*name));
    known
        .map(|(name, schema)| Shape { name: name.clone(), about: text(schema, "description"), fields: fields(schema) })
        .collect()
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
    if schema["allOf"].is_array() {
        return list(&schema["allOf"]).flat_map(fields).collect();
    }
    if schema["$ref"].is_string() {
        let (name, place, about) = ("…".to_owned(), String::new(), "Every field of it stands here, too.".to_owned());
        return vec![Field { name, place, kind: kind(schema), required: true, about }];
    }
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
