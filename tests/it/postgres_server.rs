//! Databases with the program's schemas on a throw-away `PostgreSQL` server, each for one test.

use std::{collections::BTreeMap, path::Path, process::Command};

use countersign::store::{
    LogWriter as _,
    postgres::{self, Part, PostgresStore},
};
use countersign_projections::{INLINE, Projection, TRAILING};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

mod throw_away;

pub use throw_away::{Server, TestDatabase, apart, connect, require, run, start, start_under};
use throw_away::{admin, script, url_of};

impl TestDatabase {
    /// One with the schema of the log and that of the vault; there must be a server ([`require`]).
    pub async fn create() -> Self {
        let mut server = connect(admin()).await;
        let template = template(&mut server).await;
        drop(server.close().await);
        Self::copy_of(&template).await
    }

    /// One with nothing in it.
    pub async fn empty() -> Self {
        // Who makes the template makes the role as well.
        template(&mut connect(admin()).await).await;
        Self::copy_of("template0").await
    }

    /// Its URL as another role.
    pub fn url_as(&self, role: &str) -> String {
        let mut url = url::Url::parse(&self.url).expect("it was one before");
        url.set_username(role).expect("it has a host");
        url.into()
    }

    /// The tables in which a row holds this text, as it is or in hexadecimal digits, as bytes are shown.
    pub async fn rows_with(&self, text: &str) -> Vec<String> {
        let mut tool = self.tool().await;
        let tables =
            "select format('%I.%I', schemaname, tablename) from pg_tables where schemaname like 'countersign%'";
        let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&mut tool).await.expect("tables");
        let mut found = vec![];
        for table in tables {
            let holds = format!(
                "select 1 from {table} as a_row where strpos(a_row::text, $1) > 0 \
                 or strpos(a_row::text, encode(convert_to($1, 'UTF8'), 'hex')) > 0 limit 1"
            );
            let holds =
                sqlx::query(AssertSqlSafe(holds)).bind(text).fetch_optional(&mut tool).await.expect("an answer");
            found.extend(holds.map(|_| table));
        }
        found
    }

    /// Everything that is stored of a site, by its table, and what else its schemas have. Leases are left out: who looks
    /// after what changes by itself.
    pub async fn contents(&self) -> BTreeMap<String, String> {
        const OBJECTS: &str = "select format('%s %s %s', relkind, relnamespace::regnamespace, relname) from pg_class \
                               where relnamespace::regnamespace::text like 'countersign%' \
                               union all select format('%s %s %s', tgrelid::regclass, tgname, tgenabled) from pg_trigger \
                               union all select format('%s %s', proname, prosrc) from pg_proc \
                               where pronamespace::regnamespace::text like 'countersign%' order by 1";
        let mut tool = self.tool().await;
        let objects: Vec<String> = sqlx::query_scalar(OBJECTS).fetch_all(&mut tool).await.expect("objects");
        let mut found = BTreeMap::from([(format!("{} objects", self.name), objects.join("\n"))]);
        let names = "select format('%I.%I', schemaname, tablename) from pg_tables where schemaname like 'countersign%' \
                     and tablename <> 'leases' order by 1";
        let tables: Vec<String> = sqlx::query_scalar(names).fetch_all(&mut tool).await.expect("tables");
        for table in tables {
            let rows =
                format!("select coalesce(string_agg(row::text, ' ' order by row::text), '') from {table} as row");
            let rows = sqlx::query_scalar(AssertSqlSafe(rows)).fetch_one(&mut tool).await;
            // A table may be damaged; it says the same as long as nothing changes it.
            found.insert(format!("{} {table}", self.name), rows.unwrap_or_else(|error| error.to_string()));
        }
        found
    }

    /// A connection that is nobody's of the program, which finds the tables of log, vault and inline read models by
    /// their names alone; `outcomes` is the log's, so the vault's is `countersign_vault.outcomes`.
    pub async fn tool(&self) -> PgConnection {
        let mut connection = connect(&self.url).await;
        run(&mut connection, "set search_path to countersign, countersign_inline, countersign_vault").await;
        connection
    }
}

/// A program of the server's, such as `pg_dump`, of the server's own version.
pub fn program(name: &str) -> Command {
    let output = script().arg("--programs").output().expect("script/postgres can be run");
    assert!(output.status.success(), "script/postgres: {}", String::from_utf8_lossy(&output.stderr));
    let directory = String::from_utf8(output.stdout).expect("it prints text");
    Command::new(Path::new(directory.trim_end()).join(name))
}

/// A role that runs sites without owning anything; it belongs to the server, not to one database.
pub const RUNNER: &str = "countersign_test_runner";

/// The migrated database that all others are copies of, made by whoever comes first. Its name is that of the schemas and
/// read models, so that a server which outlives a change of them makes another.
async fn template(server: &mut PgConnection) -> String {
    let name = format!("countersign_template_{}", &digest_of_schemas().to_hex()[..16]);
    // It becomes a template last.
    let exists = format!("select 1 from pg_database where datistemplate and datname = '{name}'");
    let exists = || sqlx::query(AssertSqlSafe(exists.clone()));
    if exists().fetch_optional(&mut *server).await.expect("the server answers").is_some() {
        return name;
    }
    run(server, "select pg_advisory_lock(hashtext('countersign test template'))").await;
    if exists().fetch_optional(&mut *server).await.expect("the server answers").is_none() {
        let role = format!("select 1 from pg_roles where rolname = '{RUNNER}'");
        if sqlx::query(AssertSqlSafe(role)).fetch_optional(&mut *server).await.expect("it answers").is_none() {
            run(server, &format!("create role {RUNNER} login")).await;
        }
        run(server, &format!("drop database if exists {name} with (force)")).await;
        run(server, &format!("create database {name} template template0")).await;
        let url = url_of(&name);
        let role = postgres::role_of(&url).expect("the URL is one");
        for part in [Part::Log, Part::Vault] {
            postgres::migrate(&url, part, &role).await.expect("it migrates");
        }
        // Read models as an empty log has them, so that not every test waits until they are made.
        let store = PostgresStore::open(&url).await.expect("a store");
        let mut writer = store.writer().expect("the writer");
        for projection in INLINE {
            writer.reset_inline(projection).await.expect("tables");
            writer.set_inline_revision(projection.name, projection.revision).await.expect("a note");
        }
        drop((store, writer));
        run(server, &format!("alter database {name} is_template true")).await;
    }
    run(server, "select pg_advisory_unlock(hashtext('countersign test template'))").await;
    name
}

fn digest_of_schemas() -> blake3::Hash {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/postgres");
    let read = |directory: &Path| std::fs::read_dir(directory).expect("a directory").map(|file| file.expect("a file"));
    let mut files: Vec<_> = read(&root).chain(read(&root.join("vault"))).map(|file| file.path()).collect();
    files.retain(|file| file.is_file());
    files.sort();
    let mut hasher = blake3::Hasher::new();
    for file in files {
        hasher.update(&std::fs::read(file).expect("it can be read"));
    }
    for projection in INLINE.iter().chain(TRAILING) {
        // Without its function: where that lies differs from process to process.
        let Projection { name, revision, tables, .. } = projection;
        hasher.update(format!("{name} {revision} {tables:?}").as_bytes());
    }
    hasher.finalize()
}

#[tokio::test]
async fn a_test_database_is_of_one_test_and_goes_with_it() {
    if !require() {
        return;
    }
    let (one, two) = (TestDatabase::create().await, TestDatabase::create().await);
    run(&mut one.tool().await, "update head set position = 7").await;
    let head = |mut tool: PgConnection| async move {
        sqlx::query_scalar::<_, i64>("select position from head").fetch_one(&mut tool).await.unwrap()
    };
    assert_eq!((head(one.tool().await).await, head(two.tool().await).await), (7, 0));
    let (mut server, name) = (connect(admin()).await, one.name.clone());
    drop(one);
    let left = sqlx::query("select 1 from pg_database where datname = $1").bind(name);
    assert!(left.fetch_optional(&mut server).await.unwrap().is_none());
}
