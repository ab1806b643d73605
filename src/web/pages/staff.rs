//! The way in for reviewers, auditors and operators: what each may see, with how it stands now.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, http::StatusCode, response::Response};
use countersign_events::{account::Role, recorded::Position};

use super::{Frame, PageError, render};
use crate::{
    app::{App, projections::State as ModelState},
    web::extract::{Staff, holds},
};

#[derive(Template)]
#[template(path = "staff.html")]
struct StaffPage {
    frame: Frame,
    /// How many wait, and how many of them are overdue.
    queue: Option<(u64, u64)>,
    /// The end of the log.
    head: Option<Position>,
    /// How many read models there are, and the names of those that are not well.
    models: Option<(usize, Vec<&'static str>)>,
}

pub(in crate::web) async fn show(State(app): State<Arc<App>>, Staff(member): Staff) -> Result<Response, PageError> {
    let mut page = StaffPage { frame: Frame::of(&app, &member.visitor).await, queue: None, head: None, models: None };
    if holds(&member, Role::Reviewer) {
        page.queue = Some((page.frame.waiting, app.overdue_count().await?));
    }
    if holds(&member, Role::Auditor) {
        page.head = Some(app.head().await?.position);
    }
    if holds(&member, Role::Operator) {
        let all = app.projections().await?;
        let unwell = |state| matches!(state, ModelState::Stopped | ModelState::Incomplete);
        let unwell = all.iter().filter(|one| unwell(one.state) || one.stalled).map(|one| one.name).collect();
        page.models = Some((all.len(), unwell));
    }
    Ok(render(&app, &member.visitor, StatusCode::OK, &page))
}
