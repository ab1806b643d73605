//! Plays the steps of a seed on a site and holds each against the oracle, until one is not as it has to be.

use std::{collections::BTreeSet, fmt::Write as _, sync::Arc};

use chrono::Duration;
use countersign::app::{
    App, AppError, Caller,
    authorizations::{ConsentPage, ConsentRequest},
};
use countersign_events::{account::Role, application::Standing, recorded::Timestamp};
use countersign_projections::{INLINE, TRAILING};

use super::{
    chance::{Kind, Step, steps},
    compare::{Found, compare_log},
    oracle::{Application, Being, Command, Oracle, Outcome, Outlook, Session, Shown},
    send::Told,
    site::{PARTS, Site, copy},
};

/// Everything is compared, not only what was touched, after so many steps.
const ALL_AFTER: usize = 50;
/// So many lines of history are shown with a failure.
const SHOWN: usize = 25;

/// What is said of a step that has nobody or nothing to do something with.
const IDLE: &str = "nothing to do";
/// So many steps are played at most to shorten a run that fails.
const TO_SHORTEN: usize = 4_000;

/// What came of a run.
pub struct Played {
    /// One line a step.
    pub lines: Vec<String>,
    /// The log, event by event.
    pub log: Vec<String>,
    /// The kinds of steps that changed something, or found what they looked for.
    pub happened: BTreeSet<Kind>,
    /// What was not as it has to be, and at which step.
    pub fault: Option<(usize, String)>,
}

struct Run {
    site: Site,
    oracle: Oracle,
    lines: Vec<String>,
    log: Vec<String>,
    happened: BTreeSet<Kind>,
    /// How far the wall clock is wrong, and since when.
    jumped: Option<(Duration, Timestamp)>,
}

/// Plays these steps of a seed.
pub fn play(seed: u64, steps: &[Step]) -> Played {
    let two_sign = seed % 3 == 2;
    let oracle = Oracle { two_sign, ..Oracle::default() };
    let mut run = Run {
        site: Site::begin(two_sign),
        oracle,
        lines: vec![],
        log: vec![],
        happened: BTreeSet::new(),
        jumped: None,
    };
    let mut fault = run.set_up().err().map(|what| (0, what));
    for step in steps {
        if fault.is_some() {
            break;
        }
        fault = run.step(step).err().map(|what| (step.number, what));
    }
    Played { lines: run.lines, log: run.log, happened: run.happened, fault }
}

/// Plays a seed, and fails with its history when something is not as it has to be.
pub fn hold(seed: u64, number: usize) -> Played {
    let all = steps(seed, number);
    let played = play(seed, &all);
    let Some((at, what)) = &played.fault else { return played };
    let mut told = format!("seed {seed}, step {at}: {what}\n\nThe last steps:\n");
    for line in &played.lines[played.lines.len().saturating_sub(SHOWN)..] {
        let _ = writeln!(told, "  {line}");
    }
    let _ = writeln!(
        told,
        "\nAgain: COUNTERSIGN_SIM_SEED={seed} COUNTERSIGN_SIM_STEPS={number} cargo nextest run -E \
         'test(simulator_of_a_seed_of_choice)'"
    );
    // Said before it is shortened, which takes a while.
    eprintln!("{told}");
    panic!("{told}\n{}", shortened(seed, &all[..=(*at).min(all.len() - 1)]));
}

/// The steps that are left when those are dropped that a fault does not need.
fn shortened(seed: u64, steps: &[Step]) -> String {
    let mut left = steps.to_vec();
    let mut played = 0;
    let mut size = left.len() / 2;
    while size > 0 && played < TO_SHORTEN {
        let mut at = 0;
        while at + size < left.len() && played < TO_SHORTEN {
            let mut fewer = left.clone();
            fewer.drain(at..at + size);
            played += fewer.len();
            if play(seed, &fewer).fault.is_some() {
                left = fewer;
            } else {
                at += size;
            }
        }
        size /= 2;
    }
    let played = play(seed, &left);
    let Some((_, what)) = played.fault else { return "It does not fail every time.".to_owned() };
    let lines = played.lines[played.lines.len().saturating_sub(SHOWN)..].join("\n  ");
    format!("Shortened to {} steps: {what}\n  {lines}\n", left.len())
}

impl Run {
    /// The first members.
    fn set_up(&mut self) -> Found {
        let cast: [(&str, &[Role]); 6] = [
            ("ada", &[Role::Admin]),
            ("rob", &[Role::Reviewer]),
            ("rae", &[Role::Reviewer]),
            ("cleo", &[]),
            ("ben", &[]),
            ("dan", &[Role::Auditor]),
        ];
        for (name, roles) in cast {
            let (name, password, roles) = (name.to_owned(), format!("{name} knows it"), roles.to_vec());
            self.command(&Command::Join { name, password, roles }, None)?;
        }
        self.compare(true)
    }

    fn step(&mut self, step: &Step) -> Found {
        self.site.advance(Duration::seconds(1 + i64::try_from(step.dice[5] % 40).expect("few")));
        let patience = Duration::minutes(8);
        if self.jumped.is_some_and(|(_, since)| self.site.now() - since > patience) || step.kind.wants_the_time() {
            self.set_clock_right();
        }
        self.lines.push(format!("{:5} {:?}", step.number, step.kind));
        let said = self.perform(step)?;
        if said != IDLE && !step.kind.is_command() {
            self.happened.insert(step.kind);
        }
        let line = self.lines.last_mut().expect("pushed right above");
        let _ = write!(line, ": {said}");
        let fresh = matches!(step.kind, Kind::Stop | Kind::Crash | Kind::LoseModels | Kind::Misplace | Kind::Rebuild);
        self.compare(fresh || step.number.is_multiple_of(ALL_AFTER))
    }

    fn compare(&mut self, all: bool) -> Found {
        let now = self.site.now();
        self.oracle.doubt = self.jumped.map(|(by, _)| (now.min(now + by), now.max(now + by)));
        let (oracle, log) = (&mut self.oracle, &mut self.log);
        self.site.does(async |app| {
            settle(app).await?;
            if app.now() != now {
                return Err(format!("the site takes it to be {}, and it is {now}", app.now()));
            }
            compare_log(app, log, all).await?;
            oracle.compare(app, now, all).await
        })
    }

    fn perform(&mut self, step: &Step) -> Result<String, String> {
        match step.kind {
            Kind::LogIn => self.log_in(step),
            Kind::LogOut => Ok(self.log_out(step)),
            Kind::NewPassword => self.new_password(step),
            Kind::Look => self.look(step),
            Kind::Repeat => self.repeat(step),
            Kind::House => self.keep_house(),
            Kind::Jump => {
                let days = step.pick(0, &[3, 8, 31, 1_095, -1, -31, -1_095]).expect("some");
                let by = Duration::days(days);
                self.site.jump(by);
                self.jumped = Some((by, self.site.now()));
                // What a wrong clock does harm by is what destroys.
                self.compare(false)?;
                let house = self.keep_house()?;
                Ok(format!("the wall clock jumps by {days} days; {house}"))
            }
            Kind::Advance => {
                let minutes = step.pick(0, &[10, 31, 61, 180, 720, 1_440, 2_900, 4_000, 11_000]).expect("some");
                self.site.advance(Duration::minutes(minutes));
                Ok(format!("{minutes} minutes pass"))
            }
            Kind::Stop => {
                self.site.stop();
                self.site.start()?;
                Ok(String::new())
            }
            Kind::Crash => {
                self.site.crash();
                self.site.start()?;
                Ok(String::new())
            }
            Kind::LoseModels => self.lose_models(step),
            Kind::Misplace => self.misplace(step),
            Kind::FullDisk => self.full_disk(step),
            Kind::Rebuild => {
                let names: Vec<_> = TRAILING.iter().map(|projection| projection.name).collect();
                let name = step.pick(0, &names).expect("some");
                let built = self.site.does(async |app| {
                    settle(app).await?;
                    let built = app.rebuild_projection(&Caller::system(), name, &|_| {}).await;
                    built.map_err(|error| format!("{name} cannot be built anew: {error}"))
                })?;
                Ok(format!("{name} is built anew: {}", built.is_some()))
            }
            Kind::Check => self.check(step),
            _ => match self.oracle.choose(step, self.site.now()) {
                None => Ok(IDLE.to_owned()),
                Some(command) => {
                    let name =
                        (Oracle::can_be_named(&command) && step.says(5, 55)).then(|| format!("c{}", step.number));
                    if self.oracle.outlook(&command, self.site.now()) == Outlook::Done {
                        self.happened.insert(step.kind);
                    }
                    let told = self.command(&command, name.as_deref())?;
                    Ok(format!("{} {told}", self.in_words(&command)))
                }
            },
        }
    }

    fn in_words(&self, command: &Command) -> String {
        let mut words = format!("{command:?}");
        // Numbers of members are hard to remember.
        for (number, member) in self.oracle.members.iter().enumerate() {
            for field in ["by", "member", "owner", "from", "to"] {
                let member = format!("{field}: {}", member.name);
                words = words.replace(&format!("{field}: {number},"), &format!("{member},"));
                words = words.replace(&format!("{field}: {number} "), &format!("{member} "));
            }
        }
        words
    }

    /// Sends a command and holds what comes of it against what has to.
    fn command(&mut self, command: &Command, name: Option<&str>) -> Result<String, String> {
        let outlook = self.oracle.outlook(command, self.site.now());
        let told = self.send(command, name.map(|name| (name, 1)), &outlook)?;
        let Ok(Told { value, .. }) = told else { return Ok("is refused".to_owned()) };
        let now = self.site.now();
        if outlook == Outlook::Done {
            self.oracle.take(command, &value, now);
        }
        if let Some(name) = name {
            let (name, command, value) = (name.to_owned(), command.clone(), value.clone());
            self.oracle.outcomes.push(Outcome { name, command, value, at: now, forgotten: false, other: false });
        }
        Ok(format!("{} → {value:?}", name.unwrap_or_default()))
    }

    /// The answer, when it and the log are as they have to be.
    fn send(
        &self,
        command: &Command,
        name: Option<(&str, u8)>,
        outlook: &Outlook,
    ) -> Result<Result<Told, AppError>, String> {
        let oracle = &self.oracle;
        let (before, told, after) = self.site.does(async |app| {
            let before = app.head().await.expect("a head").position.0;
            let told = oracle.send(app, command, name).await;
            (before, told, app.head().await.expect("a head").position.0)
        });
        let is_due = match (&told, outlook) {
            (Ok(told), Outlook::Done) => told.happened && !told.repeated && after > before,
            (Ok(told), Outlook::Holds) => !told.happened && !told.repeated && after == before,
            (Ok(told), Outlook::Again(value) | Outlook::Perhaps(value)) => {
                told.repeated && told.value == *value && after == before
            }
            (Err(error), Outlook::Failed) => matches!(error, AppError::Store(_)) && after == before,
            (Err(error), Outlook::Refused | Outlook::Perhaps(_)) => {
                !matches!(error, AppError::Store(_) | AppError::LostRace) && after == before
            }
            _ => false,
        };
        if is_due {
            return Ok(told);
        }
        let command = self.in_words(command);
        let said = match told {
            Ok(Told { value, happened, repeated }) => {
                format!("{value:?} (happened: {happened}, repeated: {repeated})")
            }
            Err(error) => format!("refused: {error}"),
        };
        Err(format!("{command}\n  is {said}, {} events are appended, and due is {outlook:?}", after - before))
    }

    /// Sends a command again under its name, or another under the same one.
    fn repeat(&mut self, step: &Step) -> Result<String, String> {
        let recent: Vec<_> = (0..self.oracle.outcomes.len()).rev().take(15).collect();
        let Some(number) = step.pick(0, &recent) else { return Ok(IDLE.to_owned()) };
        if matches!(self.oracle.outcomes[number].command, Command::Regenerate { .. }) {
            self.set_clock_right();
        }
        let Outcome { name, command, .. } = &self.oracle.outcomes[number];
        let (name, command) = (name.clone(), command.clone());
        let other = step.says(1, 15);
        let outlook = self.oracle.outlook_of_repeat(number, other, self.site.now());
        let told = self.send(&command, Some((&name, if other { 2 } else { 1 })), &outlook)?;
        let now = self.site.now();
        let words = format!("{name}, {}", self.in_words(&command));
        let Ok(Told { value, .. }) = told else { return Ok(format!("{words} is refused")) };
        if matches!(outlook, Outlook::Done | Outlook::Holds) {
            // Nobody knew it any more: it was carried out anew.
            if outlook == Outlook::Done {
                self.oracle.take(&command, &value, now);
            }
            let outcome = &mut self.oracle.outcomes[number];
            (outcome.value, outcome.at, outcome.forgotten) = (value.clone(), now, false);
            outcome.other = other;
        }
        Ok(format!("{words} → {value:?}"))
    }

    fn log_in(&mut self, step: &Step) -> Result<String, String> {
        let present: Vec<_> = (0..self.oracle.members.len())
            .filter(|member| self.oracle.members[*member].being != Being::Erased)
            .collect();
        let Some(number) = step.pick(0, &present) else { return Ok(IDLE.to_owned()) };
        let now = self.site.now();
        let member = &mut self.oracle.members[number];
        let is_right = step.says(1, 75);
        let password = if is_right { member.password.clone() } else { "correct horse".to_owned() };
        let name = member.name.clone();
        let said = self.site.does(async |app| app.log_in(&Caller::system(), &name, &password).await);
        match said {
            Ok((user, key)) if is_right && member.being == Being::Active && user == member.id => {
                member.sessions.push(Session { key, until: now + Duration::days(30), ended: false });
                Ok(format!("{name} logs in"))
            }
            Err(AppError::WrongPassword) if !is_right => Ok(format!("{name} does not know the password")),
            Err(AppError::Suspended) if is_right && member.being == Being::Suspended => {
                Ok(format!("{name} is suspended"))
            }
            Ok(_) => Err(format!("{name} is let in")),
            Err(error) => Err(format!("{name} is not let in: {error}")),
        }
    }

    fn log_out(&mut self, step: &Step) -> String {
        let sessions = self.oracle.members.iter_mut().flat_map(|member| &mut member.sessions);
        let mut open: Vec<_> = sessions.filter(|session| !session.ended).collect();
        if open.is_empty() {
            return IDLE.to_owned();
        }
        let place = step.dice[0] % open.len();
        let session = open.swap_remove(place);
        session.ended = true;
        let key = session.key.clone();
        self.site.does(async |app| app.log_out(&key).await).expect("it ends");
        format!("session {place}")
    }

    fn new_password(&mut self, step: &Step) -> Result<String, String> {
        let present: Vec<_> = (0..self.oracle.members.len())
            .filter(|member| self.oracle.members[*member].being != Being::Erased)
            .collect();
        let Some(number) = step.pick(0, &present) else { return Ok(IDLE.to_owned()) };
        let member = &mut self.oracle.members[number];
        let (id, password) = (member.id, format!("another horse {}", step.number));
        let said = self.site.does(async |app| {
            let link = app.reset_link(id).await?;
            let link = link.split_once("token=").expect("a link").1.to_owned();
            app.reset_password(&Caller::system(), &link, &password, None, false).await?;
            // It is for one password.
            Ok(app.reset_password(&Caller::system(), &link, "yet another horse", None, false).await.is_err())
        });
        let once = said.map_err(|error: AppError| format!("{} gets no new password: {error}", member.name))?;
        if !once {
            return Err(format!("a link of {} is good twice", member.name));
        }
        member.password = password;
        member.sessions.iter_mut().for_each(|session| session.ended = true);
        self.oracle.tell(number, "message", None);
        self.oracle.touched.insert(super::oracle::Touched::Member(number));
        Ok(self.oracle.members[number].name.clone())
    }

    /// The wall clock is set right again before anybody can believe it.
    fn set_clock_right(&mut self) {
        if let Some((by, _)) = self.jumped.take() {
            self.site.jump(-by);
        }
    }

    fn keep_house(&mut self) -> Result<String, String> {
        let now = self.site.now();
        let world = &self.site.app().world;
        let (destroying, old) = (world.destroying(), world.older_than(std::time::Duration::from_hours(48)));
        if destroying > now {
            return Err(format!("what is over at {destroying} is destroyed, and it is {now}"));
        }
        // It would live for ever.
        let proved = now - self.site.steady_since > Duration::hours(25);
        if proved && destroying < now - Duration::minutes(5) {
            return Err(format!("only what was over at {destroying} is destroyed, and it is {now}"));
        }
        let expired = self.oracle.keep_house(now, destroying, old);
        self.site.does(async |app| app.look_after().await).map_err(|error| format!("a round fails: {error}"))?;
        Ok(format!("{expired} secrets expire"))
    }

    /// Somebody comes from an application and sees its consent page.
    fn look(&mut self, step: &Step) -> Result<String, String> {
        let can_be = |application: &Application| {
            application.standing == Standing::Approved && application.wish.purpose != "personal"
        };
        // A few come back to the same application again and again.
        let often = step.says(2, 70);
        let known: Vec<_> = (0..self.oracle.applications.len())
            .filter(|number| self.oracle.applications[*number].client_id.is_some())
            .filter(|number| !often || can_be(&self.oracle.applications[*number]))
            .collect();
        let (few, active) = (if often { 2 } else { 6 }, self.oracle.active());
        let members = if often { &active[..active.len().min(2)] } else { &active[..] };
        let (Some(member), Some(number)) =
            (step.pick(0, members), step.pick(1, &known[known.len().saturating_sub(few)..]))
        else {
            return Ok(IDLE.to_owned());
        };
        let now = self.site.now();
        let application = &self.oracle.applications[number];
        let client_id = application.client_id.clone().expect("it was looked for");
        let id = self.oracle.members[member].id;
        let (page, signed_in, key) = self.site.does(async |app| {
            let request = ConsentRequest { client_id, ..ConsentRequest::default() };
            let page = app.consent_page(&request).await.expect("a page");
            let key = app.begin_session(id).await.expect("a session");
            (page, app.signed_in(&key).await.expect("a vault"), key)
        });
        let signed_in = signed_in.ok_or("a session that has just begun is over")?;
        let can = can_be(application);
        let words = format!("{} at {}", self.oracle.members[member].name, application.wish.name);
        let session = Session { key, until: now + Duration::days(30), ended: false };
        self.oracle.members[member].sessions.push(session);
        match page {
            ConsentPage::Ask(consent) if can => {
                let (application, revision, consent) = (number, application.holds, *consent);
                let nonce = self.site.app().consent_nonce(&signed_in, &consent);
                let answered = None;
                let page = Shown { member, application, consent, signed_in, nonce, at: now, revision, answered };
                self.oracle.pages.push(page);
                Ok(format!("{words}: page {}", self.oracle.pages.len() - 1))
            }
            ConsentPage::Refuse(_) if !can => Ok(format!("{words}: cannot be authorized")),
            page => Err(format!("{words} sees {page:?}")),
        }
    }

    /// A command while nothing can be written: it fails, and nothing of it happens.
    fn full_disk(&mut self, step: &Step) -> Result<String, String> {
        let kinds = [Kind::Publish, Kind::Comment, Kind::Vote, Kind::Request, Kind::Edit, Kind::Issue, Kind::Review];
        let kind = step.pick(5, &kinds).expect("some");
        let now = self.site.now();
        let Some(command) = self.oracle.choose(&Step { kind, ..*step }, now) else { return Ok(IDLE.to_owned()) };
        let outlook = match self.oracle.outlook(&command, now) {
            Outlook::Done => Outlook::Failed,
            other => other,
        };
        let full = self.site.fill_disk();
        let told = self.send(&command, None, &outlook);
        drop(full);
        drop(told?);
        Ok(format!("{} comes to nothing", self.in_words(&command)))
    }

    /// Takes read models away between two lives, or puts older ones in their place.
    fn lose_models(&mut self, step: &Step) -> Result<String, String> {
        self.site.stop();
        let files = self.site.models();
        let kept = tempfile::tempdir().expect("a directory");
        copy(&self.site.file("models"), kept.path());
        let lost: Vec<_> = files.iter().enumerate().filter(|(place, _)| step.says(place % 5, 40)).collect();
        let said = if step.dice[0].is_multiple_of(2) {
            for (_, file) in &lost {
                std::fs::remove_file(file).expect("it goes");
            }
            format!("{} files of read models are lost", lost.len())
        } else {
            // A life with the models, then those of before it.
            self.live_a_little(step)?;
            std::fs::remove_dir_all(self.site.file("models")).expect("they go");
            copy(kept.path(), &self.site.file("models"));
            "older read models are put in place".to_owned()
        };
        self.site.start()?;
        Ok(said)
    }

    /// A life in which something happens, if there is anybody.
    fn live_a_little(&mut self, step: &Step) -> Found {
        self.site.start()?;
        if let Some(by) = step.pick(1, &self.oracle.active()) {
            let (title, body) = (format!("Between {}", step.number), "Words in between.".to_owned());
            self.command(&Command::Publish { by, title, body, names: None }, None)?;
        }
        self.compare(false)?;
        self.site.stop();
        Ok(())
    }

    /// Takes log, vault or root key away between two lives, or puts an older one or another site's in its place: a start
    /// refuses it by name, and once the right one is back all is as it was.
    fn misplace(&mut self, step: &Step) -> Result<String, String> {
        self.site.stop();
        let older = self.site.kept();
        self.live_a_little(step)?;
        let whole = self.site.kept();
        let part = step.pick(2, &PARTS).expect("some");
        let stranger = match step.pick(3, &["missing", "older", "foreign"]).expect("some") {
            "missing" => None,
            // A key has no age.
            "older" if part.name != "root key" && !self.oracle.active().is_empty() => Some(older),
            _ => Some(self.site.another()),
        };
        let what = stranger.as_ref().map_or("is missing", |_| "is another one");
        self.site.replace(part, stranger.as_ref());
        let refused = self.site.refused();
        if refused != [part.name] {
            return Err(format!("the {} {what}, and a start refuses {refused:?}", part.name));
        }
        self.site.put_back(&whole);
        self.site.start()?;
        Ok(format!("the {} {what}, for a while", part.name))
    }

    /// Holds a read model against the log, with the site's own check.
    fn check(&self, step: &Step) -> Result<String, String> {
        let all: Vec<_> = INLINE.iter().chain(TRAILING).map(|projection| projection.name).collect();
        let name = step.pick(0, &all).expect("some");
        let checked = self.site.does(async |app| {
            settle(app).await?;
            app.check_projection(name, &|_| {}).await.map_err(|error| format!("{name} cannot be checked: {error}"))
        })?;
        if checked.found > 0 {
            return Err(format!("{name} is not what the log leads to: {:?}", checked.differences));
        }
        Ok(format!("{name}, {} rows", checked.rows))
    }
}

/// Waits until the read models are with the log.
async fn settle(app: &Arc<App>) -> Found {
    let head = app.head().await.map_err(|error| error.to_string())?;
    for _ in 0..10 {
        if app.wait_for(head).await {
            return Ok(());
        }
    }
    Err(format!("the read models do not follow the log: {:?}", app.progress()))
}
