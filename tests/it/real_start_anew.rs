//! Starts of the real program that have to build read models anew, under readers: after another revision the old
//! generation answers until the new one is there; with a lost, empty or foreign file nobody answers for it, and no
//! answer is ever from a model that lacks events.

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::{
    browser_double::Answer,
    prerequisites::times,
    projections_real::grow,
    running_site::{RunningSite, answer, http, with_token},
};

/// Events of the log, by the factor of the run.
const EVENTS: u64 = 20_000;
/// At once.
const READERS: usize = 3;
/// What `docs/operating.md` promises of a start that builds every read model of a million events.
const MOST_MIB: u64 = 768;
/// No build takes longer, also on a machine that builds at the same time.
const PATIENCE: Duration = Duration::from_mins(10);
const SETTINGS: [(&str, &str); 2] = [("LIMITS_API_PER_MINUTE", "1000000"), ("LOG", "warn")];

/// What is done to the read models of a stopped site.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Harm {
    /// All of them are as another release would have left them.
    OtherRevision,
    Lost(&'static str),
    Empty(&'static str),
    NoDatabase(&'static str),
    CutInHalf(&'static str),
    AllLost,
}

impl Harm {
    async fn done_to(self, site: &RunningSite) {
        let models = site.data_dir().join("models");
        let file = async |name: &str| {
            let number = site.home.generations(name).await.pop().expect("a generation");
            models.join(format!("{name}-{number}.db"))
        };
        match self {
            Self::OtherRevision => site.home.log().await.run("update generations set revision = 99").await,
            Self::AllLost if site.home.database.is_some() => {
                for name in ["inbox", "front_page", "statistics", "history"] {
                    for number in site.home.generations(name).await {
                        site.home.log().await.run(&format!("drop schema countersign_{name}_{number} cascade")).await;
                    }
                }
            }
            Self::AllLost => std::fs::remove_dir_all(models).expect("it goes"),
            Self::Lost(name) => std::fs::remove_file(file(name).await).expect("it goes"),
            Self::Empty(name) => std::fs::write(file(name).await, "").expect("it is emptied"),
            Self::NoDatabase(name) => std::fs::write(file(name).await, "no database. ".repeat(999)).expect("written"),
            Self::CutInHalf(name) => {
                let file = std::fs::OpenOptions::new().write(true).open(file(name).await).expect("it opens");
                file.set_len(file.metadata().expect("it is there").len() / 2).expect("it is cut");
            }
        }
    }
}

/// A reader and what is right.
#[derive(Clone)]
struct Reader {
    url: String,
    token: String,
    newest: String,
    unread: Vec<String>,
}

/// What readers saw.
#[derive(Default)]
struct Seen {
    took: Vec<Duration>,
    /// Doors that told to wait.
    waits: usize,
    /// Answers that were not what is right.
    wrong: Vec<String>,
}

fn ids(answer: &Answer) -> Vec<String> {
    let listed = answer.json()["data"].as_array().cloned().unwrap_or_default();
    listed.iter().map(|one| one["id"].as_str().unwrap_or_default().to_owned()).collect()
}

impl Reader {
    /// Reads once what the trailing read models show.
    async fn read(&self, http: &reqwest::Client, is_ready: bool, seen: &mut Seen) {
        for path in ["/?sort=new&limit=1".to_owned(), format!("/api/v1/posts/{}", self.newest), "/unread".to_owned()] {
            let began = Instant::now();
            let request = http.get(format!("{}{path}", self.url)).header("accept", "application/json");
            let answer = answer(request.header("authorization", &self.token)).await;
            seen.took.push(began.elapsed());
            let told_to_wait = answer.status == StatusCode::SERVICE_UNAVAILABLE;
            seen.waits += usize::from(told_to_wait);
            let is_right = match path.as_str() {
                _ if told_to_wait => {
                    !is_ready && answer.json()["code"] == "building" && answer.headers.contains_key("retry-after")
                }
                _ if answer.status != StatusCode::OK => false,
                "/unread" => ids(&answer) == self.unread,
                path if path.starts_with("/?") => ids(&answer) == [&*self.newest],
                _ => answer.body.contains(&*self.newest),
            };
            if !is_right {
                seen.wrong.push(format!("{path}, ready {is_ready}: {} {}", answer.status, answer.body));
            }
        }
    }

    /// Reads until somebody says that it is enough.
    async fn read_on(self, enough: watch::Receiver<bool>) -> Seen {
        let (http, mut seen) = (http(), Seen::default());
        while !*enough.borrow() {
            let is_ready = answer(http.get(format!("{}/readyz", self.url))).await.status == StatusCode::OK;
            self.read(&http, is_ready, &mut seen).await;
        }
        seen
    }

    /// Several read until the site is ready and everything is live; how long it took to be ready, and what they saw.
    async fn read_until_built(&self, site: &RunningSite) -> (Duration, Seen) {
        let (http, began, mut ready) = (http(), Instant::now(), None);
        let (say, enough) = watch::channel(false);
        let readers: Vec<_> = (0..READERS).map(|_| tokio::spawn(self.clone().read_on(enough.clone()))).collect();
        loop {
            let is_ready = answer(http.get(format!("{}/readyz", self.url))).await;
            if is_ready.status == StatusCode::OK {
                ready.get_or_insert(began.elapsed());
            } else {
                assert!(is_ready.body.contains("the read model"), "{}", is_ready.body);
            }
            let printed = site.done(&["projections", "status", "--format", "json"]);
            let all: Vec<Value> = serde_json::from_str(&printed).expect("JSON");
            if ready.is_some() && all.iter().all(|one| one["state"] == "live") {
                break;
            }
            assert!(began.elapsed() < PATIENCE, "{printed}");
        }
        say.send_replace(true);
        let mut all = Seen::default();
        for reader in readers {
            let Seen { took, waits, wrong } = reader.await.expect("it read");
            all.took.extend(took);
            all.waits += waits;
            all.wrong.extend(wrong);
        }
        all.took.sort();
        (ready.expect("it is"), all)
    }
}

async fn given_a_site() -> (RunningSite, Reader) {
    let mut site = RunningSite::start_with(&SETTINGS, &[]);
    for name in ["ada", "ben"] {
        site.given_member(name, &[]);
    }
    let ada = site.given_token("ada", "read write").0;
    let ben = site.given_token("ben", "read write notifications").0;
    let send = async |site: &RunningSite, token: &str, path: &str, body: Value| {
        let request = http().post(format!("{}{path}", site.url())).header("authorization", token).json(&body);
        let answer = answer(request).await;
        assert!(answer.status.is_success(), "{path}: {}", answer.body);
        answer
    };
    let posted = send(&site, &ada, "/api/v1/posts", json!({ "title": "Old", "body": "@ben, look." })).await;
    let path = format!("/api/v1/posts/{}/comments", posted.json()["id"].as_str().expect("an id"));
    send(&site, &ben, &path, json!({ "body": "b" })).await;
    site.kill9();
    grow(&site, times(EVENTS)).await;
    // As it was left in the middle of a build by a release that read what it had half filled.
    site.restart();
    let deadline = Instant::now() + PATIENCE;
    let seen = loop {
        let unread = with_token(&http(), &format!("{}/unread", site.url()), &ben).await;
        if unread.status == StatusCode::OK {
            break ids(&unread);
        }
        assert!(unread.status == StatusCode::SERVICE_UNAVAILABLE && Instant::now() < deadline, "{}", unread.body);
    };
    assert!(!seen.is_empty());
    send(&site, &ben, "/api/v1/notifications/read", json!({ "ids": seen })).await;
    let newest = send(&site, &ada, "/api/v1/posts", json!({ "title": "New", "body": "@ben, again." })).await;
    let position = newest.headers["countersign-position"].clone();
    let unread = http().get(format!("{}/unread", site.url())).header("countersign-position", position);
    let unread = answer(unread.header("authorization", &ben)).await;
    let unread = ids(&unread);
    // The mention is read; what is about authorizations no token marks.
    assert!(unread.len() == seen.len() && unread != seen, "{unread:?}");
    let newest = newest.json()["id"].as_str().expect("an id").to_owned();
    let reader = Reader { url: site.url().to_owned(), token: ben, newest, unread };
    (site, reader)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_of_a_start_that_builds_anew_is_wrong_and_the_old_generation_answers_meanwhile() {
    let (mut site, mut reader) = given_a_site().await;
    let harms = match site.home.database {
        Some(_) => vec![Harm::OtherRevision, Harm::AllLost],
        None => vec![
            Harm::OtherRevision,
            Harm::Lost("front_page"),
            Harm::Empty("inbox"),
            Harm::NoDatabase("front_page"),
            Harm::CutInHalf("front_page"),
            Harm::AllLost,
        ],
    };
    for harm in harms {
        site.kill9();
        harm.done_to(&site).await;
        site.restart();
        site.url().clone_into(&mut reader.url);
        let (ready, Seen { took, waits, wrong }) = reader.read_until_built(&site).await;
        let (p99, most) = (took[took.len() * 99 / 100], site.peak_mib());
        eprintln!(
            "{harm:?}, {} events: ready after {ready:.1?}; {READERS} readers, {} answers, {} wrong, {waits} told to wait, \
             99 % within {p99:.1?}; at most {most} MiB",
            times(EVENTS),
            took.len(),
            wrong.len()
        );
        assert!(wrong.is_empty(), "{harm:?}: {:?}", &wrong[..wrong.len().min(3)]);
        // Where there was nothing to read from, it can have been built before anybody asked.
        assert!(waits == 0 || harm != Harm::OtherRevision, "{harm:?}: {waits}");
        assert!(most <= MOST_MIB, "{harm:?}: {most} MiB");
    }
    let checked = site.done(&["projections", "check"]);
    assert!(checked.contains("front_page is as the log has it"), "{checked}");
    assert!(site.peak_mib() <= MOST_MIB, "the check made it {} MiB", site.peak_mib());
}
