//! Pages that a site in good order and in use does not show: before anybody is there, behind one-time links, with a log-in
//! that is old, after too many attempts, without its database.

use countersign_events::account::Role;

use crate::{
    auditor::Auditor,
    page_list::{ANY_FORM, At, ERROR, NOBODY, Page, page},
    real_pages::Tour,
    running_site::{PASSWORD, Visitor},
    served_app::ServedApp,
};

/// Where nobody has been yet.
fn of_an_empty_site() -> Vec<Page> {
    let refused = [("username", "a"), ("password", "short"), ("password_repeat", "other")];
    vec![
        page("empty-front", "/", NOBODY, At::Path("/")),
        page("empty-setup", "/setup", NOBODY, At::Link),
        page("empty-setup-refused", "/setup", NOBODY, At::Link).sent(422, "main form", "", &refused),
    ]
}

/// Where a few have been, and a log-in is more than a quarter of an hour old.
fn of_an_old_log_in() -> Vec<Page> {
    let review = |name| page(name, "/admin/apps/{id}", "rob", At::Review("Reader"));
    let decision = [("revision", "1"), ("reason_code", "other"), ("reason", "What I typed.")];
    let with_password = [&decision[..], &[("password", "not the password")]].concat();
    let log_in = [("username", "guessed-at"), ("password", "not the password")];
    vec![
        page("rare-reset", "/setup", NOBODY, At::Link),
        page("rare-reset-refused", "/setup", NOBODY, At::Link).sent(
            422,
            "main form",
            "",
            &[("password", "short"), ("password_repeat", "other")],
        ),
        page("rare-admin-empty", "/admin/apps", "rob", At::Path("/admin/apps?state=denied")),
        review("rare-review-asks-for-the-password"),
        review("rare-decision-without-password").sent(403, ANY_FORM, "+/deny", &decision),
        review("rare-decision-with-a-wrong-password").sent(401, ANY_FORM, "+/deny", &with_password),
        page("rare-login-too-often", "/login", NOBODY, At::Path("/login")).sent(429, "main form", "", &log_in),
    ]
}

/// Where the database has gone.
fn of_a_broken_site() -> Vec<Page> {
    vec![page("broken-503", ERROR, "rob", At::Path("/settings/apps")).with_status(503)]
}

pub fn pages() -> Vec<Page> {
    [of_an_empty_site(), of_an_old_log_in(), of_a_broken_site()].into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_that_are_seldom_shown_are_in_order_on_every_screen() {
    let served = ServedApp::start_with(&[("LIMITS_LOGIN_PER_MINUTE", "3")]).await;
    let Some(mut auditor) = Auditor::start(&served.url).await else {
        return;
    };
    let app = &served.site.app;

    let pages = of_an_empty_site();
    let link = app.set_up_link().await.expect("a vault").expect("nobody is there");
    Tour::of_nobody(&served.url, &link).walk(&mut auditor, &pages).await;

    let rob = served.site.given_member("rob", &[Role::Admin]).await;
    let cleo = served.site.given_member("cleo", &[]).await;
    served.site.given_request(cleo, "Reader").await;
    served.site.settle().await;
    let mut guesser = Visitor::at(&served.url);
    for _ in 0..3 {
        guesser.submit("/login", "/login", &[("username", "guessed-at"), ("password", "not the password")]).await;
    }
    let pages = of_an_old_log_in();
    let link = app.reset_link(rob).await.expect("a vault");
    let mut tour = Tour::of(&served.url, PASSWORD, &pages, "rob").await;
    tour.link = link;
    served.site.clock.advance(chrono::Duration::minutes(20));
    tour.walk(&mut auditor, &pages).await;

    served.site.home.log().await.run("alter table applications rename to gone").await;
    tour.walk(&mut auditor, &of_a_broken_site()).await;
    auditor.report();
}
