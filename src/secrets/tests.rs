//! What opens, what does not, and how the root key's file is guarded.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::*;

const RANDOM: [u8; 32] = [7; 32];
const OTHER: [u8; 32] = [8; 32];

fn given_directory() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    (directory, data)
}

fn given_key_file(data: &Path, text: &str, mode: u32) -> PathBuf {
    let path = RootKey::file_of(data).unwrap();
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    path
}

fn is_same(a: &RootKey, b: &RootKey) -> bool {
    a.derive(context::CSRF).as_bytes() == b.derive(context::CSRF).as_bytes()
}

fn given_root_key(random: [u8; 32]) -> RootKey {
    RootKey::load_or_create(&given_directory().1, false, None, random).unwrap()
}

#[test]
fn the_first_start_makes_a_key_file_beside_the_data_directory_for_its_owner_only() {
    let (directory, data) = given_directory();
    let made = RootKey::load_or_create(&data, false, None, RANDOM).unwrap();
    let path = directory.path().join("data.key");
    let site = made.site().expect("a new key is a site's");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{}\nsite {site}\n", "07".repeat(32)));
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let loaded = RootKey::load_or_create(&data, true, None, OTHER).unwrap();
    assert!(is_same(&made, &loaded));
    assert_eq!(loaded.site(), Some(site));
}

#[test]
fn a_key_of_one_line_is_good_and_says_of_no_site_that_it_is_its() {
    let (_directory, data) = given_directory();
    given_key_file(&data, &"07".repeat(32), 0o600);
    assert_eq!(RootKey::load_or_create(&data, true, None, OTHER).unwrap().site(), None);
    for second in ["x", "site", "site 1", "site 0198c0de-0000-7000-8000-000000000000\nmore"] {
        given_key_file(&data, &format!("{}\n{second}\n", "07".repeat(32)), 0o600);
        assert!(matches!(RootKey::load_or_create(&data, true, None, OTHER), Err(RootKeyError::MalformedFile(_))));
    }
}

#[test]
fn a_missing_key_beside_data_is_said_and_not_replaced() {
    let (_directory, data) = given_directory();
    let error = RootKey::load_or_create(&data, true, None, RANDOM).unwrap_err().to_string();
    let path = RootKey::file_of(&data).unwrap();
    assert!(error.contains("missing") && error.contains(path.to_str().unwrap()), "{error}");
    assert!(!path.exists());
}

#[test]
fn a_key_file_open_to_others_is_refused() {
    let (_directory, data) = given_directory();
    for mode in [0o640, 0o604, 0o620] {
        let path = given_key_file(&data, &"07".repeat(32), mode);
        let error = RootKey::load_or_create(&data, true, None, RANDOM).unwrap_err().to_string();
        assert!(error.contains(&format!("chmod 600 {}", path.display())), "{error}");
    }
}

#[test]
fn a_malformed_key_file_is_refused_and_left_alone() {
    let (_directory, data) = given_directory();
    for text in ["", "07", &"07".repeat(33), "\u{e9}", &"zz".repeat(32), &"0".repeat(10_000)] {
        let path = given_key_file(&data, text, 0o600);
        let error = RootKey::load_or_create(&data, false, None, RANDOM).unwrap_err();
        assert!(matches!(error, RootKeyError::MalformedFile(_)), "{error}");
        assert_eq!(std::fs::read_to_string(path).unwrap(), text);
    }
}

#[test]
fn a_key_from_the_environment_is_hex_or_base64_and_leaves_no_file() {
    let (_directory, data) = given_directory();
    let bytes = [0xfb; 32];
    let texts = [
        data_encoding::HEXLOWER.encode(&bytes),
        data_encoding::HEXUPPER.encode(&bytes),
        data_encoding::BASE64.encode(&bytes),
        data_encoding::BASE64URL_NOPAD.encode(&bytes),
    ];
    for text in texts {
        let key = RootKey::load_or_create(&data, true, Some(&text), RANDOM).unwrap();
        assert!(is_same(&key, &given_root_key(bytes)), "{text}");
    }
    for text in ["", "secret", &"0".repeat(63)] {
        let error = RootKey::load_or_create(&data, false, Some(text), RANDOM).unwrap_err();
        assert!(matches!(error, RootKeyError::MalformedVariable));
    }
    assert!(!RootKey::file_of(&data).unwrap().exists());
}

#[test]
fn the_key_file_has_a_name_however_the_directory_is_written() {
    assert_eq!(RootKey::file_of(Path::new("./site-data/")).unwrap(), Path::new("./site-data.key"));
    let here = std::env::current_dir().unwrap();
    assert_eq!(RootKey::file_of(Path::new(".")).unwrap(), PathBuf::from(format!("{}.key", here.display())));
    assert!(matches!(RootKey::file_of(Path::new("/")), Err(RootKeyError::Nameless(_))));
}

#[test]
fn each_purpose_has_a_key_of_its_own() {
    let root = given_root_key(RANDOM);
    let contexts = [
        context::CSRF,
        context::HELD_SECRET,
        context::OUTCOME,
        context::USERNAME_DIGEST,
        context::DATA_KEY_WRAP,
        context::NONCE,
        context::SETUP_LINK,
    ];
    let keys: std::collections::BTreeSet<[u8; 32]> = contexts.iter().map(|c| *root.derive(c).as_bytes()).collect();
    assert_eq!(keys.len(), contexts.len());
    assert!(!keys.contains(&RANDOM));
}

#[test]
fn derived_keys_and_digests_stay_what_they_are() {
    // Stored digests and sealed values depend on these bytes.
    let key = given_root_key(RANDOM).derive(context::USERNAME_DIGEST);
    assert_eq!(*key.as_bytes(), blake3::derive_key("countersign username digest v1", &RANDOM));
    let message = [&3_u64.to_le_bytes()[..], b"ada", &0_u64.to_le_bytes()[..]].concat();
    assert_eq!(key.mac(&[b"ada", b""]), *blake3::keyed_hash(key.as_bytes(), &message).as_bytes());
}

#[test]
fn sealed_values_open_with_their_key_in_their_place() {
    let key = SubKey::from_bytes(RANDOM);
    let sealed = key.seal([1; 24], b"message 1", b"the token");
    assert_eq!(sealed.len(), 24 + 9 + 16);
    assert_eq!(key.open(b"message 1", &sealed).unwrap().as_slice(), b"the token");
    assert!(key.open(b"message 2", &sealed).is_none());
    assert!(SubKey::from_bytes(OTHER).open(b"message 1", &sealed).is_none());
}

#[test]
fn a_changed_or_shortened_sealed_value_does_not_open() {
    let key = SubKey::from_bytes(RANDOM);
    let sealed = key.seal([1; 24], b"", b"the token");
    for index in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[index] ^= 1;
        assert!(key.open(b"", &changed).is_none(), "byte {index}");
        assert!(key.open(b"", &sealed[..index]).is_none(), "cut at {index}");
    }
}

#[test]
fn the_boundaries_between_parts_count_in_a_digest() {
    let key = SubKey::from_bytes(RANDOM);
    assert_ne!(key.mac(&[b"ab", b"c"]), key.mac(&[b"a", b"bc"]));
    assert_ne!(key.mac(&[b"abc"]), key.mac(&[b"abc", b""]));
}

#[test]
fn keys_are_not_printed() {
    let root = given_root_key([0xa5; 32]);
    assert_eq!(format!("{root:?} {:?}", root.derive(context::CSRF)), "RootKey(..) SubKey(..)");
}

#[test]
fn a_password_fits_its_verifier_and_no_other_does() {
    let verifier = hash_password("correct horse", [3; 16], Cost::FULL);
    assert!(verifier.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{verifier}");
    assert!(verify_password("correct horse", &verifier));
    assert!(!verify_password("correct  horse", &verifier));
    assert_ne!(verifier, hash_password("correct horse", [4; 16], Cost::FULL));
    assert!(!verify_password("correct horse", "not a verifier"));
}

#[test]
fn a_password_fits_however_the_keyboard_composes_its_letters() {
    assert!(verify_password("caf\u{e9}", &hash_password("cafe\u{301}", [3; 16], Cost::FULL)));
}

#[test]
fn p8_an_unknown_user_costs_what_a_wrong_password_costs() {
    let verifier = hash_password("right", [3; 16], Cost::FULL);
    let parameters = |verifier: &str| verifier.rsplitn(3, '$').last().map(ToOwned::to_owned);
    assert_eq!(parameters(&verifier), parameters(UNKNOWN_USER_VERIFIER));
    let lengths = |verifier: &str| verifier.split('$').map(str::len).collect::<Vec<_>>();
    assert_eq!(lengths(&verifier), lengths(UNKNOWN_USER_VERIFIER));
    let fastest = |verifier: Option<&str>| {
        let runs = (0..5).map(|_| {
            #[expect(clippy::disallowed_methods, reason = "the test measures real time")]
            let start = Instant::now();
            assert!(!verify_password_of("wrong", verifier));
            start.elapsed()
        });
        runs.min().unwrap()
    };
    // The parameters above make the work equal; this proves that it is done at all. Skipping it would be a thousand
    // times faster, and a busy machine is never twenty times slower in five runs of five.
    assert!(fastest(None) * 20 > fastest(Some(&verifier)));
}

#[tokio::test]
async fn the_pool_gives_the_answers_of_the_plain_functions() {
    let pool = PasswordPool::new(Cost::FULL);
    let verifier = pool.hash("right".to_owned().into(), [3; 16]).await;
    assert!(pool.verify("right".to_owned().into(), Some(verifier.clone())).await);
    assert!(!pool.verify("wrong".to_owned().into(), Some(verifier)).await);
    assert!(!pool.verify("right".to_owned().into(), None).await);
}

#[tokio::test]
async fn the_pool_works_on_two_passwords_at_once_and_never_three() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static RUNNING: AtomicUsize = AtomicUsize::new(0);
    let pool = PasswordPool::new(Cost::FULL);
    let meeting = std::sync::Arc::new(std::sync::Barrier::new(2));
    let tasks: Vec<_> = (0..6)
        .map(|_| {
            let (pool, meeting) = (pool.clone(), meeting.clone());
            tokio::spawn(async move {
                pool.run(move || {
                    let running = RUNNING.fetch_add(1, Ordering::SeqCst) + 1;
                    // Passes only when two work at the same time.
                    meeting.wait();
                    RUNNING.fetch_sub(1, Ordering::SeqCst);
                    running
                })
                .await
            })
        })
        .collect();
    for task in tasks {
        assert!(task.await.unwrap() <= 2);
    }
}
