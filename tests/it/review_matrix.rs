//! What verbs do in states and who may ask for them, over the JSON API and at the pages: one table says what must come of
//! it. What is refused appends nothing, and what is allowed appends exactly what the table says.
//!
//! The core goes through every verb in every state (`events/src/application/tests.rs`); here somebody who may asks for
//! each of them, and everybody who may not asks for each verb in some state. A longer run asks for all cells.

use axum::http::Method;
use countersign::app::reviews::Verb;
use countersign_events::{account::Role, ids::ApplicationId, recorded::Position};
use serde_json::json;

use crate::{
    browser_double::Answer,
    prerequisites::times,
    review_scene::{Cast, Credential, Person, State, verdict},
    support::by,
};

/// What an owner does with an application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OwnersVerb {
    Edit,
    Resubmit,
    Appeal,
    Withdraw,
    WithdrawChange,
    RotateClientId,
}

impl OwnersVerb {
    const ALL: [Self; 6] =
        [Self::Edit, Self::Resubmit, Self::Appeal, Self::Withdraw, Self::WithdrawChange, Self::RotateClientId];

    const fn word(self) -> &'static str {
        match self {
            Self::Edit => "edit",
            Self::Resubmit => "resubmit",
            Self::Appeal => "appeal",
            Self::Withdraw => "withdraw",
            Self::WithdrawChange => "withdraw-change",
            Self::RotateClientId => "rotate-client-id",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Owners(OwnersVerb),
    Reviewers(Verb),
}

fn deeds() -> impl Iterator<Item = Deed> {
    OwnersVerb::ALL.into_iter().map(Deed::Owners).chain(Verb::ALL.into_iter().map(Deed::Reviewers))
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Owner,
    Member,
    Reviewer,
    Auditor,
    Operator,
    Admin,
    Suspended,
    Stranger,
    ReviewToken,
    OtherToken,
    SuspendedToken,
}

impl Who {
    const AT_PAGES: [Self; 8] = [
        Self::Owner,
        Self::Member,
        Self::Reviewer,
        Self::Auditor,
        Self::Operator,
        Self::Admin,
        Self::Suspended,
        Self::Stranger,
    ];
    const ALL: [Self; 11] = [
        Self::Owner,
        Self::Member,
        Self::Reviewer,
        Self::Auditor,
        Self::Operator,
        Self::Admin,
        Self::Suspended,
        Self::Stranger,
        Self::ReviewToken,
        Self::OtherToken,
        Self::SuspendedToken,
    ];
}

/// What comes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// These events, in this order; none where what is asked for holds already.
    Done(&'static [&'static str]),
    /// This status and code.
    Refused(u16, &'static str),
}

const WRONG: Outcome = Outcome::Refused(409, "wrong_state");

/// The table: what an owner's and a reviewer's verb do in a state, when the right person asks.
fn transition(state: State, deed: Deed) -> Outcome {
    use Outcome::Done;
    use OwnersVerb as O;
    use State as S;
    match deed {
        Deed::Owners(verb) => match (verb, state) {
            (O::Edit, S::UnderReview) => Done(&["ApplicationEdited"]),
            (O::Edit, S::Approved | S::ApprovedChanging) => Done(&["ChangeProposed"]),
            (O::Resubmit, S::ChangesRequested) => Done(&["ApplicationResubmitted"]),
            (O::Appeal, S::Denied) => Done(&["ApplicationAppealed"]),
            (O::Withdraw, S::Withdrawn) => Done(&[]),
            (O::Withdraw, S::Denied | S::Revoked) => WRONG,
            (O::Withdraw, _) => Done(&["ApplicationWithdrawn"]),
            (O::WithdrawChange, S::ApprovedChanging | S::SuspendedChanging) => Done(&["ChangeWithdrawn"]),
            (O::RotateClientId, S::Approved | S::ApprovedChanging) => Done(&["ClientIdRotated"]),
            _ => WRONG,
        },
        Deed::Reviewers(verb) => match (verb, state) {
            (Verb::Claim, S::UnderReview | S::ApprovedChanging | S::SuspendedChanging) => Done(&["ReviewClaimed"]),
            (Verb::Release, _) => Done(&[]),
            (Verb::Approve, S::UnderReview) => {
                Done(&["ApplicationApproved", "UserAuthorized", "TokenIssued", "PrivateMessageSent"])
            }
            (Verb::Deny, S::UnderReview) => Done(&["ApplicationDenied", "PrivateMessageSent"]),
            (Verb::RequestChanges, S::UnderReview) => Done(&["ChangesRequested", "PrivateMessageSent"]),
            (Verb::Suspend, S::Approved | S::ApprovedChanging) => Done(&["ApplicationSuspended", "PrivateMessageSent"]),
            (Verb::Reinstate, S::Suspended | S::SuspendedChanging) => {
                Done(&["ApplicationReinstated", "PrivateMessageSent"])
            }
            (Verb::Revoke, S::Approved | S::ApprovedChanging | S::Suspended | S::SuspendedChanging) => {
                Done(&["ApplicationRevoked", "PrivateMessageSent"])
            }
            (Verb::ApproveChange, S::ApprovedChanging | S::SuspendedChanging) => {
                Done(&["ChangeApproved", "PrivateMessageSent"])
            }
            (Verb::DenyChange, S::ApprovedChanging | S::SuspendedChanging) => {
                Done(&["ChangeDenied", "PrivateMessageSent"])
            }
            _ => WRONG,
        },
    }
}

/// The table with everybody in it.
fn outcome(state: State, deed: Deed, who: Who) -> Outcome {
    use Outcome::Refused;
    match (deed, who) {
        (_, Who::Suspended | Who::Stranger) => Refused(401, "token_missing"),
        (_, Who::SuspendedToken) => Refused(401, "user_suspended"),
        (Deed::Owners(_), Who::ReviewToken | Who::OtherToken) => Refused(403, "session_required"),
        (Deed::Owners(_), Who::Owner) | (Deed::Reviewers(_), Who::Reviewer | Who::Admin | Who::ReviewToken) => {
            transition(state, deed)
        }
        (Deed::Owners(_), _) => Refused(404, "not_found"),
        (Deed::Reviewers(_), Who::OtherToken) => Refused(403, "insufficient_scope"),
        (Deed::Reviewers(_), _) => Refused(403, "role_missing"),
    }
}

/// Whether it is refused for who asks, whatever the state.
fn is_barred(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Refused(401..=404, _))
}

/// The cells that are asked for, with what must come of them. Of those who may, they take turns from cell to cell; those
/// who may not each ask for each verb in one state. Where times are ten, it is everybody in every state.
fn cells(people: &[Who]) -> Vec<(State, Deed, Who, Outcome)> {
    let mut cells = vec![];
    for (at_state, state) in State::ALL.into_iter().enumerate() {
        for (at_deed, deed) in deeds().enumerate() {
            let (may_not, may): (Vec<_>, Vec<_>) =
                people.iter().copied().partition(|who| is_barred(outcome(state, deed, *who)));
            let in_turn = |(at, _): &(usize, Who), of: usize| (at_state + at_deed + at) % of < times(1);
            let of = may.len();
            let chosen = may.into_iter().enumerate().filter(|one| in_turn(one, of));
            let others = may_not.into_iter().enumerate().filter(|one| in_turn(one, State::ALL.len()));
            cells.extend(chosen.chain(others).map(|(_, who)| (state, deed, who, outcome(state, deed, who))));
        }
    }
    cells
}

/// Everybody of the table.
struct People {
    cast: Cast,
    ben: Person,
    ann: Person,
    oli: Person,
    ada: Person,
    sue: Person,
    review: String,
    other: String,
    suspended: String,
}

impl People {
    async fn start() -> Self {
        let cast = Cast::start().await;
        let ben = cast.person("ben", &[]).await;
        let ann = cast.person("ann", &[Role::Auditor]).await;
        let oli = cast.person("oli", &[Role::Operator]).await;
        let ada = cast.person("ada", &[Role::Admin]).await;
        let sue = cast.person("sue", &[Role::Reviewer]).await;
        let review = cast.token(&cast.rob, "review").await;
        let other = cast.token(&cast.rob, "read identity notifications messages write vote").await;
        let suspended = cast.token(&sue, "review").await;
        cast.app().suspend_account(&by(ada.id), sue.id).await.expect("suspended");
        Self { cast, ben, ann, oli, ada, sue, review, other, suspended }
    }

    fn credential(&self, who: Who) -> Credential<'_> {
        match who {
            Who::Owner => Credential::Session(&self.cast.cleo),
            Who::Member => Credential::Session(&self.ben),
            Who::Reviewer => Credential::Session(&self.cast.rob),
            Who::Auditor => Credential::Session(&self.ann),
            Who::Operator => Credential::Session(&self.oli),
            Who::Admin => Credential::Session(&self.ada),
            Who::Suspended => Credential::Session(&self.sue),
            Who::Stranger => Credential::Nothing,
            Who::ReviewToken => Credential::Token(&self.review),
            Who::OtherToken => Credential::Token(&self.other),
            Who::SuspendedToken => Credential::Token(&self.suspended),
        }
    }

    /// An application in a state. What changes nothing leaves it as it is, so one of each state serves all of that.
    async fn given(
        &self,
        state: State,
        outcome: Outcome,
        unchanged: &mut Vec<(State, ApplicationId)>,
    ) -> ApplicationId {
        let changes = matches!(outcome, Outcome::Done([_, ..]));
        if let Some((_, id)) = unchanged.iter().find(|(of, _)| *of == state && !changes) {
            return *id;
        }
        let id = self.cast.given(&self.cast.cleo, state).await;
        if !changes {
            unchanged.push((state, id));
        }
        id
    }

    async fn by_api(&self, who: Who, id: ApplicationId, state: State, deed: Deed) -> Answer {
        let (cast, who) = (&self.cast, self.credential(who));
        let path = format!("/api/v1/applications/{id}");
        match deed {
            Deed::Reviewers(verb) => cast.verb(who, id, verb, state.revision()).await,
            Deed::Owners(OwnersVerb::Edit) => {
                cast.json(who, Method::PATCH, &path, Some(&json!({ "name": "Better" }))).await
            }
            Deed::Owners(verb) => {
                let body = match verb {
                    OwnersVerb::Resubmit => Some(json!({ "description": "It says more." })),
                    OwnersVerb::Appeal => Some(json!({ "text": "Please look again." })),
                    _ => None,
                };
                cast.json(who, Method::POST, &format!("{path}/{}", verb.word()), body.as_ref()).await
            }
        }
    }

    async fn at_page(&self, who: Who, id: ApplicationId, state: State, deed: Deed) -> Answer {
        let who = self.credential(who);
        let revision = state.revision().to_string();
        let (path, fields) = match deed {
            Deed::Owners(OwnersVerb::Appeal) => {
                (format!("/settings/apps/{id}/appeal"), vec![("text", "Please look again.")])
            }
            Deed::Owners(verb) => {
                let fields = [
                    ("name", "Better"),
                    ("redirect_uri", "https://app.example/cb"),
                    ("purpose", "web"),
                    ("revision", revision.as_str()),
                ];
                (format!("/settings/apps/{id}/{}", verb.word()), fields.to_vec())
            }
            Deed::Reviewers(verb) => {
                let fields = [("revision", revision.as_str()), ("reason_code", "other"), ("reason", "As agreed.")];
                (format!("/admin/apps/{id}/{}", verb.as_str()), fields.to_vec())
            }
        };
        self.cast.form(who, &path, &fields).await
    }

    async fn assert_appended(&self, before: Position, outcome: Outcome, cell: &str) {
        let wanted = if let Outcome::Done(events) = outcome { events } else { &[] };
        assert_eq!(self.cast.appended(before).await, wanted, "{cell}");
    }
}

/// Who brought a state about.
const fn brought_about(state: State) -> &'static str {
    if matches!(state, State::UnderReview | State::Withdrawn) { "cleo" } else { "dee" }
}

fn assert_told(answer: &Answer, outcome: Outcome, state: State, cell: &str) {
    match outcome {
        Outcome::Done(_) => assert!([200, 204].contains(&answer.status.as_u16()), "{cell}: {}", answer.body),
        Outcome::Refused(status, code) => {
            let problem = answer.json();
            assert_eq!((answer.status.as_u16(), problem["code"].as_str()), (status, Some(code)), "{cell}: {problem}");
            if status == 409 {
                let current = &problem["current"];
                assert_eq!(
                    (&current["state"], &current["by"]),
                    (&json!(state.word()), &json!(brought_about(state))),
                    "{cell}: {problem}"
                );
                assert!(current["at"].is_string(), "{cell}: {problem}");
            }
        }
    }
}

#[test]
fn the_cells_that_are_asked_for_have_every_verb_in_every_state_and_everybody_with_every_verb() {
    for people in [&Who::ALL[..], &Who::AT_PAGES] {
        let cells = cells(people);
        for deed in deeds() {
            for state in State::ALL {
                let allowed = |cell: &&(State, Deed, Who, Outcome)| !is_barred(cell.3);
                let asked = cells.iter().filter(|cell| (cell.0, cell.1) == (state, deed)).filter(allowed).count();
                assert!(asked > 0, "{deed:?} in {state:?} by nobody who may");
            }
            for who in people {
                let asked = cells.iter().any(|cell| (cell.1, cell.2) == (deed, *who));
                assert!(asked, "{deed:?} by {who:?}");
            }
        }
    }
}

#[tokio::test]
async fn every_verb_in_every_state_does_over_the_api_what_the_table_says() {
    let people = People::start().await;
    let mut unchanged = vec![];
    for (state, deed, who, outcome) in cells(&Who::ALL) {
        let cell = format!("{state:?} {deed:?} {who:?}");
        let id = people.given(state, outcome, &mut unchanged).await;
        let before = people.cast.head().await;
        let answer = people.by_api(who, id, state, deed).await;
        assert_told(&answer, outcome, state, &cell);
        people.assert_appended(before, outcome, &cell).await;
    }
}

#[tokio::test]
async fn every_verb_in_every_state_does_at_the_pages_what_the_table_says() {
    let people = People::start().await;
    let mut unchanged = vec![];
    for (state, deed, who, outcome) in cells(&Who::AT_PAGES) {
        let cell = format!("{state:?} {deed:?} {who:?}");
        let id = people.given(state, outcome, &mut unchanged).await;
        let before = people.cast.head().await;
        let answer = people.at_page(who, id, state, deed).await;
        let page = if matches!(deed, Deed::Owners(_)) { "/settings/apps" } else { "/admin/apps" };
        match outcome {
            // What was typed beside a claim is on the page that answers it.
            Outcome::Done(_) if matches!(deed, Deed::Reviewers(Verb::Claim)) => {
                assert_eq!(answer.status, 200, "{cell}: {}", answer.body);
            }
            Outcome::Done(_) => {
                assert_eq!(answer.status, 303, "{cell}: {}", answer.body);
                assert_eq!(answer.location(), format!("{page}/{id}"), "{cell}");
            }
            // Nobody is signed in: first of all, log in.
            Outcome::Refused(401, _) => {
                assert_eq!(answer.status, 303, "{cell}: {}", answer.body);
                assert!(answer.location().starts_with("/login"), "{cell}: {}", answer.location());
            }
            Outcome::Refused(status, _) => {
                assert_eq!(answer.status, status, "{cell}: {}", answer.body);
                let told = status != 409 || answer.body.contains(brought_about(state));
                assert!(told && answer.header("content-type").starts_with("text/html"), "{cell}");
            }
        }
        people.assert_appended(before, outcome, &cell).await;
    }
}

#[tokio::test]
async fn nobody_decides_on_an_application_of_their_own_in_any_state() {
    let cast = Cast::start().await;
    let ivy = cast.person("ivy", &[Role::Admin]).await;
    let token = cast.token(&ivy, "review").await;
    for state in State::ALL {
        let id = cast.given(&ivy, state).await;
        let before = cast.head().await;
        for verb in Verb::ALL {
            for who in [Credential::Session(&ivy), Credential::Token(&token)] {
                let answer = cast.verb(who, id, verb, state.revision()).await;
                let cell = format!("{state:?} {verb:?}: {}", answer.body);
                if verb == Verb::Release {
                    // There is nothing of theirs to be let go.
                    assert_eq!(answer.status, 200, "{cell}");
                } else {
                    let code = answer.json()["code"].clone();
                    assert_eq!((answer.status.as_u16(), code), (403, json!("own_application")), "{cell}");
                }
            }
        }
        assert_eq!(cast.head().await, before, "{state:?}");
    }
}

#[tokio::test]
async fn asking_again_for_what_one_decided_succeeds_and_appends_nothing() {
    let cast = Cast::start().await;
    let dee = Credential::Session(&cast.dee);
    for (state, verb) in [
        (State::ChangesRequested, Verb::RequestChanges),
        (State::Denied, Verb::Deny),
        (State::Approved, Verb::Approve),
        (State::ApprovedChanging, Verb::Approve),
        (State::Suspended, Verb::Suspend),
        (State::SuspendedChanging, Verb::Suspend),
        (State::Revoked, Verb::Revoke),
    ] {
        let id = cast.given(&cast.cleo, state).await;
        let before = cast.head().await;
        let answer = cast.verb(dee, id, verb, 1).await;
        assert_eq!((answer.status.as_u16(), cast.head().await), (200, before), "{state:?} {verb:?}: {}", answer.body);
    }
    for verb in [Verb::ApproveChange, Verb::DenyChange] {
        let id = cast.given(&cast.cleo, State::ApprovedChanging).await;
        assert_eq!(cast.verb(dee, id, verb, 2).await.status, 200);
        let before = cast.head().await;
        let again = cast.verb(dee, id, verb, 2).await;
        assert_eq!((again.status.as_u16(), cast.head().await), (200, before), "{verb:?}: {}", again.body);
        let other = cast.verb(Credential::Session(&cast.rob), id, verb, 2).await.json();
        assert_eq!((&other["code"], &other["current"]["by"]), (&json!("wrong_state"), &json!("dee")), "{other}");
    }
}

#[tokio::test]
async fn what_is_no_application_and_what_is_no_verb_is_not_there() {
    let cast = Cast::start().await;
    let id = cast.given(&cast.cleo, State::UnderReview).await;
    let rob = Credential::Session(&cast.rob);
    let nobodys = ApplicationId(countersign_events::ids::ApplicationId::SITE.0);
    for (path, status) in [
        (format!("/api/v1/review/{nobodys}/approve"), 404),
        ("/api/v1/review/17/approve".to_owned(), 404),
        (format!("/api/v1/review/{id}/applaud"), 404),
    ] {
        let answer = cast.post(rob, &path, &verdict(1)).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (status, &json!("not_found")), "{path}");
    }
}
