//! The pages of auditors and operators: who sees them, filters, copies that are exact and on record, what is never
//! shown, what a list is complete to, and how read models do.

use axum::http::{Method, StatusCode};
use countersign::app::{
    Caller,
    audit::LONGEST,
    reviews::{Verb, Verdict},
};
use countersign_events::{
    account::Role,
    event::Event,
    ids::UserId,
    recorded::{Actor, Position},
    site::{ExportFormat, SiteEvent},
};
use serde_json::Value;

use crate::{
    browser_double::{Answer, Browser},
    checks_scene::Scene,
    projections::{LOCK_HEAD, SOME_ID, given_a_poisoned_post, plant},
    support::{TestApp, by},
};

async fn browser(scene: &Scene, name: &str, role: Role) -> (UserId, Browser) {
    let user = scene.site.given_member(name, &[role]).await;
    (user, scene.browser_of(user).await)
}

/// A page for whoever may see it, once the read models have seen everything.
async fn page(scene: &Scene, browser: &mut Browser, path: &str) -> Answer {
    scene.site.settle().await;
    let answer = browser.get(path).await;
    assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
    answer
}

/// The positions in a list, in its order.
fn listed(answer: &Answer) -> Vec<u64> {
    let rows = answer.body.split("<ol class=\"audit\"").nth(1).expect("a list");
    let position = |row: &str| row.split("/admin/audit/").nth(1)?.split('"').next()?.parse().ok();
    rows.split("<li>").skip(1).map(|row| position(row).unwrap_or_else(|| panic!("a position in {row}"))).collect()
}

/// What the API lists for the same filters, newest first.
async fn in_the_api(browser: &mut Browser, query: &str) -> Vec<Value> {
    let answer = browser.get(&format!("/api/v1/events?order=desc&limit=100&{query}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    answer.json()["data"].as_array().expect("a list").clone()
}

fn positions(events: &[Value]) -> Vec<u64> {
    events.iter().map(|event| event["position"].as_u64().expect("a number")).collect()
}

/// The records of a CSV text.
fn records(text: &str) -> Vec<Vec<String>> {
    let (mut records, mut record, mut cell, mut within) = (vec![], vec![], String::new(), false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, within) {
            ('"', true) if chars.peek() == Some(&'"') => cell.extend(chars.next()),
            ('"', _) => within = !within,
            (',', false) => record.push(std::mem::take(&mut cell)),
            ('\n', false) => {
                record.push(std::mem::take(&mut cell).trim_end_matches('\r').to_owned());
                records.push(std::mem::take(&mut record));
            }
            (c, _) => cell.push(c),
        }
    }
    assert!(record.is_empty() && cell.is_empty() && !within, "it ends with a line");
    records
}

#[tokio::test]
async fn each_role_sees_its_pages_and_no_other() {
    let scene = Scene::start().await;
    let pages = ["/admin", "/admin/apps", "/admin/audit", "/admin/audit/1", "/admin/audit.csv", "/admin/operations"];
    for (name, roles, seen) in [
        ("rev", &[Role::Reviewer][..], &["/admin", "/admin/apps"][..]),
        ("aud", &[Role::Auditor], &["/admin", "/admin/audit", "/admin/audit/1", "/admin/audit.csv"]),
        ("ope", &[Role::Operator], &["/admin", "/admin/operations"]),
        ("two", &[Role::Reviewer, Role::Operator], &["/admin", "/admin/apps", "/admin/operations"]),
        ("ruth", &[Role::Admin], &pages),
        ("none", &[], &[]),
    ] {
        let user = scene.site.given_member(name, roles).await;
        let mut browser = scene.browser_of(user).await;
        for path in pages {
            let wanted = if seen.contains(&path) { StatusCode::OK } else { StatusCode::FORBIDDEN };
            let answer = if path.contains("audit.") { browser.press(path).await } else { browser.get(path).await };
            assert_eq!(answer.status, wanted, "{name} at {path}");
        }
        if let [_, ..] = seen {
            let way_in = browser.get("/admin").await.body;
            let main = way_in.split("<main").nth(1).expect("a main part");
            for link in ["/admin/apps", "/admin/audit", "/admin/operations"] {
                assert_eq!(main.contains(&format!("href=\"{link}\"")), seen.contains(&link), "{name}: {link}");
            }
        }
    }
    let log_in = scene.stranger().get("/admin/audit?type=RoleGranted").await;
    assert_eq!(log_in.status, StatusCode::SEE_OTHER);
    assert_eq!(log_in.location(), "/login?return_to=%2Fadmin%2Faudit%3Ftype%3DRoleGranted");
}

#[tokio::test]
async fn no_token_opens_a_page_of_the_staff_or_takes_a_copy() {
    let scene = Scene::start().await;
    let root = scene.site.given_member("ruth", &[Role::Admin]).await;
    let scopes = "read audit review".parse().expect("scopes");
    let token = scene.site.app.issue_token(&Caller::system(), root, scopes, None).await.expect("issued").answer.1;
    for path in ["/admin", "/admin/audit", "/admin/audit.csv", "/admin/audit.json", "/admin/operations"] {
        let method = if path.starts_with("/admin/audit.") { Method::POST } else { Method::GET };
        let answer = scene.stranger().with_token(method, path, &token).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{path}");
    }
}

#[tokio::test]
async fn the_way_in_says_how_many_wait_and_how_many_of_them_are_overdue() {
    let scene = Scene::start().await;
    let (_, mut rita) = browser(&scene, "rita", Role::Reviewer).await;
    assert!(rita.get("/admin").await.body.contains("Nothing waits for a decision."));
    scene.site.given_request(scene.ben, "First").await;
    assert!(rita.get("/admin").await.body.contains("1 request waits for a decision, none overdue."));
    scene.site.clock.advance(chrono::Duration::days(9));
    scene.site.given_request(scene.ben, "Second").await;
    let mut rita = scene.stranger();
    rita.log_in("rita").await;
    let body = rita.get("/admin").await.body;
    assert!(
        body.contains("2 requests wait for a decision, <a href=\"/admin/apps?overdue=true\">1 overdue</a>."),
        "{body}"
    );
}

#[tokio::test]
async fn the_list_shows_every_event_newest_first_as_a_sentence_with_its_raw_form() {
    let scene = Scene::start().await;
    let (_, mut olga) = browser(&scene, "olga", Role::Auditor).await;
    let (mut found, mut path) = (vec![], "/admin/audit".to_owned());
    loop {
        let answer = page(&scene, &mut olga, &path).await;
        found.extend(listed(&answer));
        let Some(older) = answer.body.split("rel=\"next\"").next().filter(|_| answer.body.contains("rel=\"next\""))
        else {
            break;
        };
        let link = older.rsplit("href=\"").next().expect("a link").split('#').next().expect("an address");
        path = link.replace("&amp;", "&").replace("&#38;", "&");
    }
    assert_eq!(found, (1..=scene.head().await).rev().collect::<Vec<_>>());
    let approvals = page(&scene, &mut olga, "/admin/audit?type=ApplicationApproved").await;
    let stored = in_the_api(&mut olga, "type=ApplicationApproved").await.remove(0);
    for shown in [
        "rob approved “Reader”, revision 1: Another reason, given in the text. “As agreed.”",
        stored["stream"].as_str().expect("text"),
        stored["event_id"].as_str().expect("text"),
        stored["payload"]["decision"]["reason"]["sealed"].as_str().expect("a sealed text"),
        "<dt>reason</dt><dd class=\"personal\"><bdi>As agreed.</bdi></dd>",
    ] {
        assert!(approvals.body.contains(shown), "{shown}: {}", approvals.body);
    }
    let alone = page(&scene, &mut olga, &format!("/admin/audit/{}", stored["position"])).await;
    // From an event on to all of its stream, of its application, of whoever did it, of its kind.
    let (stream, actor) = (stored["stream"].as_str().expect("text"), stored["actor"].as_str().expect("text"));
    for (query, of) in [
        (format!("stream={stream}"), 2),
        (format!("application={}", stream.trim_start_matches("application-")), 2),
        (format!("actor={}", actor.replace(':', "%3A")), 1),
    ] {
        assert!(alone.body.contains(&format!("href=\"/admin/audit?{query}\"")), "{query}: {}", alone.body);
        let found = listed(&page(&scene, &mut olga, &format!("/admin/audit?{query}")).await);
        assert!(
            found.len() >= of && found.contains(&stored["position"].as_u64().expect("a number")),
            "{query}: {found:?}"
        );
    }
    assert!(approvals.body.contains("href=\"/admin/audit?type=ApplicationApproved\""), "{}", approvals.body);
    assert!(alone.body.contains("<h1>Event ") && alone.body.contains(stored["event_id"].as_str().expect("text")));
    for beyond in ["0", "99999", "18446744073709551615", "x", "-1"] {
        assert_eq!(olga.get(&format!("/admin/audit/{beyond}")).await.status, StatusCode::NOT_FOUND, "{beyond}");
    }
}

#[tokio::test]
async fn filters_find_on_the_page_what_they_find_in_the_api() {
    let scene = Scene::start().await;
    let (_, mut olga) = browser(&scene, "olga", Role::Auditor).await;
    scene.site.app.publish(&by(scene.ben), scene.ben, "News", "", "").await.expect("published");
    scene.site.settle().await;
    let application = scene.application;
    for query in [
        "type=RoleGranted".to_owned(),
        "actor=ben".to_owned(),
        "user=cleo".to_owned(),
        format!("application={application}"),
        format!("stream=application-{application}"),
        "since=2026-01-01&until=2100-01-01".to_owned(),
        "until=2026-01-01".to_owned(),
        "type=PostPublished&actor=ben&user=ben".to_owned(),
        "type=&actor=&user=cleo&application=&stream=&since=&until=".to_owned(),
    ] {
        let answer = page(&scene, &mut olga, &format!("/admin/audit?{query}")).await;
        let known = positions(&in_the_api(&mut olga, &query).await);
        assert_eq!(listed(&answer), known.into_iter().take(20).collect::<Vec<_>>(), "{query}");
    }
}

#[tokio::test]
async fn a_decision_at_the_command_line_is_found_by_the_operator_and_by_whose_name_it_was_made_in() {
    let scene = Scene::start().await;
    let (_, mut olga) = browser(&scene, "olga", Role::Auditor).await;
    let verdict = Verdict { revision: 1, reason_code: "other".to_owned(), reason: "It leaks.".to_owned() };
    let ada = Caller { actor: Actor::Cli("ada".to_owned()), ..Caller::system() };
    let suspend = scene.site.app.decide_application(&ada, scene.rob, scene.application, Verb::Suspend, &verdict);
    suspend.await.expect("suspended");
    scene.site.settle().await;
    for actor in ["rob", &scene.rob.to_string(), "cli:ada"] {
        let query = format!("type=ApplicationSuspended&actor={actor}");
        let known = positions(&in_the_api(&mut olga, &query).await);
        assert_eq!(known.len(), 1, "{query}");
        assert_eq!(listed(&page(&scene, &mut olga, &format!("/admin/audit?{query}")).await), known, "{query}");
    }
    assert_eq!(in_the_api(&mut olga, "type=ApplicationSuspended&actor=cleo").await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_wrong_filter_is_told_beside_its_field_and_what_was_typed_stays() {
    let scene = Scene::start().await;
    let (_, mut olga) = browser(&scene, "olga", Role::Auditor).await;
    for (field, value, told) in [
        ("type", "ApplicationAproved", "choose one from the list"),
        ("stream", "nowhere", "the categories are account"),
        ("actor", "nobody", "is system, cli:NAME, user:ID"),
        ("user", "nobody", "is a member"),
        ("application", "&lt;x&gt;\"", "No application has this id or client id."),
        ("since", "yesterday", "2026-01-31T12:00:00Z"),
        ("until", "2026-02-30", "2026-01-31T12:00:00Z"),
    ] {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair(field, value)
            .append_pair(if field == "since" { "until" } else { "since" }, "2026-01-02")
            .finish();
        let answer = olga.get(&format!("/admin/audit?{query}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
        let place = answer.body.split(&format!("id=\"problem-{field}\">")).nth(1).expect("it is told at the field");
        assert!(place.split("</p>").next().expect("a sentence").contains(told), "{field}: {place}");
        assert!(!place.split("</p>").next().expect("a sentence").contains('`'), "{field}: {place}");
        let (before, after) = answer.body.split_once(&format!("id=\"filter-{field}\"")).expect("a field");
        let input =
            format!("{}{}", before.rsplit('<').next().expect("a tag"), after.split('>').next().expect("its end"));
        let escaped = value.replace('&', "&#38;").replace('"', "&#34;");
        if field == "type" {
            assert!(input.starts_with("select"), "{input}");
            assert!(answer.body.contains(&format!("<option selected>{escaped}</option>")), "{}", answer.body);
        } else {
            assert!(input.starts_with(&format!("input value=\"{escaped}\"")), "{input}");
        }
        assert!(input.contains("aria-invalid=\"true\""), "{input}");
        assert!(input.contains(&format!("aria-describedby=\"about-{field} problem-{field}\"")), "{input}");
        assert!(answer.body.contains("value=\"2026-01-02\"") && !answer.body.contains("<ol class=\"audit\""));
        let copy = olga.press(&format!("/admin/audit.csv?{query}")).await;
        assert_eq!(copy.status, StatusCode::BAD_REQUEST, "no copy is made of something else");
    }
    for query in ["after=x", "after=-1", "weeks=27"] {
        assert_eq!(olga.get(&format!("/admin/audit?{query}")).await.status, StatusCode::BAD_REQUEST, "{query}");
    }
}

/// The records of copies in the log.
async fn exports(site: &TestApp) -> Vec<(UserId, Position, Position, ExportFormat, Vec<String>, u64)> {
    let stored = site.app.log.read_log(Position(0), 10_000).await.expect("a log");
    let read = |stored| match countersign::store::decode(stored).expect("it can be read").event {
        Event::Site(SiteEvent::AuditExported { by, from, to, format, filters, rows, .. }) => {
            Some((by, from, to, format, filters, rows))
        }
        _ => None,
    };
    stored.iter().filter_map(read).collect()
}

#[tokio::test]
async fn a_copy_has_exactly_what_the_filters_find_and_is_on_record() {
    let scene = Scene::start().await;
    let (id, mut olga) = browser(&scene, "olga", Role::Auditor).await;
    for number in 0..30 {
        scene.site.app.publish(&by(scene.ben), scene.ben, &format!("News {number}"), "", "").await.expect("published");
    }
    scene.site.settle().await;
    let wanted = in_the_api(&mut olga, "actor=ben&type=PostPublished").await;
    assert_eq!(wanted.len(), 30);
    let json = olga.press("/admin/audit.json?actor=ben&type=PostPublished").await;
    assert_eq!(json.header("content-disposition"), "attachment; filename=\"audit.json\"");
    let copy = json.json();
    assert_eq!(copy["data"], Value::from(wanted.clone()));
    assert_eq!(
        (copy["rows"].as_u64(), copy["cut_off"].as_bool(), &copy["next"]),
        (Some(30), Some(false), &Value::Null)
    );
    let csv = olga.press("/admin/audit.csv?actor=ben&type=PostPublished").await;
    assert_eq!(csv.header("content-type"), "text/csv; charset=utf-8; header=present");
    let records = records(&csv.body);
    assert_eq!(records[0][..3], ["position", "recorded_at", "sentence"]);
    assert!(records.iter().all(|record| record.len() == records[0].len()));
    let numbers: Vec<u64> = records[1..].iter().map(|record| record[0].parse().expect("a position")).collect();
    assert_eq!(numbers, positions(&wanted));
    let column = |name| records[0].iter().position(|column| column == name).expect("a column");
    for (record, event) in records[1..].iter().zip(&wanted) {
        assert_eq!(record[column("sentence")], event["sentence"].as_str().expect("text"));
        assert_eq!(serde_json::from_str::<Value>(&record[column("payload")]).expect("JSON"), event["payload"]);
        assert_eq!(serde_json::from_str::<Value>(&record[column("personal")]).expect("JSON"), event["personal"]);
    }
    let filters = vec!["type PostPublished".to_owned(), format!("actor user:{}", scene.ben)];
    let (from, to) = (Position(numbers[29]), Position(numbers[0]));
    let recorded = |format| (id, from, to, format, filters.clone(), 30);
    assert_eq!(exports(&scene.site).await, [recorded(ExportFormat::Json), recorded(ExportFormat::Csv)]);
    let told = page(&scene, &mut olga, "/admin/audit?type=AuditExported").await;
    assert!(told.body.contains("olga took a copy of the history: 30 events from position"), "{}", told.body);
    let log = scene.site.app.log.read_log(Position(0), 10_000).await.expect("a log");
    let noted: Vec<_> = log.iter().filter(|event| event.type_name == "AuditExported").collect();
    assert!(noted.iter().all(|event| event.envelope.actor == Actor::User(id) && !event.payload.contains("ben")));
}

#[tokio::test]
async fn a_copy_of_nothing_is_a_copy_and_on_record_too() {
    let scene = Scene::start().await;
    let (_, mut olga) = browser(&scene, "olga", Role::Auditor).await;
    let csv = olga.press("/admin/audit.csv?until=2020-01-01").await;
    assert_eq!((csv.status, records(&csv.body).len()), (StatusCode::OK, 1));
    assert_eq!(olga.press("/admin/audit.json?until=2020-01-01").await.json()["data"], Value::Array(vec![]));
    assert_eq!(exports(&scene.site).await.iter().map(|export| export.5).collect::<Vec<_>>(), [0, 0]);
    let answer = page(&scene, &mut olga, "/admin/audit?type=AuditExported").await;
    assert!(answer.body.contains("olga took a copy of the history: 0 events, as CSV, filtered by until 2020-01-01"));
}

#[tokio::test]
async fn a_copy_that_is_cut_off_says_so_and_where_to_go_on() {
    let scene = Scene::start().await;
    let (_, mut olga) = browser(&scene, "olga", Role::Auditor).await;
    let before = scene.head().await;
    // As many as a log of votes and posts would have; planted, since each is the same.
    let more = u64::from(LONGEST) + 5;
    plant_many(&scene.site, more).await;
    let head = before + more;
    let json = olga.press("/admin/audit.json").await.json();
    let data = json["data"].as_array().expect("a list");
    assert_eq!((data.len(), json["rows"].as_u64()), (LONGEST as usize, Some(LONGEST.into())));
    let next = head - u64::from(LONGEST) + 1;
    assert_eq!((json["cut_off"].as_bool(), json["next"].as_str()), (Some(true), Some(next.to_string().as_str())));
    let csv = records(&olga.press("/admin/audit.csv").await.body);
    assert_eq!(csv.len(), LONGEST as usize + 2);
    let last = csv.last().expect("a line");
    assert!(last[0].is_empty() && last[2].starts_with("Cut off: these are 10000 rows"), "{last:?}");
    let rest = olga.press(&format!("/admin/audit.json?after={next}")).await.json();
    assert_eq!(rest["cut_off"].as_bool(), Some(false));
    assert_eq!(rest["data"][0]["position"].as_u64(), Some(next - 1));
    assert_eq!(rest["rows"].as_u64(), Some(next - 1));
}

/// Puts copies of the last event at the end of the log.
async fn plant_many(site: &TestApp, number: u64) {
    let mut log = site.home.log().await;
    let (begin, id) = (log.either("begin immediate", LOCK_HEAD), log.either("randomblob(16)", SOME_ID));
    let text = format!(
        "{begin};\n\
         with recursive more(n) as (select 1 union all select n + 1 from more where n < {number}),\n\
         last as (select * from events where position = (select position from head))\n\
         insert into events (position, event_id, stream, version, type, type_version, recorded_at, actor, payload)\n\
         select last.position + n, {id}, stream, version + n, type, type_version, recorded_at + n, actor, payload\n\
         from more, last;\n\
         update head set position = position + {number}, recorded_at = recorded_at + {number};\ncommit"
    );
    log.run(&text).await;
}

#[tokio::test]
async fn no_cell_of_a_copy_is_a_formula() {
    let scene = Scene::start().await;
    let (_, mut olga) = browser(&scene, "olga", Role::Auditor).await;
    let mean = "=HYPERLINK(\"https://evil.example\",\"Click\")";
    scene.site.app.publish(&by(scene.ben), scene.ben, mean, "", "+1\n@SUM(A1)").await.expect("published");
    let named = scene.site.given_request(scene.cleo, "=1+1").await;
    let through = Caller { on_behalf_of: Some(named), ..by(scene.ben) };
    scene.site.app.publish(&through, scene.ben, "Quotes \", commas, and more", "", "").await.expect("published");
    let operator = Caller { actor: Actor::Cli("@SUM(A1)".to_owned()), ..Caller::system() };
    scene.site.app.suspend_account(&operator, scene.cleo).await.expect("suspended");
    scene.site.settle().await;
    let copy = olga.press("/admin/audit.csv").await;
    let records = records(&copy.body);
    let cells: Vec<_> = records.iter().flatten().filter(|cell| !cell.is_empty()).collect();
    assert!(cells.iter().all(|cell| !cell.starts_with(['=', '+', '-', '@', '\t', '\r'])), "{cells:?}");
    for harmless in ["'=1+1", "'@SUM(A1) (command line)"] {
        assert!(cells.iter().any(|cell| *cell == harmless), "{harmless}: {cells:?}");
    }
    assert!(cells.iter().any(|cell| cell.contains(mean)), "and nothing is lost");
    assert!(records.iter().all(|record| record.len() == records[0].len()));
}

#[tokio::test]
async fn what_a_message_says_is_shown_nowhere_and_what_an_erased_member_wrote_no_longer() {
    let scene = Scene::start().await;
    let (_, mut olga) = browser(&scene, "olga", Role::Auditor).await;
    let mut ben = scene.browser_of(scene.ben).await;
    let letter = [("to", "cleo"), ("title", "Between us"), ("body", "My secret.")];
    assert_eq!(ben.submit("/inbox", "/inbox", &letter).await.status, StatusCode::SEE_OTHER);
    let post = [("title", "Ben’s news"), ("url", ""), ("body", "What I think.")];
    assert_eq!(ben.submit("/", "/posts", &post).await.status, StatusCode::SEE_OTHER);
    let paths = ["/admin/audit", "/admin/audit.csv", "/admin/audit.json", "/admin/audit?type=PrivateMessageSent"];
    let all = async |olga: &mut Browser| {
        let mut text = String::new();
        for path in paths {
            let exports = path.starts_with("/admin/audit.");
            let answer = if exports { olga.press(path).await } else { page(&scene, olga, path).await };
            text.push_str(&answer.body);
        }
        text
    };
    let before = all(&mut olga).await;
    assert!(before.contains("What I think.") && before.contains("ben wrote a private message to cleo."));
    let erasing = Caller { actor: Actor::Cli("test".to_owned()), ..Caller::system() };
    scene.site.app.erase_member(&erasing, scene.ben).await.expect("erased");
    let after = all(&mut olga).await;
    assert!(after.contains("[erased] published the post [erased]"), "{after}");
    for text in [before, after.clone()] {
        assert!(!text.contains("Between us") && !text.contains("My secret."));
    }
    assert!(!after.contains("What I think.") && !after.contains("Ben’s news"));
}

#[tokio::test]
async fn hostile_texts_stay_texts_and_a_long_event_has_a_page_of_its_own() {
    let scene = Scene::start().await;
    let (_, mut olga) = browser(&scene, "olga", Role::Auditor).await;
    let body = format!("<script>alert(1)</script>{}", "long ".repeat(1_000));
    scene.site.app.publish(&by(scene.ben), scene.ben, "<img src=x>", "", &body).await.expect("published");
    let list = page(&scene, &mut olga, "/admin/audit").await;
    assert!(list.body.len() < 50 * 1024, "{} bytes", list.body.len());
    assert!(!list.body.contains("<script>alert") && !list.body.contains("<img src=x>"));
    assert!(list.body.contains("too long for this list") && !list.body.contains("long long long"));
    let alone = page(&scene, &mut olga, &format!("/admin/audit/{}", scene.head().await)).await;
    assert!(alone.body.contains("long long long") && !alone.body.contains("<script>alert"));
    // What nobody reads is cut, and where all of it is to be had is said.
    let all = alone.body.split("<a href=\"").find(|link| link.contains("the event as JSON")).expect("a link");
    let all = olga.get(&all.split('"').next().expect("an address").replace("&#38;", "&")).await.json();
    let sealed = all["data"][0]["payload"]["body"]["sealed"].as_str().expect("a sealed text");
    let shown = format!("\"sealed\": \"{}… and {} more\"", &sealed[..120], sealed.len() - 120);
    assert!(alone.body.contains(&shown) && !alone.body.contains(&sealed[..121]), "{shown}: {}", alone.body);
}

#[tokio::test]
async fn the_page_opens_with_what_it_is_complete_to_and_what_is_not_recorded() {
    let scene = Scene::start().await;
    let (_, mut olga) = browser(&scene, "olga", Role::Auditor).await;
    let answer = page(&scene, &mut olga, "/admin/audit").await;
    let opening = answer.body.split("id=\"history\"").next().expect("what comes before the history");
    let ends = format!("The log ends at position <strong>{}</strong>, recorded ", scene.head().await);
    assert!(opening.contains(&ends) && opening.contains("Everything up to there can be found here."), "{opening}");
    assert!(opening.contains("The use of a token is never an event") && opening.contains("Log-ins and log-outs"));
    // And so it is: nothing of what was just done is in the log.
    let before = scene.head().await;
    scene.browser_of(scene.ben).await.get("/").await;
    let wrong = [("username", "ben"), ("password", "not the password")];
    let refused = scene.stranger().submit("/login", "/login", &wrong).await;
    assert!(refused.status.is_client_error());
    olga.get("/admin/audit/1").await;
    assert_eq!(scene.head().await, before);
}

#[tokio::test]
async fn a_parked_stream_makes_the_list_incomplete_and_the_page_says_to_where_it_is_not() {
    let parked = given_a_poisoned_post().await;
    let auditor = parked.site.given_member("olga", &[Role::Auditor]).await;
    let operator = parked.site.given_member("otto", &[Role::Operator]).await;
    parked.site.settle().await;
    let mut olga = signed_in(&parked.site, auditor).await;
    let whole = olga.get("/admin/audit").await;
    let (planted, head) = (parked.planted, parked.site.app.head().await.expect("a head").position);
    assert!(whole.body.contains("The index behind the filters is incomplete."), "{}", whole.body);
    assert!(whole.body.contains(&format!("rests in the index since position {planted}")));
    assert_eq!(listed(&whole).first(), Some(&head.0), "without a filter nothing is missing");
    let filtered = olga.get("/admin/audit?actor=cli:test").await;
    let complete_to = format!("knows of every event up to position <strong>{}</strong>, and of none", planted.0 - 1);
    assert!(filtered.body.contains(&complete_to), "{}", filtered.body);
    assert!(listed(&filtered).iter().all(|position| *position < planted.0));
    let copy = olga.press("/admin/audit.json?actor=cli:test").await.json();
    assert_eq!(copy["complete_to"].as_u64(), Some(planted.0 - 1));
    let mut otto = signed_in(&parked.site, operator).await;
    let operations = otto.get("/admin/operations").await;
    assert_eq!(operations.status, StatusCode::OK);
    for shown in [
        "<a href=\"#models\">Pages may show less than is on record. Not well: inbox, front_page, history.</a>",
        "<a href=\"#parked\">3 events are parked.</a>",
        "<span class=\"badge bad\">incomplete</span>",
        "<strong>front_page</strong>: incomplete: 1 stream parked.",
        "unknown event type `CommentPosted` version 2",
        &format!("countersign projections parked retry front_page-{planted}"),
        &format!("countersign projections parked discard history-{planted} --reason"),
    ] {
        assert!(operations.body.contains(shown), "{shown}: {}", operations.body);
    }
    assert!(!operations.body.contains("All is well"), "{}", operations.body);
    assert!(otto.get("/admin").await.body.contains("To be looked at: inbox, front_page, history."));
    assert!(!operations.body.contains("<form method=\"post\" action=\"/admin"), "nothing is changed from here");
}

async fn signed_in(site: &TestApp, user: UserId) -> Browser {
    let mut browser = Browser::new(&site.app);
    browser.log_in(&site.app.state.name_of(user)).await;
    browser
}

#[tokio::test]
async fn an_event_that_this_release_cannot_read_is_listed_all_the_same() {
    let parked = given_a_poisoned_post().await;
    let auditor = parked.site.given_member("olga", &[Role::Auditor]).await;
    let planted = plant(&parked.site, "VoteCast").await;
    let mut olga = signed_in(&parked.site, auditor).await;
    let list = olga.get("/admin/audit").await;
    // What parks it may be on record already.
    assert!(listed(&list).contains(&planted.0), "{}", list.body);
    assert!(list.body.contains("This event cannot be read: unknown event type `VoteCast` version 2"), "{}", list.body);
    let copy = olga.press("/admin/audit.csv").await;
    assert!(copy.body.contains("This event cannot be read"));
}

#[tokio::test]
async fn the_operators_page_says_how_fast_the_log_grows_and_that_every_read_model_is_with_it() {
    let scene = Scene::start().await;
    let (_, mut otto) = browser(&scene, "otto", Role::Operator).await;
    scene.site.clock.advance(chrono::Duration::hours(2));
    let mut otto_again = scene.stranger();
    otto_again.log_in("otto").await;
    for _ in 0..6 {
        scene.site.app.publish(&by(scene.ben), scene.ben, "News", "", "").await.expect("published");
    }
    scene.site.clock.advance(chrono::Duration::seconds(30));
    let answer = page(&scene, &mut otto_again, "/admin/operations").await;
    let head = scene.head().await;
    for shown in [
        format!("position {head}, recorded "),
        "<dt>In the last minute</dt><dd>6 events, 0.10 a second</dd>".to_owned(),
        "<dt>In the last hour</dt><dd>6 events, 0.10 a minute</dd>".to_owned(),
        format!("<dt>In the last day</dt><dd>{head} events, "),
        "None. Every stream is followed.".to_owned(),
        "<p class=\"done\">All is well: the log takes appends, all 9 read models follow it, nothing is parked.</p>"
            .to_owned(),
        "<span class=\"badge good\">taken</span>".to_owned(),
    ] {
        assert!(answer.body.contains(&shown), "{shown}: {}", answer.body);
    }
    for name in ["accounts", "tokens", "inbox", "front_page", "statistics", "history"] {
        let row = answer.body.split(&format!("<th scope=\"row\">{name}</th>")).nth(1).expect("a row");
        let row = row.split("</tr>").next().expect("it ends");
        assert!(row.contains("with the log") && row.contains("<td>0</td>"), "{name}: {row}");
    }
    let way_in = otto_again.get("/admin").await.body;
    assert!(way_in.contains("read models follow the log."), "{way_in}");
    otto.get("/admin/operations").await;
}

#[tokio::test]
async fn reviews_are_charted_week_by_week_with_their_numbers_in_words_and_in_a_table() {
    let scene = Scene::start().await;
    scene.site.clock.advance(chrono::Duration::days(8));
    let denied = scene.site.given_request(scene.ben, "Other").await;
    scene.site.clock.advance(chrono::Duration::hours(5));
    scene.site.decide(scene.rob, denied, Verb::Deny).await;
    let (_, mut olga) = browser(&scene, "olga", Role::Auditor).await;
    let answer = page(&scene, &mut olga, "/admin/audit").await;
    assert_eq!(answer.body.matches("<svg class=\"chart\"").count(), 5);
    for shown in [
        "Requests a week, over 26 weeks: 2 in all, 1 in this week so far.",
        "Denials a week, over 26 weeks: 1 in all, 1 in this week so far.",
        "Approvals a week, over 26 weeks: 1 in all, 0 in this week so far.",
        "Revocations a week, over 26 weeks: 0 in all, 0 in this week so far.",
        "2 of 26 weeks had answers; medians from less than a minute to 5 hours.",
        "<td>1</td><td>0</td><td>1</td><td>0</td><td>5 hours</td>",
    ] {
        assert!(answer.body.contains(shown), "{shown}: {}", answer.body);
    }
    assert!(!answer.body.contains("style=") && !answer.body.contains("<style"));
    let year = page(&scene, &mut olga, "/admin/audit?weeks=52").await;
    assert!(year.body.contains("over 52 weeks: 2 in all"));
    let filtered = page(&scene, &mut olga, "/admin/audit?type=RoleGranted").await;
    assert!(!filtered.body.contains("<svg"), "what was looked for comes first");
    let checked = scene.site.app.check_projection("statistics", &|_| {}).await.expect("a check");
    assert_eq!(checked.differences, []);
    assert!(checked.rows > 4, "{}", checked.rows);
}
