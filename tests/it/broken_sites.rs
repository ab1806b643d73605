//! Every way in which a site on `SQLite` was seen to be broken: what `doctor`, `doctor --deep` and a start say of it, that
//! looking changes nothing, and that the remedy, carried out as it is printed, mends it and loses nothing. Those of a
//! database are in `postgres_doctor`.

use std::{
    fs,
    io::{Seek as _, SeekFrom, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Arc,
};

use countersign_projections::TRAILING;
use futures_util::{StreamExt as _, stream};
use tempfile::TempDir;

use crate::{
    databases::{Database, Tool},
    doctor::{Told, given_stopped_in},
    prerequisites::times,
    running_site::{PASSWORD, RunningSite, Serving, Visitor, between, program},
    sqlite_doctor::tamper,
};

/// What a start does of itself.
pub enum Start {
    /// It serves.
    Serves,
    /// It says this and ends.
    Refuses(&'static str),
}

/// How the remedy is carried out.
enum Mend {
    /// The file that it names is put back from the backup, after its command, where it prints one for that.
    PutBack,
    /// The command that it prints.
    Run,
    /// The next start.
    Start,
}

/// About what, what is found, what is said to do.
pub type Says = (&'static str, &'static str, &'static str);

struct Row {
    name: &'static str,
    breaks: Break,
    /// What a quick look finds; `None` when it takes a deep one.
    quick: Option<Says>,
    /// What a deep look finds besides.
    deep: Option<Says>,
    start: Start,
    mend: Mend,
}

enum Break {
    /// These statements in a database.
    Sql(&'static str, &'static str),
    /// Only the first half of a file is left.
    Half(&'static str),
    Gone(&'static str),
    /// The page that holds these bytes was never written.
    Torn(&'static str, &'static str),
    /// The file begins with something else.
    Garbage(&'static str),
    Mode(&'static str, u32),
    /// A directory lies in the place of a file.
    Directory(&'static str),
    /// A file lies in the place of a directory.
    File(&'static str),
}

const RESTORE_LOG: &str = "put the newest copy of";
/// What keeps the log from being changed, out of the way for a moment.
const UNGUARDED: &str = "drop trigger events_are_not_updated; drop trigger events_are_not_deleted;";
const GUARDED: &str = "create trigger events_are_not_updated
before update on events
begin
    select raise(abort, 'events are append-only');
end;
create trigger events_are_not_deleted
before delete on events
begin
    select raise(abort, 'events are append-only');
end;";

/// A read model that lost all of its rows, and nothing else: a quick look has to find it.
macro_rules! emptied {
    ($model:literal, $file:literal, $sql:literal) => {
        Row {
            name: concat!("all rows of ", $model, " gone"),
            breaks: Break::Sql($file, $sql),
            quick: Some((
                concat!("read model ", $model),
                "has lost its rows: the log leads to",
                concat!("`countersign projections rebuild ", $model, " "),
            )),
            deep: None,
            start: Start::Serves,
            mend: Mend::Run,
        }
    };
}

/// A table of log or vault that was dropped.
macro_rules! dropped {
    ($file:literal, $table:literal) => {
        Row {
            name: concat!("the table ", $table, " of ", $file, " dropped"),
            breaks: Break::Sql($file, concat!("drop table ", $table)),
            quick: Some((
                concat!("schema of ", $file),
                concat!("the table ", $table, " is missing"),
                "put the newest copy of",
            )),
            deep: None,
            start: Start::Refuses(concat!("the table ", $table, " is missing")),
            mend: Mend::PutBack,
        }
    };
}

/// A directory in the place of a file.
macro_rules! directory {
    ($file:literal, $about:literal) => {
        Row {
            name: concat!("a directory in the place of ", $file),
            breaks: Break::Directory($file),
            quick: Some(($about, "is a directory, not a file", "`mv ")),
            deep: None,
            start: Start::Refuses("is a directory, not a file"),
            mend: Mend::PutBack,
        }
    };
}

const ROWS: &[Row] = &[
    emptied!("accounts", "log.db", "delete from accounts"),
    emptied!("tokens", "log.db", "delete from tokens"),
    emptied!("inbox", "models/inbox-1.db", "delete from notifications; delete from audience"),
    Row {
        name: "a row of an inline read model gone",
        breaks: Break::Sql("log.db", "delete from accounts where admin = 0"),
        quick: None,
        deep: Some((
            "read model accounts",
            "differs from the log in 1 places; the first: accounts ",
            "stop the site and run `countersign projections rebuild accounts ",
        )),
        start: Start::Serves,
        mend: Mend::Run,
    },
    Row {
        name: "a number in a read model changed",
        breaks: Break::Sql("models/front_page-1.db", "update posts set upvotes = 7"),
        quick: None,
        deep: Some((
            "read model front_page",
            "upvotes: 7 there, 0 by the log",
            "`countersign projections rebuild front_page ",
        )),
        start: Start::Serves,
        mend: Mend::Run,
    },
    dropped!("log.db", "events"),
    dropped!("log.db", "_sqlx_migrations"),
    dropped!("vault.db", "verifiers"),
    Row {
        name: "a table of an inline read model dropped",
        breaks: Break::Sql("log.db", "drop table accounts"),
        quick: Some((
            "schema of log.db",
            "the table accounts of accounts is missing",
            "stop the site and run `countersign projections rebuild accounts ",
        )),
        deep: None,
        start: Start::Serves,
        mend: Mend::Run,
    },
    directory!("log.db", "log.db"),
    directory!("vault.db", "vault.db"),
    directory!("../site.key", "root key"),
    Row {
        name: "a directory in the place of a read model",
        breaks: Break::Directory("models/inbox-1.db"),
        quick: Some(("read model inbox", "inbox-1.db is a directory, not a file", "the next start builds it")),
        deep: None,
        start: Start::Refuses("inbox-1.db is a directory, not a file"),
        mend: Mend::Run,
    },
    Row {
        name: "a file in the place of the directory of the read models",
        breaks: Break::File("models"),
        quick: Some(("read model inbox", "models is a file, not a directory", "the next start builds it")),
        deep: None,
        start: Start::Refuses("models is a file, not a directory"),
        mend: Mend::Run,
    },
    Row {
        name: "a file without the right to write it",
        breaks: Break::Mode("log.db", 0o400),
        quick: Some(("permissions", "log.db cannot be read and written by its owner (mode 0400)", "`chmod u+rw ")),
        deep: None,
        start: Start::Serves,
        mend: Mend::Run,
    },
    Row {
        name: "a directory without the right to write into it",
        breaks: Break::Mode("models", 0o500),
        quick: Some(("permissions", "models cannot be read and written by its owner (mode 0500)", "`chmod u+rwx ")),
        deep: None,
        start: Start::Serves,
        mend: Mend::Run,
    },
    Row {
        name: "a log that was cut in half",
        breaks: Break::Half("log.db"),
        quick: Some(("log.db", "log.db is damaged: it was cut off", RESTORE_LOG)),
        deep: None,
        start: Start::Refuses("log.db"),
        mend: Mend::PutBack,
    },
    Row {
        name: "a log with a page that was never written",
        breaks: Break::Torn("log.db", "UserRegistered"),
        quick: Some(("log.db", "log.db is damaged: ", RESTORE_LOG)),
        deep: Some(("integrity of log.db", "", RESTORE_LOG)),
        start: Start::Refuses("log.db"),
        mend: Mend::PutBack,
    },
    Row {
        name: "a payload that is no JSON",
        breaks: Break::Sql("log.db", "update events set payload = '{' where type = 'PostPublished'"),
        quick: None,
        deep: Some(("events", "cannot be read: ", RESTORE_LOG)),
        start: Start::Serves,
        mend: Mend::PutBack,
    },
    Row {
        name: "a sealed text that was changed",
        breaks: Break::Sql(
            "log.db",
            "update events set payload = json_set(payload, '$.title', json((select json_extract(payload, '$.body') \
             from events where type = 'PostPublished'))) where type = 'PostPublished'",
        ),
        quick: None,
        deep: Some(("events", "the title of event", RESTORE_LOG)),
        start: Start::Serves,
        mend: Mend::PutBack,
    },
    Row {
        name: "a hole in the positions",
        breaks: Break::Sql("log.db", "delete from events where position = 3"),
        quick: Some(("events", "are missing, the first of them after 2: the next one there is 4", RESTORE_LOG)),
        deep: Some(("events", "events are missing between 2 and 4", RESTORE_LOG)),
        start: Start::Serves,
        mend: Mend::PutBack,
    },
    Row {
        name: "the last events gone",
        breaks: Break::Sql("log.db", "delete from events where position > (select max(position) - 2 from events)"),
        quick: Some(("end of the log", "the last event is at", RESTORE_LOG)),
        deep: Some(("events", "are missing at the end", RESTORE_LOG)),
        start: Start::Refuses("is an older one"),
        mend: Mend::PutBack,
    },
    Row {
        name: "an event that was recorded before the one before it",
        breaks: Break::Sql("log.db", "update events set recorded_at = 1 where position = 4"),
        quick: None,
        deep: Some(("events", "event 4 was recorded before the one before it", RESTORE_LOG)),
        start: Start::Serves,
        mend: Mend::PutBack,
    },
    Row {
        name: "versions of a stream out of order",
        breaks: Break::Sql("log.db", "update events set version = version + 7 where type = 'RoleGranted'"),
        quick: None,
        deep: Some(("events", "the versions of stream account-", RESTORE_LOG)),
        start: Start::Serves,
        mend: Mend::PutBack,
    },
    Row {
        name: "a trigger that was dropped",
        breaks: Break::Sql("log.db", "drop trigger events_are_not_deleted"),
        quick: Some(("schema of log.db", "the trigger events_are_not_deleted is missing", "`countersign migrate ")),
        deep: None,
        start: Start::Serves,
        mend: Mend::Run,
    },
    Row {
        name: "a trigger that does nothing",
        breaks: Break::Sql(
            "log.db",
            "drop trigger events_are_not_updated; \
             create trigger events_are_not_updated before update on events begin select 1; end",
        ),
        quick: Some((
            "schema of log.db",
            "the trigger events_are_not_updated is not as it was made",
            "`countersign migrate ",
        )),
        deep: None,
        start: Start::Serves,
        mend: Mend::Run,
    },
    Row {
        name: "an index of the vault that was dropped",
        breaks: Break::Sql("vault.db", "drop index data_keys_of_the_site"),
        quick: Some(("schema of vault.db", "the index data_keys_of_the_site is missing", "`countersign migrate ")),
        deep: None,
        start: Start::Serves,
        mend: Mend::Run,
    },
    Row {
        name: "an index of a read model that was dropped",
        breaks: Break::Sql("models/front_page-1.db", "drop index posts_by_created_at_post_id"),
        quick: Some((
            "schema of front_page-1.db",
            "the index posts_by_created_at_post_id of front_page is missing",
            "`countersign projections rebuild front_page ",
        )),
        deep: None,
        start: Start::Serves,
        mend: Mend::Run,
    },
    Row {
        name: "a password verifier gone",
        breaks: Break::Sql("vault.db", "delete from verifiers"),
        quick: Some(("keys of members", "2 of 2 members have no password verifier", "put the newest copy of")),
        deep: None,
        start: Start::Serves,
        mend: Mend::PutBack,
    },
    Row {
        name: "a data key gone",
        breaks: Break::Sql("vault.db", "delete from data_keys where subject <> 'site'"),
        quick: Some(("keys of members", "2 of 2 members have no data key", "put the newest copy of")),
        deep: Some(("texts and keys", "was not erased, and their data key is gone", "put the newest copy of")),
        start: Start::Serves,
        mend: Mend::PutBack,
    },
    Row {
        name: "a data key that the root key does not open",
        breaks: Break::Sql("vault.db", "update data_keys set wrapped = randomblob(72) where subject <> 'site'"),
        quick: None,
        deep: Some(("texts and keys", "the root key does not open the key of event", "put the newest copy of")),
        start: Start::Serves,
        mend: Mend::PutBack,
    },
    Row {
        name: "a vault that is no database",
        breaks: Break::Garbage("vault.db"),
        quick: Some(("vault.db", "vault.db is damaged: it is no database", "put the newest copy of")),
        deep: None,
        start: Start::Refuses("vault"),
        mend: Mend::PutBack,
    },
    Row {
        name: "a read model that is no database",
        breaks: Break::Garbage("models/inbox-1.db"),
        quick: Some((
            "read model inbox",
            "inbox-1.db is damaged: it is no database",
            "the next start of the site builds it",
        )),
        deep: None,
        start: Start::Serves,
        mend: Mend::Start,
    },
    Row {
        name: "a read model gone",
        breaks: Break::Gone("models/inbox-1.db"),
        quick: Some(("read model inbox", "inbox-1.db is missing", "the next start of the site builds it")),
        deep: None,
        start: Start::Serves,
        mend: Mend::Start,
    },
    Row {
        name: "all read models gone",
        breaks: Break::Gone("models"),
        quick: Some(("read model history", "history-1.db is missing", "the next start of the site builds it")),
        deep: None,
        start: Start::Serves,
        mend: Mend::Start,
    },
];

/// More of the same kinds, where tests may take longer.
const MORE_ROWS: &[Row] = &[
    emptied!("applications", "log.db", "delete from applications"),
    emptied!("authorizations", "log.db", "delete from authorizations"),
    emptied!("front_page", "models/front_page-1.db", "delete from posts; delete from comments"),
    emptied!(
        "statistics",
        "models/statistics-1.db",
        "delete from review_steps; delete from review_waits; delete from review_answers"
    ),
    emptied!("history", "models/history-1.db", "delete from subjects"),
    dropped!("log.db", "head"),
    dropped!("log.db", "outcomes"),
    dropped!("vault.db", "data_keys"),
    dropped!("vault.db", "outcomes"),
];

/// A site with two members and a post, stopped, with nothing in its write-ahead logs: also the backup.
struct Whole {
    directory: TempDir,
}

impl Whole {
    async fn made() -> Self {
        let mut site = given_stopped_in(Database::Sqlite);
        site.restart();
        site.given_member("ben", &[]);
        let id = given_an_approved_application(&site).await;
        assert!(!id.is_empty());
        let (token, _) = site.given_token("ben", "read write");
        let post = crate::running_site::http()
            .post(format!("{}/api/v1/posts", site.url()))
            .header("authorization", token)
            .json(&serde_json::json!({ "title": "A title", "body": "A body" }));
        assert!(crate::running_site::answer(post).await.status.is_success());
        while site.done(&["projections", "status", "--format", "csv"]).matches(",live,").count() < 9 {}
        site.signal("TERM");
        while site.try_wait().is_none() {}
        let models = TRAILING.iter().map(|model| format!("models/{}-1.db", model.name));
        for file in models.chain(["log.db".to_owned(), "vault.db".to_owned()]) {
            tamper(&site.data_dir().join(file), "select 1").await;
        }
        Self { directory: copied(site.directory()) }
    }

    fn copy(&self) -> Copy {
        Copy { directory: copied(self.directory.path()) }
    }
}

/// An application of ben's that ada approved: it leaves rows in every read model.
pub async fn given_an_approved_application(site: &RunningSite) -> String {
    let (mut ada, mut ben) = (site.visitor(), site.visitor());
    ben.log_in("ben").await;
    let id = ben.ask_for("Reader", "https://app.example/cb").await;
    ada.log_in("ada").await;
    ada.decide(&id, "approve").await;
    id
}

/// The site and its key in a directory of their own, as they are.
fn copied(from: &Path) -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let from = ["site", "site.key"].map(|name| from.join(name));
    let copied = Command::new("cp").arg("-a").args(from).arg(directory.path()).status();
    assert!(copied.expect("cp runs").success());
    directory
}

/// One to be broken.
struct Copy {
    directory: TempDir,
}

impl Copy {
    fn path(&self, file: &str) -> PathBuf {
        self.directory.path().join("site").join(file)
    }

    async fn breaks(&self, how: &Break) {
        match how {
            Break::Sql(file, sql) => {
                let around = if sql.contains("update events") || sql.contains("delete from events") {
                    format!("{UNGUARDED} {sql}; {GUARDED}")
                } else {
                    (*sql).to_owned()
                };
                tamper(&self.path(file), &around).await;
            }
            Break::Half(file) => {
                let file = fs::OpenOptions::new().write(true).open(self.path(file)).expect("a file");
                let pages = file.metadata().expect("a length").len() / 4096;
                file.set_len(pages / 2 * 4096).expect("it is cut");
            }
            Break::Gone(file) if self.path(file).is_dir() => fs::remove_dir_all(self.path(file)).expect("ours"),
            Break::Gone(file) => fs::remove_file(self.path(file)).expect("ours"),
            Break::Torn(file, holds) => {
                let bytes = fs::read(self.path(file)).expect("a file");
                let page =
                    bytes.chunks(4096).rposition(|page| page.windows(holds.len()).any(|at| at == holds.as_bytes()));
                let at = SeekFrom::Start(4096 * page.expect("a page") as u64);
                let mut file = fs::OpenOptions::new().write(true).open(self.path(file)).expect("a file");
                file.seek(at).expect("a place");
                file.write_all(&[0; 4096]).expect("it is torn");
            }
            Break::Garbage(file) => {
                let mut file = fs::OpenOptions::new().write(true).open(self.path(file)).expect("a file");
                file.write_all(b"this is no database, and was never one").expect("ours");
            }
            Break::Directory(file) => {
                fs::remove_file(self.path(file)).expect("ours");
                fs::DirBuilder::new().mode(0o700).create(self.path(file)).expect("ours");
            }
            Break::File(file) => {
                fs::remove_dir_all(self.path(file)).expect("ours");
                fs::write(self.path(file), "what a restore left here").expect("ours");
                fs::set_permissions(self.path(file), fs::Permissions::from_mode(0o600)).expect("ours");
            }
            Break::Mode(file, mode) => {
                fs::set_permissions(self.path(file), fs::Permissions::from_mode(*mode)).expect("ours");
            }
        }
    }

    fn cli(&self, arguments: &[&str]) -> Output {
        program(self.directory.path(), &[], &[]).args(arguments).output().expect("it runs")
    }

    /// What a look finds, which changes nothing: no byte, mode or time, and no file more or less.
    fn doctor(&self, arguments: &[&str]) -> Told {
        let before = everything(self.directory.path());
        let told = Told::by(&self.cli(&[&["doctor", "--format", "json"], arguments].concat()));
        assert!(before == everything(self.directory.path()), "it was only looked at");
        told
    }

    /// Starts it; what it said where it did not.
    fn serve(&self) -> Result<Serving, String> {
        Serving::start(self.directory.path(), &[])
    }

    /// Nothing was lost: both members can log in, every model is as the log has it, and nothing is wrong.
    async fn is_whole(&self) {
        let serving = self.serve().unwrap_or_else(|told| panic!("it starts: {told}"));
        let mut ben = Visitor::at(&serving.url);
        ben.log_in_with("ben", PASSWORD).await;
        ben.sees("/", "A title").await;
        drop(serving);
        let checked = self.cli(&["projections", "check"]);
        assert!(checked.status.success(), "{checked:?}");
        let told = Told::by(&self.cli(&["doctor", "--deep", "--format", "json"]));
        assert_eq!(told.code, Some(0), "{:#?}", told.findings);
    }
}

/// A file with its mode, when it was changed, and what is in it.
type Kept = (PathBuf, u32, (i64, i64), Vec<u8>);

fn everything(directory: &Path) -> Vec<Kept> {
    let mut found = vec![];
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        let about = fs::metadata(&path).expect("it is there");
        if path.is_dir() {
            found.extend(everything(&path));
        }
        let bytes = if path.is_dir() { vec![] } else { fs::read(&path).unwrap_or_default() };
        found.push((path, about.mode(), (about.mtime(), about.mtime_nsec()), bytes));
    }
    found.sort();
    found
}

/// The remedy of a finding.
pub fn remedy(told: &Told, about: &str, found: &str) -> String {
    let is_it = |finding: &&serde_json::Value| {
        finding["about"] == about && finding["found"].as_str().is_some_and(|text| text.contains(found))
    };
    let finding = told.findings.iter().find(is_it).expect("it was found");
    finding["remedy"].as_str().expect("a remedy").to_owned()
}

/// Runs the first command that a remedy prints, in a shell, as it stands there, with these settings.
pub fn run_in_a_shell(remedy: &str, settings: &[(String, String)]) {
    let command = between(remedy, "`", "`").unwrap_or_else(|| panic!("a command: {remedy}"));
    let binary = Path::new(env!("CARGO_BIN_EXE_countersign"));
    let path = format!("{}:{}", binary.parent().expect("a directory").display(), env!("PATH"));
    let settings = settings.iter().map(|(key, value)| (format!("COUNTERSIGN_{key}"), value));
    let ran = Command::new("sh").args(["-c", command]).env("PATH", path).envs(settings).output().expect("a shell");
    assert!(ran.status.success(), "{command}: {ran:?}");
}

/// A log that does not read, and what of it is shown by a read model: the last good copy.
const LAST_COPIES: &[(&str, &str, &str)] = &[
    (
        "front_page",
        "update events set payload = '{' where type = 'PostPublished'",
        "shows this event, which cannot be applied",
    ),
    ("front_page", "delete from events where position = 3", "the log has a gap"),
    ("front_page", "update events set type = 'PostVanished' where type = 'PostPublished'", "shows this event"),
    ("accounts", "update events set payload = '{' where type = 'UserRegistered'", "accounts was not built anew"),
    ("accounts", "delete from events where position = 3", "the log has a gap"),
];

#[tokio::test]
async fn no_rebuild_drops_the_last_copy_of_what_the_log_lost_and_a_check_says_which_side_is_damaged() {
    let whole = Whole::made().await;
    for (model, damage, why) in LAST_COPIES {
        let broken = whole.copy();
        let file = if *model == "accounts" { "log.db" } else { "models/front_page-1.db" };
        let table = if *model == "accounts" { "accounts" } else { "posts" };
        broken.breaks(&Break::Sql("log.db", damage)).await;
        let rebuilt = broken.cli(&["projections", "rebuild", model]);
        let said = String::from_utf8_lossy(&rebuilt.stderr).into_owned();
        assert!(!rebuilt.status.success() && said.contains(why), "{damage}: {said}");
        assert!(said.contains("countersign doctor --deep"), "{damage}: {said}");
        let count = format!("select count(*) from {table}");
        let rows = Tool::of_file(&broken.path(file)).await.numbers(&count).await;
        assert!(rows[0] > 0, "{damage}: what was there is there");
        let checked = broken.cli(&["projections", "check", model]);
        let said = [checked.stdout, checked.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(!checked.status.success() && !said.contains("mends it"), "{damage}: {said}");
        assert!(
            said.to_lowercase().contains("rebuild nothing") || said.contains("do not rebuild it before"),
            "{damage}: {said}"
        );
    }
}

#[tokio::test]
async fn no_rebuild_drops_what_a_log_that_lost_its_end_no_longer_has() {
    let broken = Whole::made().await.copy();
    broken.breaks(&Break::Sql("log.db", "delete from events where type = 'PostPublished'")).await;
    for command in ["rebuild", "check"] {
        let ran = broken.cli(&["projections", command, "front_page"]);
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(!ran.status.success() && said.contains("is an older one"), "{command}: {said}");
        assert!(said.contains("Put the newest log back"), "{command}: {said}");
    }
    let rows = Tool::of_file(&broken.path("models/front_page-1.db")).await.numbers("select count(*) from posts").await;
    assert!(rows[0] > 0, "what was there is there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_broken_site_is_found_and_its_remedy_mends_it() {
    let whole = Arc::new(Whole::made().await);
    let more = if times(1_u16) > 1 { MORE_ROWS } else { &[] };
    let failed: Vec<_> = stream::iter(ROWS.iter().chain(more))
        .map(|row| {
            let whole = whole.clone();
            async move { (row.name, tokio::spawn(async move { row.holds(&whole).await }).await) }
        })
        .buffered(4)
        .filter_map(|(name, held)| async move { held.err().map(|_| name) })
        .collect()
        .await;
    assert!(failed.is_empty(), "{failed:#?}");
}

impl Row {
    async fn holds(&self, whole: &Whole) {
        let Self { name, breaks, quick, deep, start, mend } = self;
        let broken = whole.copy();
        broken.breaks(breaks).await;
        let (told, told_deep) = (broken.doctor(&[]), broken.doctor(&["--deep"]));
        match quick {
            Some((about, found, mend)) => {
                told.has("problem", about, found, mend);
                told_deep.has("problem", about, found, mend);
            }
            None => told.is_healthy(),
        }
        if let Some((about, found, mend)) = deep {
            told_deep.has("problem", about, found, mend);
        }
        let (about, found, _) = quick.or(*deep).expect("something is wrong");
        let said = remedy(&told_deep, about, found);

        let started = whole.copy();
        started.breaks(breaks).await;
        match (start, started.serve().map(drop)) {
            (Start::Serves, started) => started.unwrap_or_else(|told| panic!("{name}: {told}")),
            (Start::Refuses(phrase), Err(told)) => assert!(told.contains(phrase), "{name}: {told}"),
            (Start::Refuses(phrase), Ok(())) => panic!("{name}: it starts and does not say {phrase}"),
        }
        match mend {
            Mend::Run => run_in_a_shell(&said, &[]),
            Mend::Start => drop(broken.serve().unwrap_or_else(|told| panic!("{name}: {told}"))),
            Mend::PutBack => {
                if said.contains("`mv ") {
                    run_in_a_shell(&said, &[]);
                }
                let file = between(&said, "put the newest copy of ", " back").expect("a file");
                let file = std::path::absolute(file).expect("a path");
                let of = file.strip_prefix(broken.directory.path()).expect("one of this site");
                fs::copy(whole.directory.path().join(of), &file).expect("it is put back");
            }
        }
        broken.is_whole().await;
    }
}
