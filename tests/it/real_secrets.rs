//! Secrets and where they may not be: a whole flow with the real program, then a search of everything it has written
//! and said. A held token opens with the root key alone, and with nothing once it was revealed.

use std::{fs, path::Path};

use countersign::secrets::{RootKey, context};
use data_encoding::{BASE64, BASE64URL, HEXLOWER, HEXUPPER};
use sqlx::{ConnectOptions as _, Row as _, sqlite::SqliteConnectOptions};

use crate::running_site::{PASSWORD, RunningSite, parameter};

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

/// Where the secret lies: files of the site, its output.
fn places(site: &RunningSite, secret: &[u8]) -> Vec<String> {
    let (stdout, stderr) = site.said();
    let mut all = files(site.directory());
    assert!(all.iter().any(|(path, _)| path.ends_with("vault.db")), "the search finds the vault");
    assert!(stdout.contains("Countersign is at") && stderr.len() > 1_000, "the search reads what was said");
    all.push(("stdout".to_owned(), stdout.into_bytes()));
    all.push(("stderr".to_owned(), stderr.into_bytes()));
    all.into_iter().filter(|(_, bytes)| holds(bytes, secret)).map(|(path, _)| path).collect()
}

/// What is held in a copy of the site's files: ids and sealed texts.
async fn held(data_dir: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut vault =
        SqliteConnectOptions::new().filename(data_dir.join("vault.db")).connect().await.expect("the copy opens");
    let rows = sqlx::query("select id, sealed from held_secrets").fetch_all(&mut vault).await.expect("rows");
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// A copy of the directory with the data and, beside it, of the key.
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

#[tokio::test(flavor = "multi_thread")]
async fn p12_no_token_is_in_any_file_or_output_and_a_held_one_opens_with_the_root_key_alone_until_it_is_revealed() {
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
    let waiting = held(&data_dir).await;
    let [(secret_id, sealed)] = waiting.as_slice() else { panic!("one token waits: {}", waiting.len()) };
    assert!(files(copy.path()).iter().any(|(_, bytes)| memory_holds(bytes, sealed)), "the search finds what is held");
    let token = cleo.reveal(&message).await;
    let open = |root: &RootKey| root.derive(context::HELD_SECRET).open(secret_id, sealed);
    let root = RootKey::load_or_create(&data_dir, true, None, [0; 32]).expect("the key lies beside the directory");
    let opened = open(&root).expect("the root key opens it");
    assert!(opened.ends_with(token.as_bytes()), "what is held is the token");
    fs::remove_file(copy.path().join("site.key")).expect("the key can be taken away");
    RootKey::load_or_create(&data_dir, true, None, [0; 32]).expect_err("the directory alone holds no key");
    let other = RootKey::load_or_create(&data_dir, true, Some(&"0".repeat(64)), [0; 32]).expect("another key");
    assert!(open(&other).is_none(), "another key opens nothing");

    // After the reveal there is nothing left to open: neither the whole nor a sizeable part of it.
    assert_eq!(held(&site.data_dir()).await, []);
    for part in sealed.chunks_exact(24) {
        assert_eq!(places(&site, part), Vec::<String>::new(), "sealed bytes are left");
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
    let others = [PASSWORD.to_owned(), reset, session(&ben), session(&cleo)];
    for secret in tokens.iter().chain(&others) {
        assert_eq!(places(&site, secret.as_bytes()), Vec::<String>::new(), "{} is written down", &secret[..4]);
        // The part behind the prefix alone, as a log line that hides prefixes would show it.
        let tail = &secret.as_bytes()[secret.len() / 2..];
        assert_eq!(places(&site, tail), Vec::<String>::new(), "half of {} is written down", &secret[..4]);
    }
    site.kill9();
    site.restart();
    for secret in tokens.iter().chain(&others) {
        assert_eq!(places(&site, secret.as_bytes()), Vec::<String>::new(), "{} is written down", &secret[..4]);
    }
}
