//! The review list over HTTP: filters, orders, cursors.

use chrono::Duration;
use countersign::app::{applications::Request, reviews::Verb};
use countersign_events::ids::ApplicationId;

use crate::{
    review_scene::{Cast, Credential, State},
    support::by,
};

async fn listed(cast: &Cast, query: &str) -> (Vec<String>, Option<String>) {
    let answer = cast.get(Credential::Session(&cast.rob), &format!("/api/v1/review?{query}")).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.body);
    let list = answer.json();
    let ids = list["data"].as_array().expect("a list").iter().map(|row| row["id"].as_str().expect("an id").to_owned());
    (ids.collect(), list["next"].as_str().map(ToOwned::to_owned))
}

async fn assert_lists(cast: &Cast, query: &str, wanted: &[ApplicationId]) {
    let wanted: Vec<_> = wanted.iter().map(ToString::to_string).collect();
    assert_eq!(listed(cast, query).await, (wanted, None), "{query}");
}

#[tokio::test]
async fn the_list_is_filtered_by_what_a_reviewer_looks_for() {
    let cast = Cast::start().await;
    let denied = cast.given(&cast.cleo, State::Denied).await;
    cast.site.clock.advance(Duration::days(4));
    let old = cast.given(&cast.cleo, State::UnderReview).await;
    cast.site.clock.advance(Duration::minutes(1));
    let changing = cast.given(&cast.cleo, State::ApprovedChanging).await;
    cast.site.clock.advance(Duration::minutes(1));
    let personal = Request { purpose: "personal".to_owned(), name: "Bot".to_owned(), ..Request::default() };
    let personal = Request { scopes: vec!["read vote".to_owned()], ..personal };
    let asked = cast.app().asked(&personal).expect("a good request");
    let bot = cast.app().request_application(&by(cast.rob.id), cast.rob.id, asked).await.expect("asked").answer;
    cast.decide(&cast.rob, old, Verb::Claim, 0).await.expect("claimed");

    let cleo = cast.cleo.id;
    for (query, wanted) in [
        (String::new(), &[denied, old, changing, bot][..]),
        ("state=&purpose=&scope=&owner=&claimed_by=&overdue=&sort=".to_owned(), &[denied, old, changing, bot]),
        ("sort=newest".to_owned(), &[bot, changing, old, denied]),
        ("state=waiting".to_owned(), &[old, changing, bot]),
        ("state=waiting&sort=newest".to_owned(), &[bot, changing, old]),
        ("state=denied".to_owned(), &[denied]),
        ("state=approved".to_owned(), &[changing]),
        ("state=revoked".to_owned(), &[]),
        ("purpose=personal".to_owned(), &[bot]),
        ("scope=vote".to_owned(), &[bot]),
        ("scope=read&state=under_review".to_owned(), &[old, bot]),
        ("owner=cleo".to_owned(), &[denied, old, changing]),
        (format!("owner={cleo}&state=waiting"), &[old, changing]),
        ("owner=me".to_owned(), &[bot]),
        ("claimed_by=rob".to_owned(), &[old]),
        ("claimed_by=dee".to_owned(), &[]),
        ("claimed_by=no".to_owned(), &[denied, changing, bot]),
    ] {
        assert_lists(&cast, &query, wanted).await;
    }
    cast.site.clock.advance(Duration::days(3) - Duration::minutes(1));
    assert_lists(&cast, "overdue=true", &[old]).await;
    // The claim has lapsed.
    assert_lists(&cast, "claimed_by=me", &[]).await;
}

#[tokio::test]
async fn a_value_that_is_none_is_refused_and_told_which_are() {
    let cast = Cast::start().await;
    for (query, named) in [
        ("state=lost", "waiting, under_review, changes_requested, approved, denied, suspended, revoked, withdrawn"),
        ("purpose=fun", "web, personal and native"),
        ("scope=fun", "read, identity, notifications, messages, write, vote"),
        ("owner=nobody", "a username or the id of a member"),
        ("claimed_by=nobody", "a username or the id of a member"),
        ("overdue=perhaps", "true or false"),
        ("sort=best", "oldest or newest"),
        ("after=17", "the value of next in an earlier answer"),
        ("limit=0", "a number from 1 to 100"),
    ] {
        let answer = cast.get(Credential::Session(&cast.rob), &format!("/api/v1/review?{query}")).await;
        let detail = answer.json()["detail"].as_str().unwrap_or_default().to_owned();
        assert_eq!(answer.status, 400, "{query}: {detail}");
        let parameter = query.split('=').next().expect("a name");
        assert!(detail.to_lowercase().starts_with(parameter) && detail.contains(named), "{query}: {detail}");
    }
    for who in [Credential::Session(&cast.cleo), Credential::Nothing] {
        let status = cast.get(who, "/api/v1/review").await.status.as_u16();
        assert!([401, 403].contains(&status), "{status}");
    }
}

#[tokio::test]
async fn cursors_show_every_row_once_in_order_also_where_times_are_equal() {
    let cast = Cast::start().await;
    for round in 0..9 {
        let state = if round % 4 == 3 { State::Denied } else { State::UnderReview };
        cast.given(&cast.cleo, state).await;
        if round % 4 == 3 {
            cast.site.clock.advance(Duration::seconds(1));
        }
    }
    for (filter, rows) in [("", 9), ("state=waiting", 7), ("state=denied", 2)] {
        let (oldest, _) = listed(&cast, &format!("{filter}&sort=oldest&limit=100")).await;
        let (newest, _) = listed(&cast, &format!("{filter}&sort=newest&limit=100")).await;
        let reversed: Vec<_> = oldest.iter().rev().cloned().collect();
        assert_eq!((oldest.len(), &newest), (rows, &reversed), "{filter}");
        for (sort, wanted) in [("oldest", oldest), ("newest", newest)] {
            for limit in [1, 2, 3] {
                let (mut seen, mut after) = (vec![], String::new());
                loop {
                    let query = format!("{filter}&sort={sort}&limit={limit}{after}");
                    let (ids, next) = listed(&cast, &query).await;
                    assert!(ids.len() <= limit);
                    seen.extend(ids);
                    let Some(next) = next else { break };
                    after = format!("&after={next}");
                }
                assert_eq!(seen, wanted, "{filter} {sort} {limit}");
            }
        }
    }
}

#[tokio::test]
async fn the_page_goes_on_with_its_filters() {
    let cast = Cast::start().await;
    for _ in 0..51 {
        cast.given(&cast.cleo, State::UnderReview).await;
    }
    cast.site.given_request(cast.dee.id, "Another owner").await;
    let mut rob = cast.browser(&cast.rob);
    let first = rob.get("/admin/apps?owner=cleo&sort=newest").await;
    assert_eq!(first.body.matches("data-step>").count(), 50);
    let link = first.body.split("href=\"").find(|part| part.contains("after=")).expect("there is more");
    let link = link.split('"').next().expect("a link ends").replace("&#38;", "&");
    let second = rob.get(&link).await;
    assert_eq!(second.body.matches("data-step>").count(), 1, "{link}: {}", second.body);
    assert!(!second.body.contains("Another owner"));
    assert_eq!(rob.get("/admin/apps?state=lost").await.status, 400);
}
