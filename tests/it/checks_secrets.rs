//! P12 and what is stored of tokens: after a whole flow no token of it is in a file, a log line, an
//! event or an error page, in any usual spelling.

use std::{
    fs,
    io::Write,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::http::{Method, StatusCode};
use countersign::app::reviews::Verb;
use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use tracing_subscriber::{Layer, filter::dynamic_filter_fn, fmt::MakeWriter, layer::SubscriberExt};

use crate::{
    checks_scene::{PASSWORD, Scene, answer, form_post, parameter, token_json},
    support::by,
};

/// Every log line of this process, at every level, while somebody listens: not of one thread alone, because
/// databases log from threads of their own.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

static LISTENING: AtomicBool = AtomicBool::new(false);

impl Lines {
    /// Begins to listen. A subscriber of one thread would not do: whether a place logs at all is remembered for
    /// the whole process, and other tests run beside this one.
    fn listen() -> Self {
        let lines = Self::default();
        let listening = dynamic_filter_fn(|_, _| LISTENING.load(Ordering::SeqCst));
        let layer = tracing_subscriber::fmt::layer().with_writer(lines.clone()).with_ansi(false).with_filter(listening);
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::set_global_default(subscriber).expect("no other test listens");
        LISTENING.store(true, Ordering::SeqCst);
        lines
    }

    fn stop(&self) -> Vec<u8> {
        LISTENING.store(false, Ordering::SeqCst);
        self.0.lock().expect("no test panicked here").clone()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no test panicked here").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// A secret as it could lie in a file: as it is, in hex, in base64 at each of the three offsets.
fn spellings(secret: &str) -> Vec<Vec<u8>> {
    let bytes = secret.as_bytes();
    let mut all = vec![bytes.to_vec(), HEXLOWER.encode(bytes).into_bytes()];
    all.push(data_encoding::HEXUPPER.encode(bytes).into_bytes());
    for offset in 0..3 {
        // The inner part of an encoding at this offset: what surrounds it changes only the ends.
        let inner = &bytes[offset..offset + (bytes.len() - offset) / 3 * 3];
        all.push(BASE64.encode(inner).into_bytes());
        all.push(BASE64URL_NOPAD.encode(inner).into_bytes());
    }
    all
}

fn holds(haystack: &[u8], secret: &str) -> bool {
    spellings(secret).iter().any(|spelling| haystack.windows(spelling.len()).any(|window| window == spelling))
}

/// Every file below a directory.
fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = vec![];
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.is_file() {
            found.push((path.display().to_string(), fs::read(&path).expect("a file")));
        }
    }
    found
}

async fn assert_nowhere(scene: &Scene, secrets: &[(&str, &str)]) {
    let home = &scene.site.home;
    if home.database.is_some() {
        assert!(!home.traces("ApplicationApproved").await.is_empty(), "the search finds what is there");
        for (name, secret) in secrets {
            for spelling in spellings(secret) {
                let spelling = String::from_utf8(spelling).expect("all of them are texts");
                let found = home.traces(&spelling).await;
                assert!(found.is_empty(), "{name} is in {found:?}");
            }
        }
        return;
    }
    let files = files(home.directory.path());
    assert!(files.iter().any(|(path, bytes)| path.ends_with("log.db") && !bytes.is_empty()), "the log is a file");
    for (path, bytes) in &files {
        for (name, secret) in secrets {
            assert!(!holds(bytes, secret), "{path} holds {name}");
        }
    }
}

#[test]
fn p12_the_search_finds_a_secret_however_it_is_spelt() {
    let secret = "csp_0123456789abcdefghij";
    for before in ["", "x", "xy"] {
        let text = format!("{before}{secret} and more");
        for spelt in [text.clone(), HEXLOWER.encode(text.as_bytes()), BASE64.encode(text.as_bytes())] {
            assert!(holds(spelt.as_bytes(), secret), "{spelt}");
        }
    }
    assert!(!holds(b"csp_0123456789abcdefghiX", secret));
}

#[tokio::test]
async fn p12_no_secret_of_a_whole_flow_x_lines_or_error_pages() {
    let lines = Lines::listen();
    let scene = Scene::start().await;
    let mut ben = scene.stranger();
    ben.log_in("ben").await;
    let session = ben.cookies["session"].clone();
    let csrf = ben.get("/settings/apps").await.hidden("csrf_token");
    let link = scene.site.app.set_up_link().await.expect("a link").expect("no administrator yet");
    let link = link.split("token=").nth(1).expect("a token").to_owned();
    let owners = scene.owners_token().await;
    let page = ben.get(&scene.authorize_path("&state=a-state-of-theirs")).await;
    let sent = answer(&mut ben, &page, "authorize").await;
    let consented = parameter(sent.location(), "access_token").expect("a token");
    let old = scene.site.app.my_tokens(scene.cleo).await.expect("tokens")[0].row.token_id;
    let regenerated = scene.site.app.regenerate_token(&by(scene.cleo), scene.cleo, old).await.expect("another").answer;

    let mut told = vec![];
    for token in [&owners, &consented, &regenerated] {
        for path in
            ["/unread", "/?sort=best", "/api/v1/nowhere", "/posts/x", "/authorize?client_id=x", "/settings/apps"]
        {
            told.push(scene.stranger().with_token(Method::GET, path, token).await);
            told.push(scene.stranger().with_token(Method::GET, path, &format!("{token}x")).await);
            told.push(
                scene
                    .stranger()
                    .get(&format!("{path}{}access_token={token}", if path.contains('?') { '&' } else { '?' }))
                    .await,
            );
        }
        told.push(scene.stranger().send(token_json("POST", "/api/v1/posts", token, &format!("\"{token}"))).await);
        told.push(scene.stranger().get(&format!("/posts/{token}")).await);
    }
    told.push(scene.stranger().get("/setup?token=wrong").await);
    let wrong = [("username", "ben"), ("password", "not my pass phrase")];
    let log_in_again = ben.submit("/login?again=1", "/login", &wrong).await;
    scene.site.app.remove_authorization(&by(scene.ben), scene.ben, scene.application).await.expect("removed");
    told.push(scene.stranger().with_token(Method::GET, "/unread", &consented).await);
    scene.site.decide(scene.rob, scene.application, Verb::Revoke).await;
    scene.site.settle().await;

    let secrets = [
        ("the owner's token", owners.as_str()),
        ("the consented token", consented.as_str()),
        ("the regenerated token", regenerated.as_str()),
        ("a session", session.as_str()),
        ("a password", PASSWORD),
        ("a mistyped password", "not my pass phrase"),
        ("a form's token", csrf.as_str()),
        ("a set-up link", link.as_str()),
    ];
    assert_nowhere(&scene, &secrets).await;
    told.push(log_in_again);
    for answer in &told {
        // A form holds its own token; that is what it is for.
        let own = |name: &str| name == "a form's token" && answer.body.contains("<form");
        for (name, secret) in secrets.iter().filter(|(name, _)| !own(name)) {
            assert!(!holds(answer.body.as_bytes(), secret), "{name}: {} {}", answer.status, answer.body);
        }
    }
    let logged = lines.stop();
    let text = String::from_utf8_lossy(&logged);
    assert!(text.matches("request_id").count() > told.len(), "every request is logged: {text}");
    for (name, secret) in &secrets {
        assert!(!holds(&logged, secret), "a log line holds {name}");
    }
    assert!(!text.contains("a-state-of-theirs"), "a log line holds a query");
}

#[tokio::test]
async fn p12_a_secret_is_shown_once_and_no_list_shows_it_again() {
    let scene = Scene::start().await;
    let message = scene.site.newest_message(scene.cleo).await;
    let mut cleo = scene.browser_of(scene.cleo).await;
    let letter = format!("/inbox/{message}");
    let revealed = cleo.submit(&letter, &format!("{letter}/reveal"), &[]).await;
    let token = revealed.body.split("<pre id=\"token\">").nth(1).and_then(|rest| rest.split('<').next());
    let token = token.expect("a token").to_owned();
    assert_eq!(revealed.header("cache-control"), "no-store");
    let again = cleo.submit("/settings/apps", &format!("{letter}/reveal"), &[]).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    let application = format!("/settings/apps/{}", scene.application);
    for path in [
        "/inbox",
        &letter,
        "/settings/apps",
        "/settings/authorizations",
        &application,
        "/api/v1/tokens",
        "/api/v1/notifications",
        "/api/v1/messages",
        "/api/v1/applications",
    ] {
        let answer = cleo.get(path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert!(!answer.body.contains(&token), "{path}");
    }
    assert!(!again.body.contains(&token));
}

/// How well a page compresses would tell what stands in it to whoever can put a guess beside it.
#[tokio::test]
async fn p12_no_page_that_shows_a_secret_is_compressed() {
    let scene = Scene::start().await;
    let mut cleo = scene.browser_of(scene.cleo).await;
    for path in ["/", "/settings/apps", "/api", "/style.css", "/site.js"] {
        let page = cleo.get_compressed(path).await;
        assert_eq!((page.status, page.header("content-encoding")), (StatusCode::OK, "gzip"), "{path}");
        assert!(page.header("vary").contains("accept-encoding"), "{path}: {}", page.header("vary"));
        let as_it_is = cleo.get(path).await;
        assert_eq!(as_it_is.header("content-encoding"), "", "{path}");
        assert!(page.bytes < as_it_is.bytes / 2, "{path}: {} of {} bytes", page.bytes, as_it_is.bytes);
    }

    let reveal = format!("/inbox/{}/reveal", scene.site.newest_message(scene.cleo).await);
    let token = scene.site.app.my_tokens(scene.cleo).await.expect("tokens")[0].row.token_id;
    for path in [reveal, format!("/settings/tokens/{token}/regenerate")] {
        let form = format!("csrf_token={}", cleo.get("/settings").await.hidden("csrf_token"));
        let page = cleo.send(form_post(&path, &form, &[("accept-encoding", "gzip")])).await;
        assert_eq!((page.status, page.header("content-encoding")), (StatusCode::OK, ""), "{path}");
        assert!(page.body.contains("<pre id=\"token\">"), "{path}: {}", page.body);
    }
    // Texts of strangers stand beside private ones.
    let inbox = cleo.get_compressed("/inbox").await;
    assert_eq!((inbox.status, inbox.header("content-encoding")), (StatusCode::OK, ""));
    let link = scene.site.app.set_up_link().await.expect("a link").expect("no administrator yet");
    let (_, link) = link.split_once("/setup").expect("a path");
    let set_up = scene.stranger().get_compressed(&format!("/setup{link}")).await;
    assert_eq!((set_up.status, set_up.header("content-encoding")), (StatusCode::OK, ""));
    assert!(set_up.body.contains("name=\"token\""), "{}", set_up.body);
}

#[tokio::test]
async fn tokens_are_stored_as_digests_only_before_and_after_the_reveal_and_over_a_restart() {
    let scene = Scene::start().await;
    let owners = scene.owners_token().await;
    let consented = scene.consented(scene.ben, &scene.client, None).await;
    assert_nowhere(&scene, &[("the owner's token", &owners), ("the consented token", &consented)]).await;
    let Scene { site, cleo, ben, rob, application, client } = scene;
    let scene = Scene { site: site.restart().await, cleo, ben, rob, application, client };
    scene.site.app.check_token(&owners).expect("it works on");
    scene.site.app.check_token(&consented).expect("it works on");
    assert_nowhere(&scene, &[("the owner's token", &owners), ("the consented token", &consented)]).await;
}
