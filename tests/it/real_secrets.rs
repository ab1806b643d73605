//! Secrets and where they may not be: a whole flow with the real program, then a search of everything it has written
//! and said: files of `SQLite`; of `PostgreSQL` every value by SQL, and a dump. A held token opens with the root key alone, and
//! with nothing once it was revealed.

use std::{fs, path::Path};

use countersign::secrets::{RootKey, context};
use data_encoding::{BASE64, BASE64URL, HEXLOWER, HEXLOWER_PERMISSIVE, HEXUPPER};

use crate::{
    databases::Tool,
    postgres_server::{TestDatabase, program, require},
    running_site::{PASSWORD, RunningSite, parameter},
    support::ROOT_KEY,
};

/// Every form in which a secret could lie in a file: raw, hexadecimal, base64 wherever it begins in a larger value.
fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = vec![secret.to_vec(), HEXLOWER.encode(secret).into_bytes(), HEXUPPER.encode(secret).into_bytes()];
    for before in 0..3_usize {
        let mut value = vec![0; before];
        value.extend(secret);
        // Only the characters that depend on the secret alone: not those shared with what stands around it.
        let whole = value.len() / 3 * 4;
        let shared = [0, 2, 3][before];
        for encoding in [BASE64, BASE64URL] {
            forms.push(encoding.encode(&value).as_bytes()[shared..whole].to_vec());
        }
    }
    forms
}

fn holds(bytes: &[u8], secret: &[u8]) -> bool {
    forms(secret).iter().any(|form| memory_holds(bytes, form))
}

fn memory_holds(bytes: &[u8], needle: &[u8]) -> bool {
    let Some(first) = needle.first() else { return false };
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| byte == first) {
        if rest[at..].starts_with(needle) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

/// Every file below a directory with what is in it.
fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = vec![];
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if let Ok(bytes) = fs::read(&path) {
            found.push((path.display().to_string(), bytes));
        }
    }
    found
}

/// Every value of a database, by column, and the whole as `pg_dump` writes it. What was deleted is in the server's log and
/// in its pages until those are written anew; that is for whoever keeps them (docs/operating.md).
async fn values_and_dump(database: &TestDatabase) -> Vec<(String, Vec<u8>)> {
    let mut tool = Tool::Postgres(database.tool().await);
    // Statistics keep samples of what is in columns.
    let columns = "select format('%I.%I %I %s', nspname, relname, attname, atttypid = 'bytea'::regtype) \
                   from pg_class join pg_namespace on pg_namespace.oid = relnamespace \
                   join pg_attribute on attrelid = pg_class.oid and attnum > 0 and not attisdropped \
                   where relkind in ('r', 'p', 'm', 'S') and (nspname !~ '^pg_' and nspname <> 'information_schema' \
                   or relname = 'pg_statistic')";
    let mut found = vec![];
    for column in tool.texts(columns).await {
        let words: Vec<_> = column.split(' ').collect();
        let [table, name, is_bytes] = words.as_slice() else { panic!("{column}") };
        let value = if *is_bytes == "t" { (*name).to_owned() } else { format!("convert_to({name}::text, 'UTF8')") };
        let values = format!("select coalesce(encode(string_agg({value}, '\\x0a'::bytea), 'hex'), '') from {table}");
        let digits = tool.texts(&values).await.remove(0);
        found.push((format!("{table} {name}"), HEXLOWER.decode(digits.as_bytes()).expect("hexadecimal digits")));
    }
    let dump = program("pg_dump").args(["--inserts", "--dbname", &database.url]).output().expect("pg_dump runs");
    assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    found.push(("pg_dump".to_owned(), dump.stdout));
    found
}

/// Everything that a site has written and said.
struct Everything(Vec<(String, Vec<u8>)>);

impl Everything {
    async fn of(site: &RunningSite) -> Self {
        let (stdout, stderr) = site.said();
        let mut all = files(site.directory());
        if let Some(database) = &site.home.database {
            all.extend(values_and_dump(database).await);
        }
        let vault = ["vault.db", "countersign_vault.verifiers verifier"];
        assert!(
            all.iter().any(|(place, _)| vault.iter().any(|end| place.ends_with(end))),
            "the search finds the vault"
        );
        assert!(stdout.contains("Countersign is at") && stderr.len() > 1_000, "the search reads what was said");
        all.push(("stdout".to_owned(), stdout.into_bytes()));
        all.push(("stderr".to_owned(), stderr.into_bytes()));
        Self(all)
    }

    /// Where the secret lies.
    fn places(&self, secret: &[u8]) -> Vec<&str> {
        self.0.iter().filter(|(_, bytes)| holds(bytes, secret)).map(|(place, _)| place.as_str()).collect()
    }
}

/// What is held in the vault: ids and sealed texts.
async fn held(vault: &mut Tool) -> Vec<(Vec<u8>, Vec<u8>)> {
    let (id, sealed) = vault.either(("hex(id)", "hex(sealed)"), ("encode(id, 'hex')", "encode(sealed, 'hex')"));
    let rows = vault.texts(&format!("select {id} || ' ' || {sealed} from held_secrets")).await;
    let bytes = |digits: &str| HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).expect("hexadecimal digits");
    rows.iter().filter_map(|row| row.split_once(' ')).map(|(id, sealed)| (bytes(id), bytes(sealed))).collect()
}

/// A copy of the site as a thief has it: of the directory with the data and, beside it, of the key; of a database, which
/// holds no key, nothing.
fn copied(site: &RunningSite) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a directory");
    fs::create_dir(copy.path().join("site")).expect("a directory");
    for name in ["site/log.db", "site/log.db-wal", "site/vault.db", "site/vault.db-wal", "site.key"] {
        let from = site.directory().join(name);
        if from.exists() {
            fs::copy(from, copy.path().join(name)).expect("a copy");
        }
    }
    copy
}

#[test]
fn the_search_finds_a_planted_secret_in_every_form() {
    let secret = b"csp_abcdefghijklmnopqrstuvwxyz0123456789";
    for around in ["", "x", "xy", "xyz"] {
        let value = [around.as_bytes(), secret, b"after"].concat();
        for planted in [
            value.clone(),
            HEXLOWER.encode(&value).into_bytes(),
            HEXUPPER.encode(&value).into_bytes(),
            BASE64.encode(&value).into_bytes(),
            BASE64URL.encode(&value).into_bytes(),
        ] {
            assert!(holds(&planted, secret), "{}", String::from_utf8_lossy(&planted));
        }
    }
    assert!(!holds(b"csp_abcdefghijklmnopqrstuvwxyz012345678", secret));
}

#[tokio::test]
async fn postgres_the_search_finds_a_planted_secret_in_a_column_of_every_kind_and_in_a_dump() {
    if !require() {
        return;
    }
    let secret = "csp_abcdefghijklmnopqrstuvwxyz0123456789";
    for (kind, planted) in [
        ("text", format!("'before {secret} after'")),
        ("json", format!("'{{\"token\": \"{secret}\"}}'")),
        ("jsonb", format!("'[[\"{secret}\"]]'")),
        ("text[]", format!("array['{secret}']")),
        ("bytea", format!("convert_to('before {secret}', 'UTF8')")),
        // As text within bytes.
        ("bytea", format!("convert_to(encode(convert_to('{secret}', 'UTF8'), 'base64'), 'UTF8')")),
    ] {
        let database = TestDatabase::create().await;
        let mut tool = Tool::Postgres(database.tool().await);
        tool.run(&format!(
            "create schema other; create table other.kept (it {kind}); insert into other.kept values ({planted})"
        ))
        .await;
        let everything = Everything(values_and_dump(&database).await);
        let places = everything.places(secret.as_bytes());
        assert!(places.contains(&"other.kept it"), "{kind}: {places:?}");
        assert!(places.contains(&"pg_dump") || planted.contains("base64"), "{kind}: {places:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p12_no_secret_is_in_anything_stored_or_said_and_a_held_one_opens_with_the_root_key_alone_until_it_is_revealed()
{
    let mut site = RunningSite::start_with(&[("LOG", "trace")], &[]);
    let link = site.set_up_link();
    let set_up = parameter(&url::Url::parse(&link).expect("a link"), "token").expect("its token");
    let (mut ada, mut cleo, mut rob, mut ben) = (site.visitor(), site.visitor(), site.visitor(), site.visitor());
    let fields = [("token", &*set_up), ("username", "ada"), ("password", PASSWORD), ("password_repeat", PASSWORD)];
    ada.submitted(&link, "/setup", &fields).await;
    let fields = [("username", "cleo"), ("password", PASSWORD), ("password_repeat", PASSWORD)];
    cleo.submitted("/signup", "/signup", &fields).await;
    site.given_member("rob", &["reviewer"]);
    site.given_member("ben", &[]);
    rob.log_in("rob").await;
    ben.log_in("ben").await;
    let id = cleo.ask_for("Reader", "https://app.example/cb").await;
    rob.decide(&id, "approve").await;
    let message = cleo.waiting_message("Reader").await;

    let copy = copied(&site);
    let data_dir = copy.path().join("site");
    let mut vault = match &site.home.database {
        None => Tool::of_file(&data_dir.join("vault.db")).await,
        Some(_) => site.home.vault_tables().await,
    };
    let waiting = held(&mut vault).await;
    let [(secret_id, sealed)] = waiting.as_slice() else { panic!("one token waits: {}", waiting.len()) };
    let found = Everything::of(&site).await;
    assert!(!found.places(sealed).is_empty(), "the search finds what is held");
    let token = cleo.reveal(&message).await;
    let open = |root: &RootKey| root.derive(context::HELD_SECRET).open(secret_id, sealed);
    let from_env = site.home.database.as_ref().map(|_| ROOT_KEY);
    let root = RootKey::load_or_create(&data_dir, true, from_env, [0; 32]).expect("a key beside the data");
    let opened = open(&root).expect("the root key opens it");
    assert!(opened.ends_with(token.as_bytes()), "what is held is the token");
    if from_env.is_none() {
        fs::remove_file(copy.path().join("site.key")).expect("the key can be taken away");
    } else {
        assert_eq!(found.places(ROOT_KEY.as_bytes()), Vec::<&str>::new(), "the key is in what is stored");
    }
    RootKey::load_or_create(&data_dir, true, None, [0; 32]).expect_err("the data alone holds no key");
    let other = RootKey::load_or_create(&data_dir, true, Some(&"0".repeat(64)), [0; 32]).expect("another key");
    assert!(open(&other).is_none(), "another key opens nothing");

    // After the reveal there is nothing left to open: neither the whole nor a sizeable part of it.
    assert_eq!(held(&mut site.home.vault_tables().await).await, []);
    let found = Everything::of(&site).await;
    for part in sealed.chunks_exact(24) {
        assert_eq!(found.places(part), Vec::<&str>::new(), "sealed bytes are left");
    }

    let client_id = cleo.client_id(&id).await;
    let address = ben.authorize(&client_id, "s").await;
    let simple = parameter(&address, "access_token").expect("a token");
    let issued = site.given_token("ada", "read audit").0;
    let tokens = cleo.get("/api/v1/tokens").await.json();
    let token_id = tokens["data"][0]["id"].as_str().expect("an id").to_owned();
    let csrf = cleo.get("/settings/apps").await.hidden("csrf_token");
    let path = format!("/api/v1/tokens/{token_id}/regenerate");
    let regenerated = cleo.json(axum::http::Method::POST, &path, &csrf, &serde_json::json!({})).await.json();
    let regenerated = regenerated["access_token"].as_str().expect("a token").to_owned();
    let reset = site.done(&["account", "reset", "ben"]);
    let reset = parameter(&url::Url::parse(&reset).expect("a link"), "token").expect("its token");
    let tokens = [token, simple, issued, regenerated];
    for token in &tokens {
        crate::running_site::with_token(&crate::running_site::http(), &format!("{}/unread", site.url()), token).await;
    }
    let session = |visitor: &crate::running_site::Visitor| visitor.cookies["session"].clone();
    let others = [PASSWORD.to_owned(), reset, csrf, session(&ben), session(&cleo)];
    let found = Everything::of(&site).await;
    for secret in tokens.iter().chain(&others) {
        assert_eq!(found.places(secret.as_bytes()), Vec::<&str>::new(), "{} is written down", &secret[..4]);
        // The part behind the prefix alone, as a log line that hides prefixes would show it.
        let tail = &secret.as_bytes()[secret.len() / 2..];
        assert_eq!(found.places(tail), Vec::<&str>::new(), "half of {} is written down", &secret[..4]);
    }
    site.kill9();
    site.restart();
    let found = Everything::of(&site).await;
    for secret in tokens.iter().chain(&others) {
        assert_eq!(found.places(secret.as_bytes()), Vec::<&str>::new(), "{} is written down", &secret[..4]);
    }
}
