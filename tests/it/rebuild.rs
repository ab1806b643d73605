//! Rebuild equals live: after a random history through the use cases, members erased and dead rows purged on the
//! way, every read model is thrown away and built anew from the log and the data keys that are left, under a clock
//! that has moved on; each column of each row is as it was.

use std::{collections::BTreeMap, fs};

use countersign::app::{
    Caller,
    authorizations::{ConsentPage, ConsentRequest},
    reviews::{Verb, Verdict},
};
use countersign_events::{
    account::Role,
    ids::{ApplicationId, CommentId, PostId, UserId},
    post::Direction,
    recorded::Position,
    scope::ScopeSet,
};
use countersign_projections::{INLINE, Projection, TRAILING, history};
use proptest::prelude::*;

use crate::support::{Home, TestApp, by};

/// Acts of the one long history.
const ACTS: usize = 160;
/// What it is drawn from.
const SEED: &[u8] = b"rebuild";
/// Tokens live for days and are listed for some more, so that a history sees them go.
const SETTINGS: &[(&str, &str)] = &[("TOKEN_LIFETIME_DAYS", "20"), ("KEEP_ENDED_DAYS", "9")];

/// Numbers from a seed.
struct Random(blake3::OutputReader);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        usize::try_from(u64::from_le_bytes(bytes) % limit as u64).expect("it is below a usize")
    }
}

#[tokio::test]
async fn read_models_that_are_built_anew_equal_those_that_followed_live() {
    let (site, mut history) = lived_through(SEED, ACTS).await;
    let mut random = Random(blake3::Hasher::new().update(SEED).update(b"end").finalize_xof());
    for act in [1, 8, 4].repeat(6) {
        history.carry_out(&site, &mut random, act).await;
    }
    site.settle().await;
    assert!(history.erased.len() > 1, "this history shows nothing about erasures");
    let log = site.app.log.read_log(Position(0), 10_000).await.expect("events");
    let issued = log.iter().filter(|event| event.type_name == "TokenIssued").count();
    let live = dump(&site.home).await;
    assert!(live["tokens"].len() < issued, "this history shows nothing about dead rows");
    for (table, rows) in &live {
        assert!(!rows.is_empty(), "{table} is empty: this history shows nothing about it");
    }
    assert_rebuilt_equals_live(site, SEED).await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, max_shrink_iters: 0, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_history_with_erased_members_and_purged_rows_is_rebuilt_as_it_was(seed in any::<[u8; 16]>(), acts in 10_usize..80) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let (site, _) = lived_through(&seed, acts).await;
            assert_rebuilt_equals_live(site, &seed).await;
        });
    }
}

/// A site after a history that is drawn from a seed.
async fn lived_through(seed: &[u8], acts: usize) -> (TestApp, History) {
    let site = TestApp::start_with(SETTINGS).await;
    let mut random = Random(blake3::Hasher::new().update(seed).finalize_xof());
    let mut history = History::begin(&site, &mut random).await;
    for _ in 0..acts {
        history.act(&site, &mut random).await;
    }
    site.settle().await;
    (site, history)
}

async fn assert_rebuilt_equals_live(site: TestApp, seed: &[u8]) {
    let head = site.app.head().await.expect("a head");
    let live = dump(&site.home).await;
    throw_away(&site.home).await;
    site.clock.advance(chrono::Duration::days(3));
    let site = site.restart().await;
    assert_eq!(site.app.head().await.expect("a head"), head, "building anew appends nothing");
    site.settle().await;
    let anew = dump(&site.home).await;
    for (table, rows) in &live {
        assert_eq!(anew.get(table), Some(rows), "{table}, seed {seed:?}");
    }
    assert_nothing_differs(&site, seed).await;
    for projection in TRAILING {
        site.app.rebuild_projection(&Caller::system(), projection.name, &|_| {}).await.expect("rebuilt");
        while site.home.database.is_none() && site.home.generations(projection.name).await.len() > 1 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
    site.settle().await;
    let beside = dump(&site.home).await;
    // That they were built anew is in the log by now, and so in its index.
    for (table, rows) in live.iter().filter(|(table, _)| **table != history::SUBJECTS.name) {
        assert_eq!(beside.get(table), Some(rows), "{table}, built beside the old one, seed {seed:?}");
    }
    assert_nothing_differs(&site, seed).await;
}

async fn assert_nothing_differs(site: &TestApp, seed: &[u8]) {
    for projection in INLINE.iter().chain(TRAILING) {
        let checked = site.app.check_projection(projection.name, &|_| {}).await.expect("a check");
        assert_eq!(checked.differences, [], "{}, seed {seed:?}", projection.name);
    }
}

/// Who and what there is to act on.
struct History {
    members: Vec<UserId>,
    admin: UserId,
    applications: Vec<(UserId, ApplicationId)>,
    posts: Vec<PostId>,
    comments: Vec<(PostId, CommentId)>,
    refused: usize,
    erased: Vec<UserId>,
}

fn pick<T: Copy>(random: &mut Random, among: &[T]) -> T {
    among[random.below(among.len())]
}

impl History {
    async fn begin(site: &TestApp, random: &mut Random) -> Self {
        let admin = site.given_member("rob", &[Role::Admin]).await;
        let mut members = vec![];
        for name in ["ada", "ben", "cleo", "dora"] {
            members.push(site.given_member(name, &[]).await);
        }
        let (applications, posts, comments, refused, erased) = (vec![], vec![], vec![], 0, vec![]);
        let mut history = Self { members, admin, applications, posts, comments, refused, erased };
        for act in [0, 1, 8, 14, 4, 0, 1, 2, 5, 8] {
            history.carry_out(site, random, act).await;
        }
        history
    }

    async fn act(&mut self, site: &TestApp, random: &mut Random) {
        let pause = u32::try_from(1 + random.below(90)).expect("it is small");
        site.clock.advance(chrono::Duration::seconds(pause.into()));
        let act = random.below(16);
        self.carry_out(site, random, act).await;
    }

    /// One act; that some are refused, such as a second decision, is part of a history.
    async fn carry_out(&mut self, site: &TestApp, random: &mut Random, act: usize) {
        let (app, member) = (&site.app, pick(random, &self.members));
        let number = random.below(1_000_000);
        let was_done = match act {
            0 => match app.publish(&by(member), member, &format!("Post {number}"), "", "@ada, look.").await {
                Ok(done) => {
                    self.posts.push(done.answer);
                    site.settle().await;
                    true
                }
                Err(_) => false,
            },
            1 => self.request(site, member, number).await,
            2 | 3 => {
                let verb = pick(random, &Verb::ALL);
                self.decide(site, random, verb).await
            }
            4 => self.authorize(site, member, random).await,
            5 => {
                let post = pick(random, &self.posts);
                let above: Vec<_> = self.comments.iter().filter(|(on, _)| *on == post).map(|(_, id)| *id).collect();
                let parent = (!above.is_empty()).then(|| pick(random, &above));
                match app.comment(&by(member), member, post, parent, "I agree, @ben.").await {
                    Ok(done) => {
                        self.comments.push((post, done.answer));
                        true
                    }
                    Err(_) => false,
                }
            }
            6 => {
                let direction = pick(random, &[Direction::Up, Direction::Down, Direction::None]);
                app.vote(&by(member), member, pick(random, &self.posts), direction).await.is_ok()
            }
            7 => self.read(site, member, random).await,
            8 => self.decide(site, random, Verb::Approve).await,
            9 => {
                let (_, id) = pick(random, &self.applications);
                app.remove_authorization(&by(member), member, id).await.is_ok()
            }
            10 => self.days_pass(site, random).await,
            11 => self.erase(site, random).await,
            12 => app.issue_token(&by(self.admin), member, ScopeSet::default_requested(), None).await.is_ok(),
            13 => self.owners_round(site, random).await,
            14 => {
                let (owner, id) = pick(random, &self.applications);
                app.rotate_client_id(&by(owner), owner, id, None).await.is_ok()
            }
            _ => {
                let done = app.suspend_account(&by(self.admin), member).await;
                app.reinstate_account(&by(self.admin), member).await.is_ok() && done.is_ok()
            }
        };
        self.refused += usize::from(!was_done);
    }

    /// Some days, some tokens that end, and a round of housekeeping.
    async fn days_pass(&self, site: &TestApp, random: &mut Random) -> bool {
        let days = i64::try_from(1 + random.below(12)).expect("it is small");
        site.clock.advance(chrono::Duration::days(days));
        let member = pick(random, &self.members);
        let tokens = site.app.my_tokens(member).await.expect("a list");
        if !tokens.is_empty() {
            let token = &tokens[random.below(tokens.len())];
            site.app.revoke_my_token(&by(member), member, token.row.token_id).await.expect("it ends, or has");
        }
        site.settle().await;
        site.app.look_after().await.is_ok()
    }

    /// A member goes and another comes; what that one writes later is part of the history too.
    async fn erase(&mut self, site: &TestApp, random: &mut Random) -> bool {
        let place = random.below(self.members.len());
        let member = self.members[place];
        site.app.erase_member(&by(self.admin), member).await.expect("it is erased");
        let late = site.app.publish(&by(member), member, "Late", "", "Too late").await.map(|_| ());
        assert!(late.is_err(), "nothing of theirs comes after it");
        self.erased.push(member);
        let name = format!("new_{}", self.erased.len());
        self.members[place] = site.given_member(&name, &[]).await;
        site.settle().await;
        true
    }

    async fn request(&mut self, site: &TestApp, member: UserId, number: usize) -> bool {
        let asked = countersign::app::applications::Request {
            name: format!("Reader {number}"),
            redirect_uri: "https://app.example/cb".to_owned(),
            description: "Reads.".to_owned(),
            ..Default::default()
        };
        let asked = site.app.asked(&asked).expect("it fits");
        let Ok(done) = site.app.request_application(&by(member), member, asked).await else { return false };
        self.applications.push((member, done.answer));
        true
    }

    async fn decide(&self, site: &TestApp, random: &mut Random, verb: Verb) -> bool {
        let (_, id) = pick(random, &self.applications);
        let revision = site.app.reviewed_application(id).await.expect("it is there").revision;
        let verdict = Verdict { revision, reason_code: "other".to_owned(), reason: "As agreed.".to_owned() };
        site.app.decide_application(&by(self.admin), self.admin, id, verb, &verdict).await.is_ok()
    }

    /// What owners do about their applications.
    async fn owners_round(&self, site: &TestApp, random: &mut Random) -> bool {
        let (owner, id) = pick(random, &self.applications);
        let (app, caller) = (&site.app, by(owner));
        let number = random.below(1_000_000);
        let mut asked = app.my_application(owner, id).await.expect("theirs").asked();
        asked.name = format!("Reader {number}");
        match random.below(5) {
            0 => app.resubmit_application(&caller, owner, id, asked).await.is_ok(),
            1 => app.appeal(&caller, owner, id, "Look again.").await.is_ok(),
            2 => app.withdraw_change(&caller, owner, id, None).await.is_ok(),
            _ => app.edit_application(&caller, owner, id, asked).await.is_ok(),
        }
    }

    async fn authorize(&self, site: &TestApp, member: UserId, random: &mut Random) -> bool {
        let (owner, id) = pick(random, &self.applications);
        let client_id = site.app.my_application(owner, id).await.expect("it is there").client_id;
        let Some(client_id) = client_id else { return false };
        let request = ConsentRequest { client_id: client_id.to_string(), ..ConsentRequest::default() };
        let Ok(ConsentPage::Ask(consent)) = site.app.consent_page(&request).await else { return false };
        let browser = site.app.begin_session(member).await.expect("a session");
        let signed_in = site.app.signed_in(&browser).await.expect("a vault").expect("signed in");
        let nonce = site.app.consent_nonce(&signed_in, &consent);
        site.app.authorize(&by(member), &signed_in, &consent, &nonce).await.is_ok()
    }

    /// Reads the inbox: marks some notifications, or reveals a secret.
    async fn read(&self, site: &TestApp, member: UserId, random: &mut Random) -> bool {
        site.settle().await;
        let all = site.app.notifications(member, countersign::app::inbox::Which::default(), None, 25).await;
        let ids: Vec<_> = all.expect("an inbox").0.iter().map(|notification| notification.row.id).collect();
        if ids.is_empty() {
            return false;
        }
        let id = pick(random, &ids);
        if random.below(2) == 0 {
            return site.app.reveal(&by(member), member, countersign_events::ids::MessageId(id)).await.is_ok();
        }
        site.app.mark_read(&by(member), member, &[id]).await.is_ok()
    }
}

/// The number of the generation of a trailing read model that is read; on `PostgreSQL` the one before stays a while for
/// those who are still reading it.
async fn generation(home: &Home, name: &str) -> u64 {
    let found = home.generations(name).await;
    if home.database.is_some() {
        let ask = format!("select generation from generations where name = '{name}'");
        let read = home.log().await.numbers(&ask).await;
        return u64::try_from(read[0]).expect("a number");
    }
    assert_eq!(found.len(), 1, "{name} has one generation");
    found[0]
}

/// Every row of every read model, with all its columns, as SQL would write them.
async fn dump(home: &Home) -> BTreeMap<&'static str, Vec<String>> {
    let mut tables = BTreeMap::new();
    for projection in INLINE.iter().chain(TRAILING) {
        let is_inline = INLINE.iter().any(|inline| inline.name == projection.name);
        let mut tool = if is_inline {
            home.log().await
        } else {
            home.model(projection.name, generation(home, projection.name).await).await
        };
        for table in projection.tables {
            let quote = tool.either("quote", "quote_nullable");
            let columns = table.key.iter().chain(table.columns).map(|column| format!("{quote}({})", column.name));
            let columns = columns.collect::<Vec<_>>().join(" || ', ' || ");
            let statement = format!("select {columns} from {} order by 1", table.name);
            tables.insert(table.name, tool.texts(&statement).await);
        }
    }
    tables
}

/// Every row of every read model goes; of the inline ones also the note that they were built.
async fn throw_away(home: &Home) {
    let mut log = home.log().await;
    let tables = INLINE.iter().flat_map(|projection: &Projection| projection.tables);
    let delete = tables.map(|table| format!("delete from {}", table.name));
    // A lower revision is what an older program would have left.
    for statement in delete.chain(["update inline_models set revision = 0".to_owned()]) {
        log.run(&statement).await;
    }
    if home.database.is_none() {
        for file in fs::read_dir(home.data_dir().join("models")).expect("a directory") {
            fs::remove_file(file.expect("a file").path()).expect("removed");
        }
        return;
    }
    for projection in TRAILING {
        for number in home.generations(projection.name).await {
            log.run(&format!("drop schema countersign_{}_{number} cascade", projection.name)).await;
        }
    }
    log.run("delete from generations; delete from cursors; delete from parked").await;
}
