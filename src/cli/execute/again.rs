//! What is said of a command that changed nothing: that it is so already, and who made it so, when.

use countersign_events::recorded::StreamName;
use serde_json::Value;

use crate::{
    app::{
        App, AppError,
        audit::{Effort, EventRecord, Typed},
    },
    cli::{output::Output, table::visible},
};

/// So many of the last events of a stream are looked at.
const LAST: u32 = 200;

/// Which event made it so: its stored type, and a field of it that has to have a value, such as the role.
pub(super) struct Made {
    pub(super) type_name: &'static str,
    pub(super) field: Option<(&'static str, String)>,
}

impl Made {
    pub(super) const fn by(type_name: &'static str) -> Self {
        Self { type_name, field: None }
    }

    pub(super) fn with(self, name: &'static str, value: &impl ToString) -> Self {
        Self { field: Some((name, value.to_string())), ..self }
    }

    fn is(&self, event: &EventRecord) -> bool {
        let has = |(name, value): &(&str, String)| {
            serde_json::from_str::<Value>(event.payload.get()).is_ok_and(|payload| payload[*name] == *value)
        };
        event.r#type == self.type_name && self.field.as_ref().is_none_or(has)
    }
}

/// Says that nothing new happened, since it is as `already` says, and what stands: who did it first, when.
pub(super) async fn nothing_new(app: &App, already: &str, stream: &StreamName, made: &Made) -> Output {
    let mut said = format!("Nothing new happened: {already}.");
    // It is so in any case, also when the log cannot be looked at.
    if let Ok(Some(event)) = standing(app, stream, made).await {
        let (at, sentence) = (event.recorded_at.format("%-d %B %Y, %H:%M UTC"), visible(&event.sentence));
        said = format!("{said} What stands is of {at}: {sentence}");
    }
    Output::Sentence(said)
}

/// The event that stands: the last of its kind.
async fn standing(app: &App, stream: &StreamName, made: &Made) -> Result<Option<EventRecord>, AppError> {
    let typed = Typed { stream: Some(stream.to_string()), ..Typed::default() };
    let filter = app.audit_filter(&typed).await?.map_err(AppError::from)?;
    let page = app.audit(&filter, None, true, LAST, Effort::USUAL).await?;
    Ok(page.events.into_iter().find(|event| made.is(event)))
}
