//! Database URLs that lead nowhere: what is wrong with one is told while settings are read, what is wrong with its server
//! when it is first needed; each time with the setting, the server and the remedy, and never with the password.

use std::{
    fs::Permissions,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::{
    cuts::Cuts,
    postgres_server::{Server, TestDatabase, connect, require, run, start},
    running_site::{RunningSite, program},
    support::ROOT_KEY,
};

const PASSWORD: &str = "s3cret-of-ada";
/// Each way to a database that a command line has.
const COMMANDS: [&[&str]; 4] =
    [&["serve", "--listen", "127.0.0.1:0"], &["account", "list"], &["migrate"], &["doctor", "--deep"]];

/// How a command ended, and what it said.
fn run_with(settings: &[(&str, &str)], arguments: &[&str]) -> (i32, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let settings = settings.iter().chain(&[("LOG", "error")]);
    let settings: Vec<_> = settings.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let output = program(directory.path(), &settings, &[]).args(arguments).output().expect("the program starts");
    let told = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(!directory.path().join("site").exists(), "no site is made in the data directory");
    (output.status.code().expect("it ends by itself"), told)
}

/// Has every command fail with this exit code, and in one line that has these words; doctor tells it among other things.
pub fn refused(settings: &[(&str, &str)], code: i32, words: &[&str]) {
    for arguments in COMMANDS {
        let (ended, told) = run_with(settings, arguments);
        let about = format!("{arguments:?} with {settings:?}: {ended}, {told}");
        if code == 1 && arguments[0] == "doctor" {
            assert_eq!(ended, 3, "{about}");
        } else {
            assert_eq!(ended, code, "{about}");
            assert_eq!(told.lines().count(), 1, "{about}");
            assert!(told.starts_with("error: "), "{about}");
        }
        assert!(!told.contains(PASSWORD) && !told.contains("panicked"), "{about}");
        for word in words {
            assert!(told.contains(word), "no {word:?}: {about}");
        }
    }
}

#[test]
fn a_url_that_is_none_is_refused_with_the_settings() {
    let fine = "postgres://ada@127.0.0.1:1/site";
    let cases = [
        (format!("mysql://ada:{PASSWORD}@db1/site"), "it does not begin with postgres://"),
        (format!("ada:{PASSWORD}@db1/site"), "it does not begin with postgres://"),
        (format!("postgres://ada:{PASSWORD}@db1:x/site"), "it cannot be read: the port is a number"),
        (format!("{fine}?sslmode=always"), "it has an sslmode that does not exist: it is disable, allow"),
        (format!("{fine}?ssl_mode=require"), "it has a parameter that is not known"),
        (format!("{fine},"), "the 2. of them is empty"),
        (format!("{fine}, {PASSWORD}"), "the 2. of them does not begin with postgres://"),
    ];
    for (urls, words) in &cases {
        for key in ["DATABASE_URL", "VAULT_URL", "MIGRATE_DATABASE_URL"] {
            let mut settings = vec![(key, urls.as_str())];
            if key != "DATABASE_URL" {
                settings.push(("DATABASE_URL", fine));
            }
            refused(&settings, 2, &[&format!("COUNTERSIGN_{key} must be a URL such as postgres://"), words]);
        }
    }
    refused(&[("VAULT_URL", fine)], 2, &["COUNTERSIGN_VAULT_URL", "name that with `database_url`"]);
    refused(
        &[("MIGRATE_DATABASE_URL", fine)],
        2,
        &["COUNTERSIGN_MIGRATE_DATABASE_URL", "name that with `database_url`"],
    );
}

#[test]
fn a_list_in_the_file_is_refused_without_being_repeated() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("site.toml");
    std::fs::write(&file, format!("database_url = ['postgres://ada:{PASSWORD}@db1/site']")).expect("a file");
    let (ended, told) = run_with(&[("CONFIG", file.to_str().expect("a path"))], &["migrate"]);
    assert_eq!(ended, 2, "{told}");
    assert!(told.contains("site.toml line 1: `database_url` must be a string") && !told.contains(PASSWORD), "{told}");
}

/// Something that listens, and what it does with whoever connects, for as long as they are there.
fn listening(greets: fn(TcpStream)) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || greets(client));
        }
    });
    port
}

/// Reads until the client goes.
fn hear_out(mut client: TcpStream) {
    let mut ignored = [0; 1024];
    while client.read(&mut ignored).is_ok_and(|length| length > 0) {}
}

fn speak_http(mut client: TcpStream) {
    // Whoever is gone does not need it.
    let _ = client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    hear_out(client);
}

/// Lets everybody in as `PostgreSQL` 13 does.
fn speak_as_postgres_13(mut client: TcpStream) {
    let mut asked = [0; 8];
    client.read_exact(&mut asked).expect("whether there is TLS");
    client.write_all(b"N").expect("there is none");
    let _ = client.read(&mut [0; 1024]).expect("who they are");
    let mut answer = b"R\0\0\0\x08\0\0\0\0".to_vec();
    answer.extend(b"S\0\0\0\x19server_version\x0013.22\0");
    answer.extend(b"K\0\0\0\x0c\0\0\0\x01\0\0\0\x01Z\0\0\0\x05I");
    client.write_all(&answer).expect("it listens");
    hear_out(client);
}

#[test]
fn a_place_without_a_server_that_fits_is_named_with_the_remedy() {
    let closed = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("an address").port();
    let nobody = format!("postgres://ada:{PASSWORD}@127.0.0.1:{closed}/site");
    let at = |port: u16| format!("postgres://ada:{PASSWORD}@127.0.0.1:{port}/site");
    let named = |port: u16| format!("server 127.0.0.1:{port}, database site: ");
    let (http, silent) = (listening(speak_http), listening(hear_out));
    let (old, ends) = (listening(speak_as_postgres_13), listening(drop));
    let cases = [
        (closed, "no server listens there: start it, or correct host and port"),
        (http, "it does not talk as PostgreSQL does"),
        (silent, "it does not answer within 3 seconds: look whether it runs"),
        (old, "it is PostgreSQL 13.22, which is too old: upgrade it to 14 or later"),
        (ends, "look into its log"),
    ];
    for (port, words) in cases {
        refused(&[("DATABASE_URL", &at(port))], 1, &["COUNTERSIGN_DATABASE_URL: ", &named(port), words]);
    }
    let socket = format!("postgres://ada:{PASSWORD}@%2Fnowhere/site");
    refused(&[("DATABASE_URL", &socket)], 1, &["server /nowhere:5432, database site: no server listens there"]);
    let unknown = format!("postgres://ada:{PASSWORD}@nowhere.invalid/site");
    refused(&[("DATABASE_URL", &unknown)], 1, &["server nowhere.invalid:5432, database site: ", "correct the host"]);
    let several = format!("{nobody},{}", at(old));
    refused(&[("DATABASE_URL", &several)], 1, &[&named(closed), "start it", &named(old), "too old"]);
}

/// A server that wants passwords, but from its superuser; with it the file that says so.
fn strict_server(more: &[&str]) -> (Server, TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("it is ours");
    let file = directory.path().join("pg_hba.conf");
    let rules = "local all postgres trust\nlocal all unwelcome reject\nlocal all all scram-sha-256\n\
                 host all all 127.0.0.1/32 scram-sha-256\n";
    std::fs::write(&file, rules).expect("it is written");
    std::fs::set_permissions(&file, Permissions::from_mode(0o644)).expect("it is ours");
    let settings: Vec<_> =
        [format!("hba_file={}", file.display())].into_iter().chain(more.iter().map(|one| (*one).to_owned())).collect();
    let server = start(&settings.iter().map(String::as_str).collect::<Vec<_>>()).expect("a server is installed");
    (server, directory)
}

/// The same server for a role, with its password and a database.
fn as_role(url: &str, role: &str, password: &str, database: &str) -> String {
    let mut url = url::Url::parse(url).expect("a URL");
    url.set_username(role).expect("it has a host");
    url.set_password(Some(password)).expect("it has a host");
    url.set_path(database);
    url.into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_let_the_site_in_is_named_with_the_remedy() {
    if !require() {
        return;
    }
    let (server, _rules) = strict_server(&[]);
    let mut tool = connect(&server.url).await;
    run(&mut tool, &format!("create role ada login password '{PASSWORD}'; create role shy password '{PASSWORD}'"))
        .await;
    run(&mut tool, "create database site").await;
    run(&mut tool, "create database closed").await;
    run(&mut tool, "revoke connect on database closed from public").await;
    let with = |role: &str, password: &str, database: &str| as_role(&server.url, role, password, database);
    let cases = [
        (with("ada", "wrong-one", "site"), "site", "correct the role ada and its password in the URL"),
        (with("nobody", PASSWORD, "site"), "site", "correct the role nobody and its password in the URL"),
        (with("shy", PASSWORD, "site"), "site", "create the role shy with `login`"),
        (with("unwelcome", PASSWORD, "site"), "site", "allow it in pg_hba.conf"),
        (with("ada", PASSWORD, "missing"), "missing", "create it (`create database missing`), or correct the URL"),
        (with("ada", PASSWORD, "closed"), "closed", "`grant connect on database closed to ada`"),
    ];
    for (url, database, words) in &cases {
        let about = format!("5432, database {database}: ");
        refused(&[("DATABASE_URL", url)], 1, &["COUNTERSIGN_DATABASE_URL: server /", &about, words]);
    }
    // Over a way that offers no TLS.
    let way = Cuts::before(&server.url);
    let secured = way.url(&with("ada", PASSWORD, "site")) + "?sslmode=require";
    refused(&[("DATABASE_URL", &secured)], 1, &["server 127.0.0.1:", "it offers no TLS", "set ssl = on"]);

    // The role may come in, and make nothing there.
    let fine = with("ada", PASSWORD, "site");
    for arguments in [&["serve", "--listen", "127.0.0.1:0"] as &[&str], &["migrate"]] {
        let (ended, told) = run_with(&[("DATABASE_URL", &fine)], arguments);
        assert_eq!((ended, told.lines().count()), (1, 1), "{told}");
        assert!(told.contains("permission denied for database site: name a URL of the owner"), "{told}");
    }
    let (ended, told) = run_with(&[("DATABASE_URL", &fine)], &["account", "list"]);
    assert!(ended == 1 && told.contains("run `countersign migrate` as the owner"), "{told}");

    // The other settings are told apart.
    let settings = [("DATABASE_URL", fine.as_str()), ("MIGRATE_DATABASE_URL", cases[0].0.as_str())];
    let (ended, told) = run_with(&settings, &["migrate"]);
    assert!(ended == 1 && told.starts_with("error: COUNTERSIGN_MIGRATE_DATABASE_URL: server /"), "{told}");

    // The owner migrates, and lets the role in; without that it reads nothing.
    run(&mut tool, "create role other login password 'other'").await;
    let owner = as_role(&server.url, "postgres", "", "site");
    let (ended, told) = run_with(&[("DATABASE_URL", &fine), ("MIGRATE_DATABASE_URL", &owner)], &["migrate"]);
    assert_eq!(ended, 0, "{told}");
    refused(&[("DATABASE_URL", &fine), ("VAULT_URL", &cases[0].0)], 1, &["COUNTERSIGN_VAULT_URL: server /"]);
    let other = with("other", "other", "site");
    refused(&[("DATABASE_URL", &other)], 1, &["permission denied for schema countersign: run `countersign migrate`"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_the_root_key_of_another_site_does_not_start() {
    if !require() {
        return;
    }
    let database = TestDatabase::create().await;
    let first = RunningSite::node(&database.url, &[]);
    first.given_member("ada", &[]);
    let other_key = "a5".repeat(32);
    for arguments in [COMMANDS[0], COMMANDS[1]] {
        let (ended, told) = run_with(&[("DATABASE_URL", &database.url), ("ROOT_KEY", &other_key)], arguments);
        assert_eq!(ended, 1, "{told}");
        assert!(
            told.contains("the root key does not open the vault") && told.contains("COUNTERSIGN_ROOT_KEY"),
            "{told}"
        );
        assert!(!told.contains(&other_key) && !told.contains(ROOT_KEY), "{told}");
        let (ended, told) = run_with(&[("DATABASE_URL", &database.url)], arguments);
        assert!(
            ended == 1 && told.contains("the root key is missing") && told.contains("COUNTERSIGN_ROOT_KEY"),
            "{told}"
        );
    }
    assert!(first.done(&["account", "list"]).contains("ada"), "the first goes on");
}

/// A certificate for `localhost` that signs itself, with its key, for the account that servers run as.
fn certificate(directory: &Path) -> (PathBuf, PathBuf) {
    let (certificate, key) = (directory.join("server.crt"), directory.join("server.key"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .expect("openssl runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    std::fs::set_permissions(&key, Permissions::from_mode(0o600)).expect("it is ours");
    std::fs::set_permissions(&certificate, Permissions::from_mode(0o644)).expect("it is ours");
    // `script/postgres` runs a server as its own account where it is root; elsewhere only it can be this one.
    let given = Command::new("chown").arg("postgres").arg(&key).output().expect("chown runs");
    drop(given);
    (certificate, key)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_talks_with_a_server_over_tls_and_checks_its_certificate_where_it_is_told_to() {
    if !require() {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("it is ours");
    let (certificate, key) = certificate(directory.path());
    let port = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("an address").port();
    let (files, port_setting) = (
        [format!("ssl_cert_file={}", certificate.display()), format!("ssl_key_file={}", key.display())],
        format!("port={port}"),
    );
    let (server, _rules) =
        strict_server(&["ssl=on", &files[0], &files[1], &port_setting, "listen_addresses=localhost"]);
    let mut tool = connect(&server.url).await;
    run(&mut tool, &format!("create role ada login superuser password '{PASSWORD}'")).await;
    run(&mut tool, "create database site").await;
    let to = |host: &str, more: &str| format!("postgres://ada:{PASSWORD}@{host}:{port}/site?sslmode={more}");

    let required = to("127.0.0.1", "require");
    let node = RunningSite::node(&required, &[]);
    node.given_member("ada", &[]);
    let ask = "select bool_and(ssl) from pg_stat_activity join pg_stat_ssl using (pid) where application_name = 'countersign'";
    let all_secured: Option<bool> = sqlx::query_scalar(ask).fetch_one(&mut tool).await.expect("an answer");
    assert_eq!(all_secured, Some(true), "every connection of the node is secured");

    let root = certificate.display();
    let checked = to("localhost", &format!("verify-full&sslrootcert={root}"));
    let (ended, told) = run_with(&[("DATABASE_URL", &checked), ("ROOT_KEY", ROOT_KEY)], &["account", "list"]);
    assert_eq!(ended, 0, "{told}");
    let unknown = to("localhost", "verify-full");
    refused(&[("DATABASE_URL", &unknown)], 1, &["server localhost:", "no TLS with it", "sslrootcert"]);
    let other_name = to("127.0.0.1", &format!("verify-full&sslrootcert={root}"));
    refused(
        &[("DATABASE_URL", &other_name)],
        1,
        &["server 127.0.0.1:", "no TLS with it", "the name that the certificate has"],
    );
    let nothing = to("localhost", "verify-full&sslrootcert=/nowhere.crt");
    refused(&[("DATABASE_URL", &nothing)], 1, &["a file that its URL names by sslrootcert"]);
}
