//! Rebuild equals live: after a random history through the use cases, every read model is thrown away
//! and built anew from the log, under a clock that has moved on; each column of each row is as it was.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use countersign::app::{
    authorizations::{ConsentPage, ConsentRequest},
    reviews::{Verb, Verdict},
};
use countersign_events::{
    account::Role,
    ids::{ApplicationId, CommentId, PostId, UserId},
    post::Direction,
};
use countersign_projections::{INLINE, Projection, TRAILING};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Row as _, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::support::{TestApp, by};

/// Acts of a history.
const ACTS: usize = 160;
/// What the history is drawn from.
const SEED: &[u8] = b"rebuild";

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
    let site = TestApp::start().await;
    let mut random = Random(blake3::Hasher::new().update(SEED).finalize_xof());
    let mut history = History::begin(&site, &mut random).await;
    for _ in 0..ACTS {
        history.act(&site, &mut random).await;
    }
    site.settle().await;
    let head = site.app.head().await.expect("a head");
    let data_dir = site.directory.path().join("site");
    let live = dump(&data_dir).await;
    for (table, rows) in &live {
        assert!(!rows.is_empty(), "{table} is empty: this history shows nothing about it");
    }
    throw_away(&data_dir).await;
    site.clock.advance(chrono::Duration::days(3));
    let site = site.restart().await;
    assert_eq!(site.app.head().await.expect("a head"), head, "building anew appends nothing");
    site.settle().await;
    let anew = dump(&data_dir).await;
    for (table, rows) in &live {
        assert_eq!(anew.get(table), Some(rows), "{table}, seed {SEED:?}");
    }
    for projection in INLINE.iter().chain(TRAILING) {
        let checked = site.app.check_projection(projection.name, &|_| {}).await.expect("a check");
        assert_eq!(checked.differences, [], "{}, seed {SEED:?}", projection.name);
        assert!(checked.rows > 0, "{} compared nothing", projection.name);
    }
    for projection in TRAILING {
        site.app.rebuild_projection(&by(history.admin), projection.name, &|_| {}).await.expect("rebuilt");
        while generations(&data_dir, projection.name).len() > 1 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
    let beside = dump(&data_dir).await;
    for (table, rows) in &live {
        assert_eq!(beside.get(table), Some(rows), "{table}, built beside the old one, seed {SEED:?}");
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
        let (applications, posts, comments, refused) = (vec![], vec![], vec![], 0);
        let mut history = Self { members, admin, applications, posts, comments, refused };
        for act in [0, 1, 2, 4, 0, 1, 2, 5, 8] {
            history.carry_out(site, random, act).await;
        }
        history
    }

    async fn act(&mut self, site: &TestApp, random: &mut Random) {
        let pause = u32::try_from(1 + random.below(90)).expect("it is small");
        site.clock.advance(chrono::Duration::seconds(pause.into()));
        let act = random.below(11);
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
            _ => {
                let done = app.suspend_account(&by(self.admin), member).await;
                app.reinstate_account(&by(self.admin), member).await.is_ok() && done.is_ok()
            }
        };
        self.refused += usize::from(!was_done);
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
        let verdict = Verdict { revision: 1, reason_code: "other".to_owned(), reason: "As agreed.".to_owned() };
        site.app.decide_application(&by(self.admin), self.admin, id, verb, &verdict).await.is_ok()
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

async fn database(file: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(file).connect().await.expect("a database")
}

/// The files of the generations of a trailing read model.
fn generations(data_dir: &Path, name: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(data_dir.join("models")).expect("a directory").map(|file| file.expect("a file").path());
    let is_it = |file: &PathBuf| {
        let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        stem.strip_prefix(name).is_some_and(|rest| rest.starts_with('-')) && file.extension().is_some_and(|e| e == "db")
    };
    files.filter(is_it).collect()
}

/// The file of its one generation.
fn generation(data_dir: &Path, name: &str) -> PathBuf {
    let mut found = generations(data_dir, name);
    assert_eq!(found.len(), 1, "{name} has one generation");
    found.remove(0)
}

/// Every row of every read model, with all its columns, as SQL would write them.
async fn dump(data_dir: &Path) -> BTreeMap<&'static str, Vec<String>> {
    let mut tables = BTreeMap::new();
    let inline = INLINE.iter().map(|projection| (projection, data_dir.join("log.db")));
    let trailing = TRAILING.iter().map(|projection| (projection, generation(data_dir, projection.name)));
    for (projection, file) in inline.chain(trailing) {
        let mut connection = database(&file).await;
        for table in projection.tables {
            let columns = table.key.iter().chain(table.columns).map(|column| format!("quote({})", column.name));
            let columns = columns.collect::<Vec<_>>().join(" || ', ' || ");
            let statement = format!("select {columns} from {} order by 1", table.name);
            let rows = sqlx::query(AssertSqlSafe(statement)).fetch_all(&mut connection).await.expect("rows");
            tables.insert(table.name, rows.iter().map(|row| row.get(0)).collect());
        }
    }
    tables
}

/// Every row of every read model goes; of the inline ones also the note that they were built.
async fn throw_away(data_dir: &Path) {
    let mut log = database(&data_dir.join("log.db")).await;
    let tables = INLINE.iter().flat_map(|projection: &Projection| projection.tables);
    let delete = tables.map(|table| format!("delete from {}", table.name));
    // A lower revision is what an older program would have left.
    for statement in delete.chain(["update inline_models set revision = 0".to_owned()]) {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut log).await.expect("it is done");
    }
    for file in fs::read_dir(data_dir.join("models")).expect("a directory") {
        fs::remove_file(file.expect("a file").path()).expect("removed");
    }
}
