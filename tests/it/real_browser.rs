//! Three people and an auditor click their way from a request to what has become of it, in headless Chromium, under the
//! policies that the real program sends: with scripts, without, and on a screen as wide as a telephone's.

use fantoccini::Locator;

use crate::{
    browser::Scripts,
    clicks::Seat,
    running_site::{RunningSite, http, with_token},
    third_party::ThirdParty,
};

/// What an application's page shows to its owner.
const DESCRIPTION: &str = "Reads the front page once a day, and keeps nothing.";

struct Journey {
    site: RunningSite,
    seat: Seat,
    third_party: ThirdParty,
}

impl Journey {
    async fn begin(width: u32, scripts: Scripts) -> Option<Self> {
        let site = RunningSite::start();
        let seat = Seat::at(&site, width, scripts).await?;
        for (name, roles) in
            [("cleo", &[][..]), ("rob", &["reviewer"][..]), ("ben", &[][..]), ("olga", &["auditor"][..])]
        {
            site.given_member(name, roles);
        }
        Some(Self { site, seat, third_party: ThirdParty::start("localhost").await })
    }

    /// Cleo asks for an application; the address of its own page.
    async fn request(&self) -> String {
        let seat = &self.seat;
        seat.sit_down("cleo").await;
        seat.follow("Apps").await;
        seat.fill("name", "Reader").await;
        seat.fill("redirect_uri", &self.third_party.redirect_uri()).await;
        seat.fill("description", "Reads.").await;
        seat.submit("redirect_uri").await;
        seat.stands("under_review").await;
        seat.address().await
    }

    /// Rob opens it from the queue.
    async fn review(&self) {
        self.seat.sit_down("rob").await;
        self.seat.follow("Review").await;
        self.seat.follow("Reader").await;
    }

    async fn ask_for_changes(&self) {
        let seat = &self.seat;
        self.review().await;
        seat.send_to("/claim").await;
        seat.reads("You have claimed it").await;
        seat.choose("reason_code", "incomplete").await;
        seat.fill("reason", "How often, and what is kept?").await;
        seat.send_to("/request-changes").await;
        seat.stands("changes_requested").await;
    }

    async fn resubmit(&self, own_page: &str) {
        let seat = &self.seat;
        seat.sit_down("cleo").await;
        seat.open(own_page).await;
        seat.reads("How often, and what is kept?").await;
        seat.fill("description", DESCRIPTION).await;
        seat.submit("description").await;
        seat.stands("under_review").await;
        seat.reads(DESCRIPTION).await;
    }

    async fn approve(&self) {
        self.review().await;
        self.seat.reads(DESCRIPTION).await;
        self.seat.fill("reason", "Welcome.").await;
        self.seat.send_to("/approve").await;
        self.seat.stands("approved").await;
    }

    /// Cleo has the token of her own application shown to her, and uses it.
    async fn reveal(&self) -> String {
        let seat = &self.seat;
        seat.sit_down("cleo").await;
        seat.follow("Inbox").await;
        let waits = "//main//li[contains(., 'a token waits')]//a";
        let path = "/inbox";
        seat.comes(path, "main li a[href*='/inbox/']").await;
        while seat.chromium.client.find(Locator::XPath(waits)).await.is_err() {
            seat.comes(path, "main li a[href*='/inbox/']").await;
        }
        seat.press(waits).await;
        seat.send_to("/reveal").await;
        let token = seat.text("#token").await;
        assert!(token.starts_with("csp_"), "{token}");
        token
    }

    /// Ben is not logged in: the log-in comes first, then the consent, then the third party and its own redirect.
    async fn authorize(&self, client_id: &str) -> String {
        let seat = &self.seat;
        seat.stand_up().await;
        seat.open(&format!("/authorize/?client_id={client_id}&state=x")).await;
        seat.give_name_and_password("ben").await;
        seat.press("//button[@name='decision'][@value='authorize'][not(@aria-disabled)]").await;
        seat.press("//h1[.='Welcome back']").await;
        assert_eq!(seat.address().await, format!("{}/done", self.third_party.origin()));
        let requests = self.third_party.requests();
        let [came, done] = requests.as_slice() else { panic!("{requests:?}") };
        assert_eq!(done, "/done");
        let came = url::Url::parse(&format!("http://localhost{came}")).expect("an address");
        let pairs: Vec<_> = came.query_pairs().into_owned().collect();
        let [(access_token, token), (state, x)] = pairs.as_slice() else { panic!("{pairs:?}") };
        assert_eq!([access_token, state, x], ["access_token", "state", "x"]);
        assert!(token.starts_with("csa_"), "{token}");
        token.clone()
    }

    async fn remove_access(&self) {
        let seat = &self.seat;
        seat.sit_down("ben").await;
        seat.open("/settings").await;
        seat.follow("Apps with access").await;
        seat.press("//main//li[contains(., 'Reader')]//form[contains(@action, '/remove')]//button").await;
        seat.reads("has access to your account").await;
    }

    async fn suspend(&self, own_page: &str) {
        let seat = &self.seat;
        seat.sit_down("rob").await;
        seat.open(&own_page.replace("/settings/apps/", "/admin/apps/")).await;
        seat.choose("reason_code", "security").await;
        seat.fill("reason", "It asks too often.").await;
        seat.send_to("/suspend").await;
        seat.stands("suspended").await;
    }

    /// Olga, who may change nothing, finds all of it in the history.
    async fn audit(&self, own_page: &str) {
        let seat = &self.seat;
        seat.sit_down("olga").await;
        seat.follow("Audit").await;
        seat.unfold("Filters").await;
        let application = own_page.rsplit('/').next().expect("an id");
        seat.fill("filter-application", application).await;
        seat.submit("filter-application").await;
        seat.comes(&format!("/admin/audit?application={application}"), "a[aria-label^='Event ']").await;
        for happened in [
            "ApplicationRequested",
            "ReviewClaimed",
            "ChangesRequested",
            "ApplicationResubmitted",
            "ApplicationApproved",
            "UserAuthorized",
            "AuthorizationRescinded",
            "ApplicationSuspended",
        ] {
            seat.reads(happened).await;
        }
        seat.reads("It asks too often.").await;
    }

    /// What the API says to a token.
    async fn use_it(&self, token: &str) -> (u16, serde_json::Value) {
        let answer = with_token(&http(), &format!("{}/api/v1/token", self.site.url()), token).await;
        (answer.status.as_u16(), answer.json())
    }

    async fn assert_used_by(&self, token: &str, user: &str) {
        let (status, said) = self.use_it(token).await;
        assert_eq!((status, &said["user"]["name"]), (200, &serde_json::json!(user)), "{said}");
    }

    async fn assert_refused(&self, token: &str, code: &str) {
        let (status, said) = self.use_it(token).await;
        assert_eq!((status, &said["code"]), (401, &serde_json::json!(code)), "{said}");
    }
}

async fn from_request_to_audit(width: u32, scripts: Scripts) {
    let Some(journey) = Journey::begin(width, scripts).await else {
        return;
    };
    let own_page = journey.request().await;
    journey.ask_for_changes().await;
    journey.resubmit(&own_page).await;
    journey.approve().await;
    let cleos = journey.reveal().await;
    journey.seat.assert_quiet_console(false).await;
    journey.assert_used_by(&cleos, "cleo").await;
    journey.seat.open(&own_page).await;
    let client_id = journey.seat.text("#client_id").await;

    let bens = journey.authorize(&client_id).await;
    journey.assert_used_by(&bens, "ben").await;
    journey.remove_access().await;
    journey.assert_refused(&bens, "token_revoked").await;
    journey.assert_used_by(&cleos, "cleo").await;

    journey.suspend(&own_page).await;
    journey.assert_refused(&cleos, "application_suspended").await;
    journey.audit(&own_page).await;
    journey.seat.assert_quiet_console(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_click_from_a_request_to_its_audit() {
    from_request_to_audit(1280, Scripts::On).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_click_from_a_request_to_its_audit_without_scripts() {
    from_request_to_audit(1280, Scripts::Off).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_click_from_a_request_to_its_audit_on_a_telephone() {
    from_request_to_audit(375, Scripts::On).await;
}

#[tokio::test]
async fn a_button_that_copies_says_so_and_has_its_name_back_even_when_pressed_twice() {
    let site = RunningSite::start();
    let Some(seat) = Seat::at(&site, 1280, Scripts::On).await else { return };
    seat.open("/api").await;
    let button = "//button[@data-copy='example-header']";
    seat.press(button).await;
    seat.press(button).await;
    // Which of the two depends on whether this browser lets pages write to its clipboard.
    for said in ["//p[@role='status'][.='Copied' or .='Selected']", "//button[@data-copy='example-header'][.='Copy']"] {
        seat.finds(said).await;
    }
    seat.assert_quiet_console(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_click_on_a_consent_page_counts_once_the_page_was_in_sight_for_a_moment() {
    let Some(journey) = Journey::begin(1280, Scripts::On).await else {
        return;
    };
    let (seat, own_page) = (&journey.seat, journey.request().await);
    journey.review().await;
    seat.fill("reason", "Welcome.").await;
    seat.send_to("/approve").await;
    seat.stands("approved").await;
    seat.sit_down("cleo").await;
    seat.open(&own_page).await;
    let client_id = seat.text("#client_id").await;
    seat.sit_down("ben").await;
    let page = format!("/authorize?client_id={client_id}");
    seat.open(&page).await;
    // The second click of a double click, in the moment in which a window in front of the page goes.
    let hurried = "const button = document.querySelector(\"button[value='authorize']\");\
                   window.dispatchEvent(new Event('focus'));\
                   button.click();\
                   button.form.requestSubmit(button);\
                   return button.getAttribute('aria-disabled');";
    for _ in 0..3 {
        let waits = seat.chromium.client.execute(hurried, vec![]).await.expect("it runs");
        assert_eq!(waits, serde_json::json!("true"));
        seat.finds("//button[@value='authorize'][not(@aria-disabled)]").await;
        assert!(seat.address().await.contains(&page), "{}", seat.address().await);
    }
    assert!(journey.third_party.requests().is_empty(), "nothing was agreed to");
    seat.press("//button[@value='authorize'][not(@aria-disabled)]").await;
    seat.press("//h1[.='Welcome back']").await;
    seat.assert_quiet_console(false).await;
}
