//! Every way in which a site in a database was seen to be broken: what `doctor`, `doctor --deep` and a start say of it, that
//! looking changes nothing, and that the remedy, carried out as it is printed, mends it and loses nothing. Those of files
//! are in `broken_sites`.

use std::{process::Output, sync::Arc};

use countersign_projections::TRAILING;
use futures_util::{StreamExt as _, stream};
use tempfile::TempDir;

use crate::{
    broken_sites::{Says, Start, given_an_approved_application, remedy, run_in_a_shell},
    databases::{Database, Tool},
    doctor::{Told, given_stopped_in},
    postgres_server::{TestDatabase, program as server_program, require},
    prerequisites::times,
    running_site::{PASSWORD, Serving, Visitor, answer, http, program},
    support::ROOT_KEY,
};

/// How the remedy is carried out.
enum Mend {
    /// The schema that it names is restored from the backup.
    Restore(&'static str),
    /// The command that it prints.
    Run,
    /// The next start.
    Start,
}

struct Row {
    name: &'static str,
    breaks: &'static str,
    /// What a quick look finds; `None` when it takes a deep one.
    quick: Option<Says>,
    /// What a deep look finds besides.
    deep: Option<Says>,
    start: Start,
    mend: Mend,
    /// Left out where tests are to be short: another row is of the same kind.
    rare: bool,
}

const LOG: Mend = Mend::Restore("countersign");
const VAULT: Mend = Mend::Restore("countersign_vault");
const RESTORE_LOG: &str = "restore the schema countersign from your newest backup";
const RESTORE_VAULT: &str = "restore the schema countersign_vault from your newest backup";

/// Events changed behind the guards.
macro_rules! unguarded {
    ($change:literal) => {
        concat!("alter table events disable trigger user; ", $change, "; alter table events enable trigger user")
    };
}

/// Whatever holds no rows is made again by `migrate`.
macro_rules! made_again {
    ($name:literal, $breaks:literal, $about:literal, $found:literal, $rare:literal) => {
        Row {
            name: $name,
            breaks: $breaks,
            quick: Some(($about, $found, "run `countersign migrate`")),
            deep: None,
            start: Start::Serves,
            mend: Mend::Run,
            rare: $rare,
        }
    };
}

/// A read model that lost all of its rows, and nothing else: a quick look has to find it.
macro_rules! emptied {
    ($model:literal, $breaks:literal, $rare:literal) => {
        Row {
            name: concat!("all rows of ", $model, " gone"),
            breaks: $breaks,
            quick: Some((
                concat!("read model ", $model),
                "has lost its rows: the log leads to",
                concat!("run `countersign projections rebuild ", $model, "`"),
            )),
            deep: None,
            start: Start::Serves,
            mend: Mend::Run,
            rare: $rare,
        }
    };
}

/// A table of log or vault that was dropped.
macro_rules! dropped {
    ($schema:literal, $table:literal, $part:literal, $remedy:expr, $mend:expr, $rare:literal) => {
        Row {
            name: concat!("the table ", $schema, ".", $table, " dropped"),
            breaks: concat!("drop table ", $schema, ".", $table, " cascade"),
            quick: Some((concat!("schema of ", $part), concat!("the table ", $table, " is missing"), $remedy)),
            deep: None,
            start: Start::Refuses(concat!("the table ", $table, " is missing")),
            mend: $mend,
            rare: $rare,
        }
    };
}

const ROWS: &[Row] = &[
    Row {
        name: "a payload that is no JSON",
        breaks: unguarded!("update events set payload = '{' where type = 'PostPublished'"),
        quick: None,
        deep: Some(("events", "cannot be read: ", RESTORE_LOG)),
        start: Start::Serves,
        mend: LOG,
        rare: false,
    },
    Row {
        name: "a sealed text that was changed",
        breaks: unguarded!(
            "update events set payload = jsonb_set(payload::jsonb, '{title}', payload::jsonb -> 'body')::text \
             where type = 'PostPublished'"
        ),
        quick: None,
        deep: Some(("events", "the title of event", RESTORE_LOG)),
        start: Start::Serves,
        mend: LOG,
        rare: true,
    },
    Row {
        name: "a hole in the positions",
        breaks: unguarded!("delete from events where position = 3"),
        quick: Some(("events", "are missing, the first of them after 2: the next one there is 4", RESTORE_LOG)),
        deep: Some(("events", "events are missing between 2 and 4", RESTORE_LOG)),
        start: Start::Serves,
        mend: LOG,
        rare: false,
    },
    Row {
        name: "the last events gone",
        breaks: unguarded!("delete from events where position > (select max(position) - 2 from events)"),
        quick: Some(("end of the log", "the last event is at", RESTORE_LOG)),
        deep: Some(("events", "are missing at the end", RESTORE_LOG)),
        start: Start::Refuses("is an older one"),
        mend: LOG,
        rare: false,
    },
    Row {
        name: "an event that was recorded before the one before it",
        breaks: unguarded!("update events set recorded_at = 1 where position = 4"),
        quick: None,
        deep: Some(("events", "event 4 was recorded before the one before it", RESTORE_LOG)),
        start: Start::Serves,
        mend: LOG,
        rare: true,
    },
    Row {
        name: "versions of a stream out of order",
        breaks: unguarded!("update events set version = version + 7 where type = 'RoleGranted'"),
        quick: None,
        deep: Some(("events", "the versions of stream account-", RESTORE_LOG)),
        start: Start::Serves,
        mend: LOG,
        rare: true,
    },
    made_again!(
        "a trigger that was dropped",
        "drop trigger events_are_not_updated on events",
        "schema of log",
        "the trigger events_are_not_updated is missing",
        false
    ),
    made_again!(
        "a trigger that is out of force",
        "alter table events disable trigger events_are_not_put_beyond_a_gap",
        "schema of log",
        "the trigger events_are_not_put_beyond_a_gap is not as it was made, or not in force",
        true
    ),
    made_again!(
        "a trigger whose function does nothing",
        "create or replace function countersign.events_are_append_only() returns trigger language plpgsql as \
         $$ begin return null; end; $$",
        "schema of log",
        "the function events_are_append_only is not as it was made",
        true
    ),
    made_again!(
        "an index of the log that was dropped",
        "drop index outcomes_by_age",
        "schema of log",
        "the index outcomes_by_age is missing",
        true
    ),
    made_again!(
        "an index of the vault that was dropped",
        "drop index data_keys_of_the_site",
        "schema of vault",
        "the index data_keys_of_the_site is missing",
        false
    ),
    Row {
        name: "an index of a read model that was dropped",
        breaks: "drop index countersign_front_page_1.posts_by_created_at_post_id",
        quick: Some((
            "schema of log",
            "the index posts_by_created_at_post_id of front_page is missing",
            "run `countersign projections rebuild front_page`",
        )),
        deep: None,
        start: Start::Serves,
        mend: Mend::Run,
        rare: false,
    },
    Row {
        name: "an index of an inline read model that was dropped",
        breaks: "drop index accounts_by_username_digest",
        quick: Some((
            "schema of log",
            "the index accounts_by_username_digest of accounts is missing",
            "run `countersign projections rebuild accounts`",
        )),
        deep: None,
        start: Start::Serves,
        mend: Mend::Run,
        rare: true,
    },
    Row {
        name: "a password verifier gone",
        breaks: "delete from countersign_vault.verifiers",
        quick: Some(("keys of members", "2 of 2 members have no password verifier", RESTORE_VAULT)),
        deep: None,
        start: Start::Serves,
        mend: VAULT,
        rare: true,
    },
    Row {
        name: "a data key gone",
        breaks: "delete from countersign_vault.data_keys where subject <> 'site'",
        quick: Some(("keys of members", "2 of 2 members have no data key", RESTORE_VAULT)),
        deep: Some(("texts and keys", "was not erased, and their data key is gone", RESTORE_VAULT)),
        start: Start::Serves,
        mend: VAULT,
        rare: false,
    },
    Row {
        name: "a data key that the root key does not open",
        breaks: "update countersign_vault.data_keys set wrapped = decode(repeat('ab', length(wrapped)), 'hex') \
                 where subject <> 'site'",
        quick: None,
        deep: Some(("texts and keys", "the root key does not open the key of event", RESTORE_VAULT)),
        start: Start::Serves,
        mend: VAULT,
        rare: true,
    },
    dropped!("countersign", "events", "log", RESTORE_LOG, LOG, false),
    dropped!("countersign", "head", "log", RESTORE_LOG, LOG, true),
    dropped!("countersign", "cursors", "log", RESTORE_LOG, LOG, true),
    dropped!("countersign", "compatibility", "log", RESTORE_LOG, LOG, true),
    dropped!("countersign_vault", "data_keys", "vault", RESTORE_VAULT, VAULT, true),
    dropped!("countersign_vault", "verifiers", "vault", RESTORE_VAULT, VAULT, false),
    dropped!("countersign_vault", "outcomes", "vault", RESTORE_VAULT, VAULT, true),
    Row {
        name: "the steps of the log's schema forgotten",
        breaks: "drop table countersign._sqlx_migrations",
        quick: Some(("log", "the table _sqlx_migrations is missing", RESTORE_LOG)),
        deep: None,
        start: Start::Refuses("the table _sqlx_migrations is missing"),
        mend: LOG,
        rare: true,
    },
    Row {
        name: "the schema of a read model dropped",
        breaks: "drop schema countersign_inbox_1 cascade",
        quick: Some((
            "read model inbox",
            "the schema countersign_inbox_1 has lost tables, or is gone",
            "the next start of the site builds it",
        )),
        deep: None,
        start: Start::Serves,
        mend: Mend::Start,
        rare: false,
    },
    Row {
        name: "the schemas of all read models that follow dropped",
        breaks: "drop schema countersign_inbox_1 cascade; drop schema countersign_front_page_1 cascade; \
                 drop schema countersign_statistics_1 cascade; drop schema countersign_history_1 cascade",
        quick: Some((
            "read model history",
            "the schema countersign_history_1 has lost tables, or is gone",
            "the next start of the site builds it",
        )),
        deep: None,
        start: Start::Serves,
        mend: Mend::Start,
        rare: true,
    },
    Row {
        name: "a table of an inline read model dropped",
        breaks: "drop table accounts",
        quick: Some((
            "schema of log",
            "the table accounts of accounts is missing",
            "run `countersign projections rebuild accounts`",
        )),
        deep: None,
        start: Start::Serves,
        mend: Mend::Run,
        rare: false,
    },
    Row {
        name: "the schema of all inline read models dropped",
        breaks: "drop schema countersign_inline cascade",
        quick: Some((
            "schema of log",
            "the table tokens of tokens is missing",
            "run `countersign projections rebuild accounts applications former_client_ids authorizations tokens`",
        )),
        deep: None,
        start: Start::Serves,
        mend: Mend::Run,
        rare: true,
    },
    emptied!("accounts", "delete from accounts", false),
    emptied!("applications", "delete from applications", true),
    emptied!("authorizations", "delete from authorizations", true),
    emptied!("tokens", "delete from tokens", false),
    emptied!("inbox", "delete from countersign_inbox_1.notifications; delete from countersign_inbox_1.audience", true),
    emptied!(
        "front_page",
        "delete from countersign_front_page_1.posts; delete from countersign_front_page_1.comments",
        true
    ),
    emptied!(
        "statistics",
        "delete from countersign_statistics_1.review_steps; delete from countersign_statistics_1.review_waits; \
         delete from countersign_statistics_1.review_answers",
        true
    ),
    emptied!("history", "delete from countersign_history_1.subjects", true),
    Row {
        name: "a row of an inline read model gone",
        breaks: "delete from accounts where admin = 0",
        quick: None,
        deep: Some((
            "read model accounts",
            "differs from the log in 1 places; the first: accounts ",
            "stop all nodes and run `countersign projections rebuild accounts`",
        )),
        start: Start::Serves,
        mend: Mend::Run,
        rare: true,
    },
    Row {
        name: "a number in a read model changed",
        breaks: "update countersign_front_page_1.posts set upvotes = 7",
        quick: None,
        deep: Some((
            "read model front_page",
            "upvotes: 7 there, 0 by the log",
            "run `countersign projections rebuild front_page`",
        )),
        start: Start::Serves,
        mend: Mend::Run,
        rare: true,
    },
    Row {
        name: "rows of a read model whose file is gone",
        breaks: "set allow_system_table_mods = on; update pg_class set relfilenode = oid::bigint + 2000000000 \
                 where oid = 'countersign_inbox_1.notifications'::regclass",
        quick: None,
        deep: Some((
            "integrity of log",
            "countersign_inbox_1.notifications: ",
            "`countersign projections rebuild inbox` makes it anew",
        )),
        start: Start::Serves,
        mend: Mend::Run,
        rare: false,
    },
    Row {
        name: "rows of the vault whose file is gone",
        breaks: "set allow_system_table_mods = on; update pg_class set relfilenode = oid::bigint + 2000000000 \
                 where oid = 'countersign_vault.outcomes'::regclass",
        quick: None,
        deep: Some(("integrity of vault", "countersign_vault.outcomes: ", RESTORE_VAULT)),
        start: Start::Serves,
        mend: VAULT,
        rare: true,
    },
];

/// A site with two members, an application and a post, stopped; and its backup.
struct Whole {
    database: TestDatabase,
    backup: TempDir,
}

impl Whole {
    async fn made() -> Self {
        let mut site = given_stopped_in(Database::Postgres);
        site.restart();
        site.given_member("ben", &[]);
        given_an_approved_application(&site).await;
        let (token, _) = site.given_token("ben", "read write");
        let post = http()
            .post(format!("{}/api/v1/posts", site.url()))
            .header("authorization", token)
            .json(&serde_json::json!({ "title": "A title", "body": "A body" }));
        assert!(answer(post).await.status.is_success());
        let models = TRAILING.len() + countersign_projections::INLINE.len();
        while site.done(&["projections", "status", "--format", "csv"]).matches(",live,").count() < models {}
        site.stop();
        let backup = tempfile::tempdir().expect("a directory");
        let database = TestDatabase::copy_of(&site.home.database.as_ref().expect("it lies in one").name).await;
        let url = &database.url;
        for schema in ["countersign", "countersign_vault"] {
            let mut dump = server_program("pg_dump");
            dump.args(["--no-owner", "--schema", schema, "--dbname", url, "--file"]).arg(backup.path().join(schema));
            let ran = dump.output().expect("pg_dump runs");
            assert!(ran.status.success(), "{ran:?}");
        }
        Self { database, backup }
    }

    async fn copy(&self) -> Copy {
        let database = TestDatabase::copy_of(&self.database.name).await;
        let settings = [("DATABASE_URL", database.url.as_str()), ("ROOT_KEY", ROOT_KEY)];
        let settings = settings.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
        Copy { database, settings, directory: tempfile::tempdir().expect("a directory") }
    }

    /// Puts a schema of a copy back as the backup has it.
    async fn restore(&self, schema: &str, copy: &Copy) {
        copy.tool().await.run(&format!("drop schema if exists {schema} cascade")).await;
        let mut restore = server_program("psql");
        restore.args(["--quiet", "--set", "ON_ERROR_STOP=1", "--dbname", &copy.database.url, "--file"]);
        let ran = restore.arg(self.backup.path().join(schema)).output().expect("psql runs");
        assert!(ran.status.success(), "{ran:?}");
    }
}

/// One to be broken.
struct Copy {
    database: TestDatabase,
    settings: Vec<(String, String)>,
    directory: TempDir,
}

impl Copy {
    async fn tool(&self) -> Tool {
        Tool::Postgres(self.database.tool().await)
    }

    fn cli(&self, arguments: &[&str]) -> Output {
        program(self.directory.path(), &self.settings, &[]).args(arguments).output().expect("it runs")
    }

    /// What looks find, which change nothing.
    async fn doctor(&self) -> (Told, Told) {
        let before = self.database.contents().await;
        let told = |arguments: &[&str]| Told::by(&self.cli(&[&["doctor", "--format", "json"], arguments].concat()));
        let told = (told(&[]), told(&["--deep"]));
        assert!(before == self.database.contents().await, "it was only looked at");
        told
    }

    /// Starts it; what it said where it did not.
    fn serve(&self) -> Result<Serving, String> {
        Serving::start(self.directory.path(), &self.settings)
    }

    /// Nothing was lost: a member can log in, the post is there, every model is as the log has it, and nothing is wrong.
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

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_broken_site_in_a_database_is_found_and_its_remedy_mends_it() {
    if !require() {
        return;
    }
    let whole = Arc::new(Whole::made().await);
    let is_short = times(1_u16) == 1;
    let failed: Vec<_> = stream::iter(ROWS.iter().filter(|row| !(row.rare && is_short)))
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
        let Self { name, breaks, quick, deep, start, mend, .. } = self;
        let broken = whole.copy().await;
        broken.tool().await.run(breaks).await;
        let (told, told_deep) = broken.doctor().await;
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

        let started = whole.copy().await;
        started.tool().await.run(breaks).await;
        match (start, started.serve().map(drop)) {
            (Start::Serves, started) => started.unwrap_or_else(|told| panic!("{name}: {told}")),
            (Start::Refuses(phrase), Err(told)) => assert!(told.contains(phrase), "{name}: {told}"),
            (Start::Refuses(phrase), Ok(())) => panic!("{name}: it starts and does not say {phrase}"),
        }
        match mend {
            Mend::Run => run_in_a_shell(&said, &broken.settings),
            Mend::Start => drop(broken.serve().unwrap_or_else(|told| panic!("{name}: {told}"))),
            Mend::Restore(schema) => {
                assert!(said.contains(&format!("restore the schema {schema} from")), "{name}: {said}");
                whole.restore(schema, &broken).await;
            }
        }
        broken.is_whole().await;
    }
}
