//! Two reviewers before two browsers decide on one application at the same moment: one decision is recorded, and who was
//! too late is told of it, with what they have typed still before them.

use serde_json::Value;

use crate::{browser::Scripts, clicks::Seat, running_site::RunningSite};

const DECISIONS: [&str; 2] = ["ApplicationApproved", "ApplicationDenied"];

/// A reviewer about to press a button.
struct Reviewer {
    name: &'static str,
    seat: Seat,
    verb: &'static str,
    reason: String,
}

impl Reviewer {
    /// Everything but the click.
    async fn get_ready(&mut self, application: &str, verb: &'static str) {
        self.verb = verb;
        self.reason = format!("What {} typed, to {verb} it.", self.name);
        self.seat.open(&format!("/admin/apps/{application}")).await;
        self.seat.choose("reason_code", "other").await;
        self.seat.fill("reason", &self.reason).await;
    }

    async fn decide(&self) {
        self.seat.send_to(&format!("/{}", self.verb)).await;
    }

    /// What of the page is told after the click: the state, and what stands in the form, if there is one.
    async fn typed(&self) -> Option<String> {
        let field = self.seat.chromium.client.find(fantoccini::Locator::Id("reason")).await.ok()?;
        field.prop("value").await.expect("a page")
    }
}

async fn reviewer(site: &RunningSite, name: &'static str) -> Option<Reviewer> {
    site.given_member(name, &["reviewer"]);
    let seat = Seat::at(site, 1280, Scripts::On).await?;
    seat.sit_down(name).await;
    seat.reads("").await;
    Some(Reviewer { name, seat, verb: "", reason: String::new() })
}

/// How many decisions of a member on an application are in the log.
fn decisions(site: &RunningSite, application: &str, actor: &str) -> usize {
    let of = ["--application", application, "--actor", actor, "--limit", "1000", "--format", "json"];
    let events = site.done(&[&["events", "list"], &of[..]].concat());
    let events: Vec<Value> = serde_json::from_str(&events).expect("a list");
    events.iter().filter(|event| DECISIONS.iter().any(|name| event["type"] == *name)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_decisions_at_the_same_moment_one_counts_and_the_other_one_is_still_in_its_form() {
    let site = RunningSite::start_with(&[("LIMITS_OPEN_REQUESTS", "10")], &[]);
    let Some(mut rob) = reviewer(&site, "rob").await else {
        return;
    };
    let Some(mut mia) = reviewer(&site, "mia").await else {
        return;
    };
    site.given_member("cleo", &[]);
    let mut cleo = site.visitor();
    cleo.log_in("cleo").await;
    for verbs in [["approve", "deny"], ["approve", "approve"], ["deny", "deny"]] {
        let id = cleo.ask_for("Reader", "https://app.example/cb").await;
        tokio::join!(rob.get_ready(&id, verbs[0]), mia.get_ready(&id, verbs[1]));
        tokio::join!(rob.decide(), mia.decide());

        let decisions = [rob.name, mia.name].map(|actor| decisions(&site, &id, actor));
        let (winner, loser) = match decisions {
            [1, 0] => (&rob, &mia),
            [0, 1] => (&mia, &rob),
            counts => panic!("{verbs:?}: {counts:?} decisions of rob and of mia"),
        };
        winner.seat.stands(if winner.verb == "approve" { "approved" } else { "denied" }).await;
        let told = loser.seat.text("[role=alert]").await;
        assert!(told.contains(winner.name), "{verbs:?}: {told}");
        assert_eq!(loser.typed().await.as_deref(), Some(loser.reason.as_str()), "{verbs:?}: {told}");
    }
}
