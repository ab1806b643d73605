//! A site below a path, and trailing slashes.

use axum::http::{Method, StatusCode};

use crate::{
    browser_double::{Answer, Browser},
    checks_pages::set_cookie,
    checks_scene::{PASSWORD, Scene, answer_at, parameter},
};

const BASE: &[(&str, &str)] = &[("PUBLIC_URL", "http://127.0.0.1:8080/dev")];

/// Every place that a page links or posts to.
fn targets(html: &str) -> Vec<&str> {
    let mut found = vec![];
    for attribute in [" href=\"", " action=\"", " formaction=\"", " src=\""] {
        found.extend(html.split(attribute).skip(1).filter_map(|rest| rest.split('"').next()));
    }
    found
}

fn assert_below_base(page: &Answer, path: &str) {
    for target in targets(&page.body) {
        let elsewhere = target.starts_with('#') || target.starts_with("data:") || target.starts_with("https://");
        let below = target == "/dev" || target.starts_with("/dev/") || target.starts_with("http://127.0.0.1:8080/dev/");
        assert!(elsewhere || below, "{path} leads to {target}");
    }
    let location = page.location();
    assert!(location.is_empty() || location.starts_with("/dev/"), "{path} redirects to {location}");
    for cookie in page.headers.get_all("set-cookie") {
        assert!(cookie.to_str().expect("text").contains("Path=/dev"), "{path}: {cookie:?}");
    }
}

async fn signed_in(scene: &Scene, name: &str) -> Browser {
    let mut browser = scene.stranger();
    let fields = [("username", name), ("password", PASSWORD)];
    let entered = browser.submit("/dev/login", "/dev/login", &fields).await;
    assert_eq!((entered.status, entered.location()), (StatusCode::SEE_OTHER, "/dev/"), "{}", entered.body);
    assert!(set_cookie(&entered, "session").contains("Path=/dev"));
    browser
}

#[tokio::test]
async fn every_page_below_a_path_leads_only_below_it() {
    let scene = Scene::start_with(BASE).await;
    let mut stranger = scene.stranger();
    for path in
        ["/dev", "/dev/", "/dev/login", "/dev/signup", "/dev/api", "/dev/settings", "/dev/nowhere", "/dev/admin"]
    {
        assert_below_base(&stranger.get(path).await, path);
    }
    let mut cleo = signed_in(&scene, "cleo").await;
    let posted = cleo.submit("/dev/", "/dev/posts", &[("title", "A post"), ("body", "text")]).await;
    let post = posted.location().to_owned();
    let asked =
        cleo.submit("/dev/settings/apps", "/dev/settings/apps", &[("name", "Bot"), ("purpose", "personal")]).await;
    let own = asked.location().to_owned();
    let id = own.rsplit('/').next().expect("an id").to_owned();
    let message = scene.site.newest_message(scene.cleo).await;
    let letter = format!("/dev/inbox/{message}");
    for answer in [posted, asked] {
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
        assert_below_base(&answer, "a post");
        set_cookie(&answer, "position");
    }
    for path in [
        "/dev",
        "/dev/?page=1",
        "/dev/settings",
        "/dev/settings/apps",
        "/dev/settings/authorizations",
        "/dev/inbox",
        "/dev/unread",
        "/dev/api",
        &post,
        &own,
        &letter,
    ] {
        let page = cleo.get(path).await;
        assert!(page.status == StatusCode::OK || path == "/dev/unread", "{path}: {}", page.status);
        assert_below_base(&page, path);
    }
    let mut rob = signed_in(&scene, "rob").await;
    for path in ["/dev/admin", "/dev/admin/apps", &format!("/dev/admin/apps/{id}")] {
        assert_below_base(&rob.get(path).await, path);
    }
}

#[tokio::test]
async fn the_whole_flow_works_below_a_path_and_nothing_answers_beside_it() {
    let scene = Scene::start_with(BASE).await;
    for beside in ["/", "/login", "/api", "/unread", "/authorize", "/devil", "/developer/login"] {
        assert_eq!(scene.stranger().get(beside).await.status, StatusCode::NOT_FOUND, "{beside}");
    }
    let mut stranger = scene.stranger();
    let ask = format!("/dev/authorize/?client_id={}&state=s", scene.client);
    let to_login = stranger.get(&ask).await;
    let back = parameter(&format!("http://127.0.0.1:8080{}", to_login.location()), "return_to").expect("a way back");
    assert!(back.starts_with("/dev/authorize?"), "{back}");
    let fields = [("username", "ben"), ("password", PASSWORD), ("return_to", back.as_str())];
    let entered = stranger.submit(to_login.location(), "/dev/login", &fields).await;
    assert_eq!(entered.location(), back);
    let page = stranger.get(&back).await;
    assert_below_base(&page, "consent");
    let sent = answer_at(&mut stranger, "/dev/authorize", &page, "authorize").await;
    let token = parameter(sent.location(), "access_token").expect("a token");
    let front = stranger.with_token(Method::GET, "/dev/?sort=new", &token).await;
    assert_eq!(front.status, StatusCode::OK, "{}", front.body);
    let out = stranger.submit("/dev/settings", "/dev/logout", &[]).await;
    assert_eq!(out.location(), "/dev/");
    assert_below_base(&out, "log out");
}

#[tokio::test]
async fn addresses_that_leave_the_site_as_text_carry_the_path() {
    let scene = Scene::start_with(BASE).await;
    let app = &scene.site.app;
    let post =
        app.publish(&crate::support::by(scene.ben), scene.ben, "A post", "", "").await.expect("published").answer;
    scene.site.settle().await;
    let token = scene.owners_token().await;
    let front = scene.stranger().with_token(Method::GET, "/dev?sort=new", &token).await.json();
    assert_eq!(front["data"][0]["permalink"], format!("http://127.0.0.1:8080/dev/posts/{post}"));
    let unread = scene.stranger().with_token(Method::GET, "/dev/api/v1/notifications", &token).await.json();
    let permalink = unread["data"][0]["permalink"].as_str().expect("text");
    assert!(permalink.starts_with("http://127.0.0.1:8080/dev/inbox/"), "{permalink}");
    assert!(app.set_up_link().await.expect("a link").expect("no administrator").contains(":8080/dev/setup?token="));
    let guide = scene.stranger().get("/dev/api").await.body;
    assert!(guide.contains("http://127.0.0.1:8080/dev/?sort=comments"), "{guide}");
    assert!(guide.contains("http://127.0.0.1:8080/dev/unread"));
    assert!(guide.contains("http://127.0.0.1:8080/dev/authorize/?client_id="));
}

#[tokio::test]
async fn trailing_slashes_are_accepted_everywhere() {
    for (settings, base) in [(&[][..], ""), (BASE, "/dev")] {
        let scene = Scene::start_with(settings).await;
        let token = scene.owners_token().await;
        let mut client = scene.stranger();
        for path in
            ["/login", "/signup", "/api", "/unread", "/authorize", "/settings/apps", "/api/v1/token", "/healthz"]
        {
            let plain = client.get(&format!("{base}{path}")).await;
            for more in ["/", "/?x=1"] {
                let slashed = client.get(&format!("{base}{path}{more}")).await;
                assert_eq!(slashed.status, plain.status, "{base}{path}{more}");
            }
        }
        let unread = client.with_token(Method::GET, &format!("{base}/unread/?limit=1"), &token).await;
        assert_eq!(unread.status, StatusCode::OK, "{}", unread.body);
        let csrf = client.get(&format!("{base}/login/")).await.hidden("csrf_token");
        let fields = [("csrf_token", csrf.as_str()), ("username", "ben"), ("password", PASSWORD)];
        assert_eq!(client.post(&format!("{base}/login/"), &fields).await.status, StatusCode::SEE_OTHER);
    }
}
