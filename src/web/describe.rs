//! What a door of the API takes and answers, read from the types of its handler: what the handler extracts, and what
//! it returns. So the document cannot say one thing and the code do another. The document itself is made in
//! `document`.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use utoipa::ToSchema;

use super::error::ApiError;

/// What is known of a door from its types.
#[derive(Debug, Clone, Default)]
pub struct Sketch {
    /// Parameters in path and query, as `OpenAPI` writes them.
    pub parameters: Vec<Value>,
    /// The schema of its JSON body.
    pub body: Option<Value>,
    /// Whether it may come without one.
    pub body_is_optional: bool,
    /// What it answers when all is well, by status.
    pub answers: BTreeMap<u16, Value>,
    /// Every schema that these name.
    pub schemas: BTreeMap<String, Value>,
}

impl Sketch {
    /// A reference to the schema of a type; the schema itself is kept.
    pub(in crate::web) fn reference<T: ToSchema>(&mut self) -> Value {
        let name = T::name().into_owned();
        let mut found = vec![(name.clone(), T::schema())];
        T::schemas(&mut found);
        for (name, schema) in found {
            self.schemas.insert(name, serde_json::to_value(schema).expect("a schema is plain data"));
        }
        json!({ "$ref": format!("#/components/schemas/{name}") })
    }

    /// Answers JSON of this schema.
    pub fn answer_json(&mut self, status: u16, about: &str, schema: &Value) {
        let content = json!({ "application/json": { "schema": schema } });
        self.answers.insert(status, json!({ "description": about, "content": content }));
    }

    /// Answers the same as a page, where no token is sent.
    pub fn also_as_page(&mut self, status: u16) {
        if let Some(answer) = self.answers.get_mut(&status) {
            answer["content"]["text/html"] = json!({ "schema": { "type": "string" } });
        }
    }

    /// Answers a line of text.
    pub fn answer_text(&mut self, status: u16, about: &str) {
        let content = json!({ "text/plain": { "schema": { "type": "string" } } });
        self.answers.insert(status, json!({ "description": about, "content": content }));
    }
}

/// Something that a handler extracts.
pub trait Takes {
    /// Adds what it takes from a request; by default nothing that a sender chooses.
    fn takes(_: &mut Sketch) {}
}

/// Something that a handler returns.
pub trait Answers {
    /// Adds what it answers.
    fn answers(sketch: &mut Sketch);
}

impl<T: Answers> Answers for Result<T, ApiError> {
    fn answers(sketch: &mut Sketch) {
        T::answers(sketch);
    }
}

impl<T: ToSchema> Answers for axum::Json<T> {
    fn answers(sketch: &mut Sketch) {
        let schema = sketch.reference::<T>();
        sketch.answer_json(200, "Here it is.", &schema);
    }
}

impl Answers for &'static str {
    fn answers(sketch: &mut Sketch) {
        sketch.answer_text(200, "It is so.");
    }
}

impl<S> Takes for axum::extract::State<S> {}

/// A handler whose types say what it takes and answers. `T` is the marker that tells handlers apart by what they
/// take, as axum's `Handler` has it.
pub trait Describe<T> {
    /// What they say.
    fn describe() -> Sketch;
}

macro_rules! describe {
    ($($taken:ident),*) => {
        impl<F, Fut, R, M, $($taken),*> Describe<(M, $($taken,)*)> for F
        where
            F: Fn($($taken),*) -> Fut,
            Fut: Future<Output = R>,
            R: Answers,
            $($taken: Takes,)*
        {
            fn describe() -> Sketch {
                let mut sketch = Sketch::default();
                $($taken::takes(&mut sketch);)*
                R::answers(&mut sketch);
                sketch
            }
        }
    };
}

describe!();
describe!(A);
describe!(A, B);
describe!(A, B, C);
describe!(A, B, C, D);
describe!(A, B, C, D, E);

/// A parameter of a path or query.
#[must_use]
pub fn parameter(place: &str, name: &str, about: &str, schema: &Value) -> Value {
    json!({ "name": name, "in": place, "required": place == "path", "description": about, "schema": schema })
}

/// The schema of one of several words.
#[must_use]
pub fn one_of(words: impl IntoIterator<Item = &'static str>) -> Value {
    json!({ "type": "string", "enum": words.into_iter().collect::<Vec<_>>() })
}
