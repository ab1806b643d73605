//! The reviewers' pages: finding one's way in the queue, and what a decision's page says and keeps.

use axum::http::StatusCode;
use chrono::Duration;
use countersign::app::{applications::Request, reviews::Verb};
use countersign_events::{account::Role, ids::ApplicationId};
use serde_json::{Value, json};

use crate::{
    browser_double::{Answer, Browser},
    review_scene::{Cast, Credential, State},
    support::by,
};

/// The names of the listed applications, in order.
fn listed(page: &Answer) -> Vec<String> {
    let rows = page.body.split("data-step><bdi>").skip(1);
    rows.map(|row| row.split("</bdi>").next().expect("a name ends").to_owned()).collect()
}

/// The address of the first link with this beginning of its text.
fn link(page: &Answer, text: &str) -> String {
    let (before, _) = page.body.split_once(text).unwrap_or_else(|| panic!("no {text} in {}", page.body));
    let address = before.rsplit("href=\"").next().and_then(|rest| rest.split('"').next()).expect("a link");
    address.replace("&#38;", "&")
}

fn assert_shows(page: &Answer, shown: &[&str]) {
    for text in shown {
        assert!(page.body.contains(text), "{text}: {}", page.body);
    }
}

async fn given(cast: &Cast, name: &str) -> ApplicationId {
    cast.site.given_request(cast.cleo.id, name).await
}

/// Sends the decision form of a page that was opened before.
async fn send(browser: &mut Browser, page: &Answer, id: ApplicationId, verb: &str, reason: &str) -> Answer {
    let (csrf, revision) = (page.hidden("csrf_token"), page.hidden("revision"));
    let fields = [("csrf_token", &*csrf), ("revision", &*revision), ("reason_code", "other"), ("reason", reason)];
    browser.post(&format!("/admin/apps/{id}/{verb}"), &fields).await
}

#[tokio::test]
async fn the_queue_is_listed_by_its_filters_and_counts_every_state() {
    let cast = Cast::start().await;
    given(&cast, "Oldest").await;
    cast.site.clock.advance(Duration::days(4));
    let claimed = given(&cast, "Claimed").await;
    cast.decide(&cast.rob, claimed, Verb::Claim, 0).await.expect("claimed");
    cast.site.clock.advance(Duration::minutes(1));
    let personal = Request { purpose: "personal".to_owned(), name: "Bot".to_owned(), ..Request::default() };
    let asked = cast.app().asked(&Request { scopes: vec!["vote".to_owned()], ..personal }).expect("a good request");
    cast.app().request_application(&by(cast.rob.id), cast.rob.id, asked).await.expect("asked");
    cast.given(&cast.cleo, State::Denied).await;
    let mut rob = cast.browser(&cast.rob);
    for (query, names) in [
        ("", &["Oldest", "Claimed", "Bot"][..]),
        ("sort=newest", &["Bot", "Claimed", "Oldest"]),
        ("state=denied", &["Reader"]),
        ("purpose=personal", &["Bot"]),
        ("scope=vote", &["Bot"]),
        ("owner=me", &["Bot"]),
        ("owner=cleo", &["Oldest", "Claimed"]),
        ("claimed_by=rob", &["Claimed"]),
        ("claimed_by=no", &["Oldest", "Bot"]),
        ("overdue=true", &["Oldest"]),
        ("overdue=false", &["Claimed", "Bot"]),
        ("owner=cleo&state=all", &["Oldest", "Claimed", "Reader"]),
        ("owner=cleo&state=revoked", &[]),
    ] {
        let page = rob.get(&format!("/admin/apps?{query}")).await;
        assert_eq!((page.status, listed(&page)), (StatusCode::OK, names.iter().map(ToString::to_string).collect()));
    }
    let page = rob.get("/admin/apps").await;
    let tab = |name: &str, number| format!(">{name} <span class=\"quiet\">{number}</span></a>");
    for (name, number) in [("waiting", 3), ("yours", 1), ("denied", 1), ("approved", 0), ("all", 4)] {
        assert_shows(&page, &[&tab(name, number)]);
    }
    // What is under review waits: it has no tab beside the one of what waits, except where somebody asks for it.
    assert!(!page.body.contains(&tab("under review", 3)), "{}", page.body);
    assert_shows(&rob.get("/admin/apps?state=under_review").await, &[&tab("under review", 3)]);
    // How long it waits, who is at it, and what is late.
    assert_shows(
        &page,
        &["4 days</span> <span class=\"badge bad\">overdue</span>", "<strong>you</strong>", "due <time"],
    );
}

#[tokio::test]
async fn overdue_false_means_not_overdue_in_the_api_as_well() {
    let cast = Cast::start().await;
    let old = given(&cast, "Old").await;
    cast.site.clock.advance(Duration::days(4));
    let fresh = given(&cast, "Fresh").await;
    cast.site.clock.advance(Duration::seconds(1));
    let denied = cast.given(&cast.cleo, State::Denied).await;
    for (query, wanted) in [
        ("overdue=true", vec![old]),
        ("overdue=false", vec![fresh, denied]),
        ("overdue=false&state=waiting", vec![fresh]),
        ("claimed_by=no&state=waiting", vec![old, fresh]),
        ("state=all&overdue=true", vec![old]),
    ] {
        let list = cast.get(Credential::Session(&cast.rob), &format!("/api/v1/review?{query}")).await.json();
        let ids: Vec<_> = list["data"].as_array().expect("a list").iter().map(|row| row["id"].clone()).collect();
        let wanted: Vec<_> = wanted.iter().map(|id| json!(id)).collect();
        assert_eq!(ids, wanted, "{query}");
    }
}

#[tokio::test]
async fn a_filter_that_does_not_hold_is_told_beside_its_field_and_stays_typed() {
    let cast = Cast::start().await;
    given(&cast, "Reader").await;
    let mut rob = cast.browser(&cast.rob);
    let query = "owner=nobody+here&purpose=fun&claimed_by=dee&overdue=perhaps&sort=best&limit=1000";
    let page = rob.get(&format!("/admin/apps?{query}")).await;
    assert_eq!((page.status, listed(&page)), (StatusCode::BAD_REQUEST, vec![]));
    assert_shows(
        &page,
        &[
            "value=\"nobody here\"",
            "aria-describedby=\"owner-hint owner-error\"",
            "<p class=\"problem\" id=\"owner-error\">owner is a username",
            "<option value=\"fun\" selected>",
            "<p class=\"problem\" id=\"purpose-error\">purpose is one of web",
            "id=\"overdue-error\">overdue is true or false",
            "id=\"sort-error\">sort is oldest or newest",
            "id=\"limit-error\">limit is a number from 1 to 100",
            "value=\"dee\"",
        ],
    );
    let page = rob.get("/admin/apps?state=lost").await;
    assert_eq!(page.status, StatusCode::BAD_REQUEST);
    assert_shows(&page, &["role=\"alert\"", "state is one of waiting, under_review"]);
}

#[tokio::test]
async fn pages_of_the_queue_say_where_they_are_and_keep_the_filters_both_ways() {
    let cast = Cast::start().await;
    for number in 1..=7 {
        given(&cast, &format!("Number {number}")).await;
        cast.site.clock.advance(Duration::minutes(1));
    }
    cast.site.given_request(cast.dee.id, "Another owner").await;
    let mut rob = cast.browser(&cast.rob);
    let numbered = |numbers: std::ops::RangeInclusive<u32>| numbers.map(|n| format!("Number {n}")).collect::<Vec<_>>();
    let first = rob.get("/admin/apps?owner=cleo&limit=3").await;
    assert_eq!(listed(&first), numbered(1..=3));
    assert_shows(&first, &["1–3 of 7"]);
    assert!(!first.body.contains("rel=\"prev\""), "{}", first.body);
    let second = rob.get(&link(&first, "Newer →")).await;
    assert_eq!(listed(&second), numbered(4..=6));
    let third = rob.get(&link(&second, "Newer →")).await;
    assert_eq!(listed(&third), numbered(7..=7));
    assert_shows(&third, &["7–7 of 7"]);
    let back = rob.get(&link(&third, "← Older")).await;
    assert_eq!(listed(&back), numbered(4..=6));
    assert_shows(&back, &["4–6 of 7"]);
    assert_eq!(listed(&rob.get(&link(&back, "← Older")).await), numbered(1..=3));
    // An application opened from there knows its neighbours there, and the way back.
    let page = rob.get(&link(&second, "<bdi>Number 6")).await;
    assert!(link(&page, "Review queue</a></p>").contains("owner=cleo"), "{}", page.body);
    let seventh = rob.get(&link(&page, "<bdi>Number 7</bdi> →")).await;
    assert!(!seventh.body.contains("Another owner") && link(&seventh, "← <bdi>Number 6").contains("limit=3"));
}

#[tokio::test]
async fn claiming_the_next_one_takes_what_waits_longest_and_is_free_and_not_ones_own() {
    let cast = Cast::start().await;
    cast.site.given_request(cast.rob.id, "Rob's own").await;
    cast.site.clock.advance(Duration::minutes(1));
    let taken = given(&cast, "Taken").await;
    cast.decide(&cast.dee, taken, Verb::Claim, 0).await.expect("claimed");
    cast.site.clock.advance(Duration::minutes(1));
    let (first, second) = (given(&cast, "First").await, {
        cast.site.clock.advance(Duration::minutes(1));
        given(&cast, "Second").await
    });
    let mut rob = cast.browser(&cast.rob);
    let claim = async |rob: &mut Browser, command: &str| {
        let sent = rob.submit("/admin/apps", "/admin/apps/claim-next", &[("command_id", command)]).await;
        assert_eq!(sent.status, StatusCode::SEE_OTHER, "{}", sent.body);
        sent.location().to_owned()
    };
    assert_eq!(claim(&mut rob, "one").await, format!("/admin/apps/{first}"));
    // Pressed twice it is one claim.
    assert_eq!(claim(&mut rob, "one").await, format!("/admin/apps/{first}"));
    assert_eq!(claim(&mut rob, "two").await, format!("/admin/apps/{second}"));
    let before = cast.head().await;
    let none = claim(&mut rob, "three").await;
    assert!(rob.get(&none).await.body.contains("Nothing is left for you to claim"), "{none}");
    let claims: Vec<_> = cast.appended(before).await;
    assert!(claims.is_empty(), "{claims:?}");
    let mut cleo = cast.browser(&cast.cleo);
    let refused = cleo.submit("/settings/apps", "/admin/apps/claim-next", &[]).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn claiming_the_next_one_stays_within_the_filters() {
    let cast = Cast::start().await;
    given(&cast, "Oldest").await;
    cast.site.clock.advance(Duration::minutes(1));
    let personal = Request { purpose: "personal".to_owned(), name: "Bot".to_owned(), ..Request::default() };
    let asked = cast.app().asked(&Request { scopes: vec!["vote".to_owned()], ..personal }).expect("a good request");
    let bot = cast.app().request_application(&by(cast.cleo.id), cast.cleo.id, asked).await.expect("asked").answer;
    let mut rob = cast.browser(&cast.rob);
    // Neither the state that is looked at nor the order counts: what is claimed waits, and waits longest.
    let list = "/admin/apps?purpose=personal&sort=newest&state=denied";
    let page = rob.get(list).await;
    let form = "/admin/apps/claim-next?purpose=personal&#38;sort=newest&#38;state=denied";
    assert_shows(&page, &[&format!("action=\"{form}\"")]);
    let form = form.replace("&#38;", "&");
    let claimed = rob.submit(list, &form, &[]).await;
    assert!(claimed.location().starts_with(&format!("/admin/apps/{bot}?purpose=personal")), "{}", claimed.location());
    let none = rob.submit(list, &form, &[]).await.location().to_owned();
    assert_shows(&rob.get(&none).await, &["Nothing is left for you to claim within these filters"]);
}

#[tokio::test]
async fn the_tab_of_ones_claims_lists_them_until_they_lapse_and_is_no_filter() {
    let cast = Cast::start().await;
    let id = given(&cast, "Claimed").await;
    given(&cast, "Free").await;
    cast.decide(&cast.rob, id, Verb::Claim, 0).await.expect("claimed");
    let mut rob = cast.browser(&cast.rob);
    let path = link(&rob.get("/admin/apps").await, ">yours <span");
    let page = rob.get(&path).await;
    assert_eq!(listed(&page), ["Claimed"]);
    assert!(!page.body.contains("in use</span>"), "{}", page.body);
    assert_shows(&page, &["aria-current=\"page\">yours <span class=\"quiet\">1</span>"]);
    // Other tabs leave it.
    assert_eq!(listed(&rob.get(&link(&page, ">waiting <span")).await).len(), 2);
    cast.site.clock.advance(Duration::minutes(31));
    assert_shows(&rob.get(&path).await, &["You have claimed nothing that still waits."]);
}

#[tokio::test]
async fn what_came_back_says_so_and_as_what() {
    let cast = Cast::start().await;
    let id = cast.given(&cast.cleo, State::Denied).await;
    let mut rob = cast.browser(&cast.rob);
    let path = format!("/admin/apps/{id}");
    assert!(!rob.get(&path).await.body.contains("<span class=\"badge wait\">"), "nothing waits");
    cast.app().appeal(&by(cast.cleo.id), cast.cleo.id, id, "It only reads.").await.expect("appealed");
    assert_shows(&rob.get(&path).await, &["<span class=\"badge wait\">appeal</span></h1>"]);
    assert_shows(&rob.get("/admin/apps").await, &["came back after dee’s answer"]);
    let changing = cast.given(&cast.cleo, State::ApprovedChanging).await;
    let page = rob.get(&format!("/admin/apps/{changing}")).await;
    assert_shows(&page, &["<span class=\"badge wait\">change proposed</span></h1>", "<h2>What is approved</h2>"]);
}

#[tokio::test]
async fn an_appeal_against_ones_own_denial_is_not_what_comes_next() {
    let cast = Cast::start().await;
    let appealed = cast.given(&cast.cleo, State::Denied).await;
    cast.app().appeal(&by(cast.cleo.id), cast.cleo.id, appealed, "It only reads.").await.expect("appealed");
    cast.site.clock.advance(Duration::minutes(1));
    let next = given(&cast, "The next one").await;
    let mut dee = cast.browser(&cast.dee);
    // Whoever cannot decide is not left there either.
    let barred = dee.get(&format!("/admin/apps/{appealed}")).await;
    assert_eq!(link(&barred, "data-key=\"n\""), format!("/admin/apps/{next}"));
    let claim = format!("/admin/apps/{next}/claim");
    assert_shows(&barred, &[&format!("action=\"{claim}\"")]);
    assert_eq!(dee.submit("/admin/apps", &claim, &[]).await.location(), format!("/admin/apps/{next}"));
    let page = dee.get(&format!("/admin/apps/{next}")).await;
    assert_eq!(send(&mut dee, &page, next, "approve", "").await.status, StatusCode::SEE_OTHER);
    assert_shows(&dee.get(&format!("/admin/apps/{next}")).await, &["You approved it.", "Nothing else waits for you."]);
    // To another reviewer it does come next.
    let other = cast.app().next_to_review(&cast.app().review_filter(1), cast.rob.id, &[]).await.expect("a look");
    assert_eq!(other.map(|row| row.application_id), Some(appealed));
}

#[tokio::test]
async fn what_another_has_claimed_is_offered_no_answer_that_would_be_refused() {
    let cast = Cast::start().await;
    let id = cast.given(&cast.cleo, State::ApprovedChanging).await;
    cast.decide(&cast.dee, id, Verb::Claim, 0).await.expect("claimed");
    let path = format!("/admin/apps/{id}");
    let page = cast.get(Credential::Session(&cast.rob), &path).await;
    assert_shows(
        &page,
        &["dee has claimed it until", "it can be suspended or revoked all the same", ">Suspend</button>"],
    );
    assert!(!page.body.contains(">Approve change</button>") && !page.body.contains(">Deny change</button>"));
    assert_shows(&cast.get(Credential::Session(&cast.dee), &path).await, &[">Approve change</button>"]);
}

#[tokio::test]
async fn who_loses_the_race_reads_who_decided_what_and_why_and_keeps_the_text() {
    let cast = Cast::start().await;
    for (verb, done, state) in [(Verb::Approve, "approve", "approved"), (Verb::Deny, "deny", "denied")] {
        let id = given(&cast, "Reader").await;
        let (mut rob, mut dee) = (cast.browser(&cast.rob), cast.browser(&cast.dee));
        let path = format!("/admin/apps/{id}");
        let (robs, dees) = (rob.get(&path).await, dee.get(&path).await);
        assert_eq!(send(&mut dee, &dees, id, done, "Dee saw it first.").await.status, StatusCode::SEE_OTHER);
        let before = cast.head().await;
        let lost = send(&mut rob, &robs, id, "request-changes", "I would like <it> longer.").await;
        assert_eq!((lost.status, cast.head().await), (StatusCode::CONFLICT, before), "{verb:?}: {}", lost.body);
        assert_shows(
            &lost,
            &[
                "Somebody was faster",
                &format!("The application is {state}: dee, on "),
                "<blockquote><bdi>Dee saw it first.</bdi></blockquote>",
                "I would like &#60;it&#62; longer.</textarea>",
                "value=\"other\" selected",
            ],
        );
        // Only what is approved can still be decided on.
        assert_eq!(lost.body.contains(">Suspend</button>"), verb == Verb::Approve);
        assert!(!lost.body.contains("Request changes</button>"), "{}", lost.body);
    }
}

#[tokio::test]
async fn a_decision_leads_on_to_what_waits_next() {
    let cast = Cast::start().await;
    let id = given(&cast, "Reader").await;
    cast.site.clock.advance(Duration::minutes(1));
    let next = given(&cast, "The next one").await;
    let mut rob = cast.browser(&cast.rob);
    let path = format!("/admin/apps/{id}");
    let page = rob.get(&path).await;
    assert!(!page.body.contains("role=\"status\""), "{}", page.body);
    let sent = send(&mut rob, &page, id, "approve", "").await;
    assert_eq!((sent.status, sent.location()), (StatusCode::SEE_OTHER, path.as_str()));
    let done = rob.get(&path).await;
    assert_shows(&done, &["role=\"status\"", "You approved it.", "Next in the queue:"]);
    assert_eq!(link(&done, "data-key=\"n\""), format!("/admin/apps/{next}"));
    // Nobody else did, and later it is history.
    assert!(!cast.browser(&cast.dee).get(&path).await.body.contains("You approved it."));
    cast.site.clock.advance(Duration::minutes(5));
    assert!(!rob.get(&path).await.body.contains("You approved it."));
}

#[tokio::test]
async fn who_was_signed_out_meanwhile_comes_back_to_the_page_after_the_log_in() {
    let cast = Cast::start().await;
    let id = given(&cast, "Reader").await;
    let mut rob = cast.browser(&cast.rob);
    let page = rob.get(&format!("/admin/apps/{id}")).await;
    // The script keeps what is typed under this name until something is decided.
    assert_shows(&page, &[&format!("data-draft=\"{id} rob\"")]);
    cast.site.clock.advance(Duration::days(31));
    let before = cast.head().await;
    let sent = send(&mut rob, &page, id, "deny", "It says too little.").await;
    assert_eq!((sent.status, cast.head().await), (StatusCode::SEE_OTHER, before), "{}", sent.body);
    assert_eq!(sent.location(), format!("/login?return_to=%2Fadmin%2Fapps%2F{id}"));
}

#[tokio::test]
async fn errors_of_a_decision_are_beside_its_fields() {
    let cast = Cast::start().await;
    let id = given(&cast, "Reader").await;
    let path = format!("/admin/apps/{id}");
    let mut rob = cast.browser(&cast.rob);
    let refused = rob.submit(&path, &format!("{path}/deny"), &[("revision", "1"), ("reason", "")]).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_shows(
        &refused,
        &[
            "aria-describedby=\"reason_code-hint reason_code-error\"",
            "reason_code-error\" autofocus>",
            "id=\"reason_code-error\">Choose a reason from the list.</p>",
            "aria-describedby=\"reason-hint reason-error\">",
            "Nothing is decided yet. Something is to be mended in <a href=\"#decide\">",
        ],
    );
    cast.site.clock.advance(Duration::minutes(15));
    let fields = [("revision", "1"), ("reason_code", "other"), ("reason", "Mine."), ("password", "not this one")];
    let refused = rob.submit(&path, &format!("{path}/deny"), &fields).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert_shows(&refused, &["aria-describedby=\"password-hint password-error\"", "Mine.</textarea>"]);
}

#[tokio::test]
async fn the_page_tells_of_the_owner_of_hosts_and_of_what_it_may_not() {
    let cast = Cast::start().await;
    cast.given(&cast.cleo, State::Denied).await;
    cast.given(&cast.cleo, State::Denied).await;
    cast.given(&cast.cleo, State::Approved).await;
    let id = given(&cast, "Another").await;
    let page = cast.get(Credential::Session(&cast.rob), &format!("/admin/apps/{id}")).await;
    assert_shows(
        &page,
        &[
            "<strong>app.example</strong>",
            "https://app.example/cb?keep=1",
            "Member since",
            "1 approved, 2 denied · <a",
            "It may not",
            "Publish posts and comments in your name",
        ],
    );
    let others = cast.get(Credential::Session(&cast.rob), &link(&page, ">All of theirs</a>")).await;
    assert_eq!(listed(&others).len(), 4, "{}", others.body);
}

#[tokio::test]
async fn a_proposed_change_stands_beside_what_is_approved_with_what_it_adds() {
    let cast = Cast::start().await;
    let id = cast.given(&cast.cleo, State::Approved).await;
    let asked = cast.asked("Renamed", "read vote");
    cast.app().edit_application(&by(cast.cleo.id), cast.cleo.id, id, asked).await.expect("it can be proposed");
    let page = cast.get(Credential::Session(&cast.rob), &format!("/admin/apps/{id}")).await;
    assert_shows(
        &page,
        &[
            "<del>Reader</del>",
            "<ins>Renamed</ins>",
            "<li><strong>Vote in your name</strong></li>",
            ">Approve change</button>",
            ">Deny change</button>",
            "<summary>Revoke</summary>",
        ],
    );
    let listed = cast.get(Credential::Session(&cast.rob), "/admin/apps").await;
    assert_shows(&listed, &["change proposed"]);
}

#[tokio::test]
async fn who_cannot_decide_is_told_why_and_offered_nothing() {
    let cast = Cast::start().await;
    let own = cast.site.given_request(cast.rob.id, "Rob's own").await;
    let denied = cast.given(&cast.cleo, State::Denied).await;
    cast.app().appeal(&by(cast.cleo.id), cast.cleo.id, denied, "It only reads.").await.expect("appealed");
    for (who, id, why) in [
        (&cast.rob, own, "This is your own application: another reviewer has to decide on it."),
        (&cast.dee, denied, "Its owner appeals against your own denial: another reviewer has to decide on it."),
    ] {
        let page = cast.get(Credential::Session(who), &format!("/admin/apps/{id}")).await;
        assert_shows(&page, &[why]);
        let claim = format!("action=\"/admin/apps/{id}/claim\"");
        assert!(!page.body.contains("formaction") && !page.body.contains(&claim), "{}", page.body);
    }
    let page = cast.get(Credential::Session(&cast.rob), &format!("/admin/apps/{denied}")).await;
    assert_shows(&page, &[">Approve</button>", "It only reads."]);
}

#[tokio::test]
async fn signatures_are_explained_where_the_site_asks_for_two() {
    let cast = Cast::start_with(&[("TWO_PERSON_RULE", "true")]).await;
    let id = given(&cast, "Reader").await;
    let path = format!("/admin/apps/{id}");
    let page = |who| cast.get(Credential::Session(who), &path);
    assert_shows(&page(&cast.rob).await, &["Approvals take two reviewers", "You sign first; it holds when"]);
    cast.decide(&cast.rob, id, Verb::Approve, 1).await.expect("signed");
    let robs = page(&cast.rob).await;
    assert_shows(&robs, &["You signed first.", "You have signed; it holds when", ">Deny</button>"]);
    assert!(!robs.body.contains(">Approve</button>"), "it would do nothing: {}", robs.body);
    let dees = page(&cast.dee).await;
    assert_shows(&dees, &["<dt>First signature</dt><dd>rob, ", "Yours is the second signature: it decides."]);
    let queue = cast.get(Credential::Session(&cast.dee), "/admin/apps").await;
    assert_shows(&queue, &["first signature: rob"]);
    // Where one decides, nobody reads of signatures.
    let alone = Cast::start().await;
    let id = given(&alone, "Reader").await;
    let page = alone.get(Credential::Session(&alone.rob), &format!("/admin/apps/{id}")).await;
    assert!(!page.body.contains("ignature") && !page.body.contains("sign first"), "{}", page.body);
}

#[tokio::test]
async fn keys_are_listed_and_no_field_decides_by_enter() {
    let cast = Cast::start().await;
    let id = given(&cast, "Reader").await;
    let mut rob = cast.browser(&cast.rob);
    for path in ["/admin/apps".to_owned(), format!("/admin/apps/{id}")] {
        let page = rob.get(&path).await;
        assert_shows(&page, &["id=\"keys\"", "<kbd>j</kbd>", "<kbd>?</kbd>", "id=\"keys-on\"", "data-key=\"c\""]);
    }
    let page = rob.get(&format!("/admin/apps/{id}")).await;
    let form = page.body.split("id=\"decide\"").nth(1).expect("a form");
    let first = form.split("<button").nth(1).expect("a button");
    assert!(first.starts_with(" disabled hidden>"), "{first}");
    let auditor = cast.person("olga", &[Role::Auditor]).await;
    assert_eq!(cast.get(Credential::Session(&auditor), "/admin/apps").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn the_owner_reads_in_the_api_what_became_of_the_last_change_and_why() {
    let cast = Cast::start().await;
    let id = cast.given(&cast.cleo, State::Approved).await;
    let last = async || {
        let own = cast.get(Credential::Session(&cast.cleo), &format!("/api/v1/applications/{id}")).await.json();
        own["last_change"].clone()
    };
    assert_eq!(last().await, Value::Null);
    cast.edit(&cast.cleo, id, "Renamed").await;
    assert_eq!(last().await, Value::Null);
    cast.decide(&cast.rob, id, Verb::DenyChange, 2).await.expect("denied");
    let (at, reason) = (cast.app().now(), "As agreed.");
    let denied = json!({ "outcome": "denied", "by": "rob", "at": at, "reason_code": "other", "reason": reason });
    assert_eq!(last().await, denied);
    cast.edit(&cast.cleo, id, "Renamed again").await;
    assert_eq!(last().await, denied);
    cast.app().withdraw_change(&by(cast.cleo.id), cast.cleo.id, id, None).await.expect("taken back");
    let withdrawn = last().await;
    assert_eq!((&withdrawn["outcome"], &withdrawn["by"]), (&json!("withdrawn"), &json!("cleo")));
    assert_eq!((&withdrawn["reason_code"], &withdrawn["reason"]), (&json!(null), &json!(null)));
}
