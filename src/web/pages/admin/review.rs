//! An application as its reviewers see it: what it asks for, whose it is, what happened, and the decision.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use chrono::TimeDelta;
use countersign_events::{
    account::{AccountStanding, Role},
    application::{ApplicationEvent, Difference, Standing, difference},
    event::Event,
    ids::{ApplicationId, UserId},
    recorded::Timestamp,
    scope::{Scope, ScopeSet},
    text::FieldError,
};

use super::{
    super::{Frame, PageError, instant, portions::HistoryPart, render, see_other, stamp},
    Claimed, Wait,
    offers::{Offer, offers},
    within,
};
use crate::{
    app::{
        App, AppError,
        history::Happening,
        queue::Overtaken,
        reviews::{Verb, Verdict},
    },
    policy::{Clause, MEETS_POLICY},
    store::{ReviewFilter, rows::ApplicationRow},
    web::{
        cookies,
        error::tell,
        extract::{Fields, Form, Member, PageId, Query, Reviewer, VerbName},
        review_query::{place, review_filter},
    },
};

/// How long after a decision its page leads on.
const JUST_NOW: TimeDelta = TimeDelta::minutes(5);
/// So many of an owner's other applications are listed.
const OTHERS: usize = 5;

/// Who asks.
struct Owner {
    name: String,
    /// Since when they are a member, and whether they are in good standing.
    account: Option<(Timestamp, AccountStanding)>,
    /// Their other applications by state, and the newest of them.
    tally: Vec<(Standing, usize)>,
    others: Vec<ApplicationRow>,
}

impl Owner {
    async fn of(app: &App, row: &ApplicationRow) -> Result<Self, AppError> {
        let mut others = app.my_applications(row.owner_id).await?;
        others.retain(|other| other.application_id != row.application_id);
        let number = |standing| others.iter().filter(|other| other.standing == standing).count();
        let tally: Vec<_> = Standing::ALL.into_iter().map(|standing| (standing, number(standing))).collect();
        let account = app.account_of(row.owner_id).await?;
        others.truncate(OTHERS);
        Ok(Self {
            name: app.state.name_of(row.owner_id),
            account: account.map(|account| (account.registered_at, account.standing)),
            tally: tally.into_iter().filter(|(_, number)| *number > 0).collect(),
            others,
        })
    }
}

#[derive(Template)]
#[template(path = "review.html")]
struct ReviewPage {
    frame: Frame,
    owner: Owner,
    /// Approved applications whose names its own could be taken for.
    look_alikes: Vec<String>,
    /// Why the reader cannot decide, whatever the state.
    barred: Option<&'static str>,
    /// How what waits came back to the reviewers, who have answered it before.
    back_as: Option<&'static str>,
    history: HistoryPart,
    may: Vec<&'static str>,
    may_not: Vec<&'static str>,
    /// What the proposed change would let it do on top.
    gains: Vec<&'static str>,
    decisions: Vec<Offer>,
    dangers: Vec<Offer>,
    clauses: Vec<Clause>,
    /// Whether one of the decisions wants no reason.
    friendly: bool,
    wait: Option<Wait>,
    claim: Option<Claimed>,
    /// Who signed first and when, and whether that is the reader; under the rule that two have to sign.
    signed: Option<(String, Timestamp, bool)>,
    two_person_rule: bool,
    change: Vec<Difference>,
    ask_password: bool,
    typed: Verdict,
    /// When somebody last decided on it, or on a change of it.
    last_decided: Option<Timestamp>,
    errors: Vec<FieldError>,
    problem: Option<String>,
    /// Who was faster, and with what.
    overtaken: Option<Box<Overtaken>>,
    /// The reason that whoever was faster gave.
    their_reason: Option<String>,
    /// What the reader did just now.
    done: Option<&'static str>,
    /// What comes before and after it in the queue that the reader came from, and what they could take up next.
    previous: Option<ApplicationRow>,
    next: Option<ApplicationRow>,
    to_take_up: Option<ApplicationRow>,
    /// The queue that the reader came from, as a query with its question mark.
    within: String,
    row: ApplicationRow,
}

impl ReviewPage {
    async fn of(app: &App, member: &Member, id: ApplicationId, query: &Fields) -> Result<Self, PageError> {
        let row = app.reviewed_application(id).await?;
        let reader = member.id();
        let history = app.history(id).await?;
        let filter = came_from(app, query, reader).await;
        let beside = |newest_first| {
            let (filter, row) = (filter.clone(), &row);
            async move {
                // What waits no more has no place in the queue.
                if filter.waiting && row.waits().is_none() {
                    return Ok(None);
                }
                let after = Some(place(&filter, row));
                let filter = ReviewFilter { newest_first, after, limit: 1, ..filter };
                app.review_list(&filter).await.map(|rows| rows.into_iter().next())
            }
        };
        let words = |scopes: ScopeSet| scopes.iter().map(Scope::describe).collect();
        let asked = row.proposed.as_ref().map_or(row.scopes, |proposed| proposed.scopes);
        let signed = row.signed.filter(|_| app.config.two_person_rule);
        let claim = Claimed::of(app, &row, reader);
        let (decisions, dangers) = offers(app, &row, reader, claim.as_ref().is_some_and(|claim| !claim.mine));
        let friendly = decisions.iter().any(|offer| offer.verb.is_friendly());
        let fits = |clause: &&Clause| friendly || clause.code != MEETS_POLICY;
        let done = just_decided(&history, reader, app.now());
        let barred = barred(app, &row, &history, reader);
        let within = kept(query);
        let here = format!("{}/admin/apps/{id}{within}", app.config.base_path());
        let lead_on = done.is_some() || (barred.is_some() && row.waits().is_some());
        Ok(Self {
            owner: Owner::of(app, &row).await?,
            look_alikes: app.state.look_alikes(id),
            barred,
            back_as: back_as(&row, &history),
            may: words(row.scopes),
            may_not: words(ScopeSet::grantable().iter().filter(|scope| !row.scopes.contains(*scope)).collect()),
            gains: words(asked.iter().filter(|scope| !row.scopes.contains(*scope)).collect()),
            decisions,
            dangers,
            clauses: app.policy.clauses().iter().filter(fits).cloned().collect(),
            friendly,
            wait: Wait::of(app, &row),
            claim,
            signed: signed.map(|(user, at)| (app.state.name_of(user), at, user == reader)),
            two_person_rule: app.config.two_person_rule,
            change: row.proposed.as_ref().map(|proposed| difference(&row.asked(), proposed)).unwrap_or_default(),
            ask_password: !app.is_fresh(&member.signed_in),
            typed: Verdict::default(),
            errors: vec![],
            problem: None,
            overtaken: None,
            their_reason: None,
            done,
            previous: beside(!filter.newest_first).await?,
            next: beside(filter.newest_first).await?,
            to_take_up: if lead_on { app.next_to_review(&filter, reader, &[id]).await? } else { None },
            within,
            frame: Frame::of(app, &member.visitor).await,
            last_decided: last_decided(&history),
            history: HistoryPart::of(history, query, here)?,
            row,
        })
    }

    /// The form itself goes nowhere else than its first button.
    fn first_verb(&self) -> &'static str {
        self.decisions.iter().chain(&self.dangers).next().map_or("", |offer| offer.verb.as_str())
    }

    /// Whether it is over for good.
    const fn has_ended(&self) -> bool {
        matches!(self.row.standing, Standing::Revoked | Standing::Withdrawn)
    }

    fn has_signed(&self) -> bool {
        self.signed.as_ref().is_some_and(|(_, _, mine)| *mine)
    }

    fn another_claims(&self) -> bool {
        self.claim.as_ref().is_some_and(|claim| !claim.mine)
    }

    /// Whether what comes next is still to be claimed.
    fn is_free(&self, row: &ApplicationRow) -> bool {
        row.claim.is_none_or(|claim| claim.until() <= self.frame.now)
    }

    /// Where somebody goes on who has made a mistake.
    fn is_first_wrong(&self, field: &str) -> bool {
        let wrong = |field: &&str| self.errors.iter().any(|error| error.field == *field);
        ["reason_code", "reason", "password"].into_iter().find(wrong) == Some(field)
    }

    fn clauses_say_something(&self) -> bool {
        self.clauses.iter().any(|clause| !clause.text.is_empty())
    }

    /// The page again, with what was typed and why it was not done.
    async fn refused(
        self,
        app: &App,
        (reader, query): (UserId, &Fields),
        typed: Verdict,
        error: AppError,
    ) -> Result<Self, AppError> {
        let detail = tell(&error).detail;
        let beside = |field, code| vec![FieldError::new(field, code, detail.clone())];
        let (errors, overtaken) = match error {
            AppError::PasswordAgain => (beside("password", "required"), None),
            AppError::WrongPassword => (beside("password", "wrong"), None),
            AppError::Fields(errors) => (errors.into_iter().map(for_people).collect(), None),
            AppError::Overtaken(overtaken) => (vec![], Some(overtaken)),
            _ => (vec![], None),
        };
        let faster = overtaken.as_ref().map(|overtaken| overtaken.by.0);
        let is_theirs = faster.is_some() && self.row.decided_by == faster;
        let their_reason = if is_theirs { app.reason_of(&self.row).await? } else { None };
        let filter = came_from(app, query, reader).await;
        let to_take_up = if overtaken.is_some() {
            app.next_to_review(&filter, reader, &[self.row.application_id]).await?
        } else {
            None
        };
        Ok(Self { typed, problem: Some(detail), errors, overtaken, their_reason, to_take_up, done: None, ..self })
    }
}

/// The list of clauses is in the form: its codes are for the API.
fn for_people(error: FieldError) -> FieldError {
    if error.field == "reason_code" {
        FieldError { message: "Choose a reason from the list.".to_owned(), ..error }
    } else {
        error
    }
}

/// The queue that a reader came from, as links carry it on.
pub(super) fn kept(query: &Fields) -> String {
    let kept = within(query).to_query();
    if kept.is_empty() { kept } else { format!("?{kept}") }
}

/// The queue that a reader came from; one that cannot be read is the plain one.
pub(super) async fn came_from(app: &App, query: &Fields, reader: UserId) -> ReviewFilter {
    let filter = review_filter(app, query, reader, 1).await.unwrap_or_else(|_| app.review_filter(1));
    ReviewFilter { waiting: filter.waiting || query.text("state").is_empty(), after: None, ..filter }
}

/// Nobody decides on their own application, nor on an appeal against their own denial while another could.
fn barred(app: &App, row: &ApplicationRow, history: &[Happening], reader: UserId) -> Option<&'static str> {
    if row.owner_id == reader {
        return Some("This is your own application: another reviewer has to decide on it.");
    }
    let mut denied_by = None;
    let mut appealed_from = None;
    for happening in history {
        match &happening.recorded.event {
            Event::Application(ApplicationEvent::ApplicationDenied { decision, .. }) => {
                (denied_by, appealed_from) = (Some(decision.by), None);
            }
            Event::Application(ApplicationEvent::ApplicationAppealed { .. }) => appealed_from = denied_by,
            Event::Application(ApplicationEvent::ApplicationApproved { .. }) => appealed_from = None,
            _ => {}
        }
    }
    let but: Vec<_> = [reader, row.owner_id].into_iter().chain(row.signed.map(|(first, _)| first)).collect();
    let another = row.standing == Standing::UnderReview
        && appealed_from == Some(reader)
        && app.state.another_holds(Role::Reviewer, &but);
    another.then_some("Its owner appeals against your own denial: another reviewer has to decide on it.")
}

/// When somebody last decided on an application, or on a change of it.
fn last_decided(history: &[Happening]) -> Option<Timestamp> {
    use ApplicationEvent as E;
    history.iter().rev().find_map(|happening| match &happening.recorded.event {
        Event::Application(
            E::ChangesRequested { decision, .. }
            | E::ApplicationApproved { decision, .. }
            | E::ApplicationDenied { decision, .. }
            | E::ChangeApproved { decision, .. }
            | E::ChangeDenied { decision, .. }
            | E::ApplicationSuspended { decision, .. }
            | E::ApplicationReinstated { decision, .. }
            | E::ApplicationRevoked { decision, .. },
        ) => Some(decision.at),
        _ => None,
    })
}

/// As what it waits again.
fn back_as(row: &ApplicationRow, history: &[Happening]) -> Option<&'static str> {
    let back = |happening: &Happening| match &happening.recorded.event {
        Event::Application(ApplicationEvent::ApplicationAppealed { .. }) => Some("appeal"),
        Event::Application(ApplicationEvent::ApplicationResubmitted { .. }) => Some("resubmitted"),
        _ => None,
    };
    if row.standing == Standing::UnderReview { history.iter().rev().find_map(back) } else { None }
}

/// What the reader decided last of all, when that was a moment ago.
fn just_decided(history: &[Happening], reader: UserId, now: Timestamp) -> Option<&'static str> {
    use ApplicationEvent as E;
    let Event::Application(event) = &history.last()?.recorded.event else { return None };
    let (decision, words) = match event {
        E::ReviewSigned { decision, .. } => {
            (decision, "You signed first. It holds when another reviewer has signed as well.")
        }
        E::ChangesRequested { decision, .. } => (decision, "You asked for changes. Its owner is told so."),
        E::ApplicationApproved { decision, .. } => (decision, "You approved it. Its owner is told so."),
        E::ApplicationDenied { decision, .. } => (decision, "You denied it. Its owner is told so."),
        E::ChangeApproved { decision, .. } => (decision, "You approved the change. Its owner is told so."),
        E::ChangeDenied { decision, .. } => (decision, "You denied the change. Its owner is told so."),
        E::ApplicationSuspended { decision, .. } => (decision, "You suspended it. Its owner is told so."),
        E::ApplicationReinstated { decision, .. } => (decision, "You reinstated it. Its owner is told so."),
        E::ApplicationRevoked { decision, .. } => (decision, "You revoked it. Its owner is told so."),
        E::ApplicationRequested { .. }
        | E::ApplicationEdited { .. }
        | E::ReviewClaimed { .. }
        | E::ReviewReleased { .. }
        | E::ApplicationResubmitted { .. }
        | E::ApplicationAppealed { .. }
        | E::ChangeProposed { .. }
        | E::ChangeWithdrawn { .. }
        | E::ApplicationWithdrawn { .. }
        | E::ClientIdRotated { .. } => return None,
    };
    (decision.by == reader && now - decision.at < JUST_NOW).then_some(words)
}

pub(in crate::web) async fn application(
    State(app): State<Arc<App>>,
    Reviewer(member): Reviewer,
    PageId(id): PageId<ApplicationId>,
    Query(query): Query,
) -> Result<Response, PageError> {
    let page = ReviewPage::of(&app, &member, id, &query).await?;
    Ok(render(&app, &member.visitor, StatusCode::OK, &page))
}

pub(in crate::web) async fn decide(
    State(app): State<Arc<App>>,
    sender: Result<Reviewer, Response>,
    PageId(id): PageId<ApplicationId>,
    VerbName(verb): VerbName,
    Query(query): Query,
    form: Result<Form, PageError>,
) -> Result<Response, PageError> {
    let kept = kept(&query);
    let member = match sender {
        Ok(Reviewer(member)) => member,
        Err(sent_away) if sent_away.status().is_redirection() => return Ok(to_log_in(&app, id, &kept)),
        Err(refused) => return Ok(refused),
    };
    let verb: Verb = verb.parse()?;
    let Form(form) = form?;
    let caller = member.visitor.caller("POST /admin/apps/{id}/{verb}", &form);
    let verdict = verdict(&form);
    // A claim is no decision: it wants no password.
    let confirmed =
        if verb.decides() { app.confirm(&caller, &member.signed_in, form.get("password")).await } else { Ok(None) };
    let (decided, renewed) = match confirmed {
        Ok(renewed) => (app.decide_application(&caller, member.id(), id, verb, &verdict).await, renewed),
        Err(error) => (Err(error), None),
    };
    let mut response = match decided {
        // What was typed before the claim is typed all the same.
        Ok(done) if verb == Verb::Claim && !(verdict.reason.is_empty() && verdict.reason_code.is_empty()) => {
            let page = ReviewPage { typed: verdict, ..ReviewPage::of(&app, &member, id, &query).await? };
            let mut response = render(&app, &member.visitor, StatusCode::OK, &page);
            stamp(&app, &mut response, done.cursor);
            response
        }
        Ok(done) => see_other(&app, &format!("/admin/apps/{id}{kept}"), done.cursor),
        Err(
            error @ (AppError::Refused(_)
            | AppError::Overtaken(_)
            | AppError::Fields(_)
            | AppError::PasswordAgain
            | AppError::WrongPassword
            | AppError::LostRace),
        ) => {
            // What was typed survives whatever went wrong, and so does the session that the password renewed.
            let status = tell(&error).status;
            let page = ReviewPage::of(&app, &member, id, &query).await?;
            let mut page = page.refused(&app, (member.id(), &query), verdict, error).await?;
            if let Some(browser) = &renewed {
                page.frame.csrf = app.csrf_token(browser);
                page.ask_password = false;
            }
            render(&app, &member.visitor, status, &page)
        }
        Err(error) => PageError::from(error).into_response(),
    };
    if let Some(browser) = renewed {
        response.headers_mut().append(header::SET_COOKIE, cookies::set_browser(&app, &browser));
    }
    Ok(response)
}

fn verdict(form: &Fields) -> Verdict {
    Verdict {
        revision: form.text("revision").parse().unwrap_or_default(),
        reason_code: form.text("reason_code").to_owned(),
        reason: form.text("reason").replace("\r\n", "\n"),
    }
}

/// Whoever was signed out while they typed comes back to the page after the log-in; the script has kept their text.
fn to_log_in(app: &App, id: ApplicationId, kept: &str) -> Response {
    let base = app.config.base_path();
    let page = format!("{base}/admin/apps/{id}{kept}");
    let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("return_to", &page).finish();
    Redirect::to(&format!("{base}/login?{query}")).into_response()
}
