//! What the configuration accepts, which layer wins, and what it says about mistakes.

use std::path::Path;

use clap::Parser as _;

use super::*;

#[derive(clap::Parser)]
struct Command {
    #[command(flatten)]
    flags: Flags,
}

fn flags(arguments: &[&str]) -> Flags {
    Command::try_parse_from(["countersign"].iter().chain(arguments)).unwrap().flags
}

fn load(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Config, String> {
    let variables = variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
    Config::load(&flags(arguments), variables).map_err(|error| error.to_string())
}

/// Loads a file; its directory is cut off from messages.
fn load_file(text: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Result<Config, String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("countersign.toml");
    std::fs::write(&path, text).unwrap();
    let arguments: Vec<&str> = arguments.iter().copied().chain(["--config", path.to_str().unwrap()]).collect();
    load(&arguments, variables).map_err(|error| error.replace(&format!("{}/", directory.path().display()), ""))
}

fn row(config: &Config, key: &str) -> (String, &'static str) {
    let row = config.rows().into_iter().find(|row| row.key == key).unwrap();
    (row.value, row.source)
}

#[test]
fn without_anything_given_every_default_is_valid() {
    let config = load(&[], &[]).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.data_dir, Path::new("./countersign-data"));
    assert_eq!(config.url("/login"), "http://127.0.0.1:8080/login");
    assert_eq!((config.site_name.as_str(), config.token_prefix.as_str()), ("Countersign", "cs"));
    assert_eq!((config.simple_flow, config.insecure_http), (true, false));
    assert_eq!((config.token_lifetime_days, config.held_secret_days), (Some(365), 7));
    assert!(config.trusted_proxies.is_empty());
    assert_eq!((config.log_format, config.log.as_str()), (LogFormat::Text, "info"));
    assert_eq!((config.limits_login_per_minute.get(), config.limits_api_per_minute.get()), (10, 600));
    assert!(config.rows().iter().all(|row| row.source == "default"));
    assert_eq!(config.rows().len(), KEYS.len() + 1);
}

#[test]
fn a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default() {
    let file = "site_name = 'file'\n[limits]\nlogin_per_minute = 1\nsignup_per_hour = 1\napi_per_minute = 1\n";
    let environment = [("COUNTERSIGN_LIMITS_SIGNUP_PER_HOUR", "2"), ("COUNTERSIGN_LIMITS_API_PER_MINUTE", "2")];
    let config = load_file(file, &["--limits-api-per-minute", "3"], &environment).unwrap();
    assert_eq!(row(&config, "site_name"), ("file".to_owned(), "file"));
    assert_eq!(row(&config, "limits.login_per_minute"), ("1".to_owned(), "file"));
    assert_eq!(row(&config, "limits.signup_per_hour"), ("2".to_owned(), "environment"));
    assert_eq!(row(&config, "limits.api_per_minute"), ("3".to_owned(), "flag"));
    assert_eq!(row(&config, "limits.open_requests"), ("3".to_owned(), "default"));
}

#[test]
fn every_key_can_be_written_in_every_layer_as_config_show_prints_it() {
    for shown in load(&[], &[]).unwrap().rows() {
        let key = shown.key.replace('.', "_");
        // What is empty unless it is given has no way to be written but to be left out.
        if key == ROOT_KEY || shown.value.is_empty() {
            continue;
        }
        let flag = format!("--{}={}", key.replace('_', "-"), shown.value);
        assert_eq!(row(&load(&[&flag], &[]).unwrap(), &shown.key), (shown.value.clone(), "flag"));
        let variable = layers::variable(&key);
        let config = load(&[], &[(&variable, &shown.value)]).unwrap();
        assert_eq!(row(&config, &shown.key), (shown.value.clone(), "environment"));
        let is_bare = shown.value.parse::<u32>().is_ok() || shown.value.parse::<bool>().is_ok();
        let value = if is_bare { shown.value.clone() } else { format!("'{}'", shown.value) };
        let config = load_file(&format!("{} = {value}", shown.key), &[], &[]).unwrap();
        assert_eq!(row(&config, &shown.key), (shown.value, "file"));
    }
}

#[test]
fn an_empty_setting_is_refused_by_name_in_every_layer() {
    const EMPTY: &str = "is empty: give it a value, or remove it where the default is meant";
    let refused = |found: Result<Config, String>, place: &str| {
        assert_eq!(found.expect_err(place), format!("{place} {EMPTY}"));
    };
    for key in KEYS {
        let (flag, variable, in_file) =
            (format!("--{}", key.replace('_', "-")), layers::variable(key), layers::file_key(key));
        for nothing in ["", "  "] {
            refused(load(&[&format!("{flag}={nothing}")], &[]), &flag);
            refused(load(&[], &[(&variable, nothing)]), &variable);
            refused(
                load_file(&format!("{in_file} = '{nothing}'"), &[], &[]),
                &format!("countersign.toml line 1: `{in_file}`"),
            );
        }
    }
    refused(load(&[], &[("COUNTERSIGN_ROOT_KEY", "")]), "COUNTERSIGN_ROOT_KEY");
    refused(load(&[], &[("COUNTERSIGN_CONFIG", "")]), "COUNTERSIGN_CONFIG");
    // Whoever gives a value in a higher layer has still left a hole in a lower one.
    refused(load(&["--site-name=Mine"], &[("COUNTERSIGN_SITE_NAME", "")]), "COUNTERSIGN_SITE_NAME");
}

#[test]
fn a_named_file_must_exist() {
    let error = load(&[], &[("COUNTERSIGN_CONFIG", "/nowhere/site.toml")]).unwrap_err();
    assert!(error.starts_with("cannot read the configuration file /nowhere/site.toml: "), "{error}");
}

#[test]
fn the_flag_names_the_file_when_the_environment_names_another() {
    let config = load_file("site_name = 'mine'", &[], &[("COUNTERSIGN_CONFIG", "/nowhere/site.toml")]).unwrap();
    assert_eq!(config.site_name, "mine");
}

#[test]
fn mistakes_in_the_file_name_line_key_and_what_is_expected() {
    let cases = [
        ("\n\nlisen = '[::]:80'", "countersign.toml line 3: unknown key `lisen`; did you mean `listen`?"),
        (
            "[limits]\nlogin_per_minit = 3",
            "countersign.toml line 2: unknown key `limits.login_per_minit`; did you mean `limits.login_per_minute`?",
        ),
        (
            "login_per_minute = 3",
            "countersign.toml line 1: unknown key `login_per_minute`; did you mean `limits.login_per_minute`?",
        ),
        (
            "limits_login_per_minute = 3",
            "countersign.toml line 1: unknown key `limits_login_per_minute`; did you mean `limits.login_per_minute`?",
        ),
        ("banana = 3", "countersign.toml line 1: unknown key `banana`; `countersign serve --help` names every setting"),
        ("limits = 3", "countersign.toml line 1: `limits` must be a table, not 3"),
        ("# a\nsimple_flow = 'yes'", "countersign.toml line 2: `simple_flow` must be true or false, not \"yes\""),
        (
            "held_secret_days = 0",
            "countersign.toml line 1: `held_secret_days` must be a whole number from 1 to 1000000, not 0",
        ),
        (
            "token_lifetime_days = 'forever'",
            "countersign.toml line 1: `token_lifetime_days` must be a whole number from 1 to 1000000, or \"unlimited\", \
             not \"forever\"",
        ),
        (
            "listen = 8080",
            "countersign.toml line 1: `listen` must be an IP address and port such as 127.0.0.1:8080, not 8080",
        ),
        (
            "metrics_token = 4815162342",
            "countersign.toml line 1: `metrics_token` must be a string, not what stands there",
        ),
        ("site_name = 1.5", "countersign.toml line 1: `site_name` must be a string, not a value of type float"),
        (
            "root_key = 'x'",
            "countersign.toml line 1: `root_key` is never read from a file: set COUNTERSIGN_ROOT_KEY instead",
        ),
    ];
    for (text, message) in cases {
        assert_eq!(load_file(text, &[], &[]).unwrap_err(), message);
    }
    let syntax = load_file("listen = '[::]:80'\nsite_name =\n", &[], &[]).unwrap_err();
    assert!(syntax.starts_with("countersign.toml line 2: "), "{syntax}");
}

#[test]
fn mistakes_in_the_environment_and_in_flags_name_the_variable_and_the_flag() {
    let error = |variable| load(&[], &[variable]).unwrap_err();
    assert_eq!(
        error(("COUNTERSIGN_LISTN", "x")),
        "unknown environment variable COUNTERSIGN_LISTN; did you mean COUNTERSIGN_LISTEN?"
    );
    assert_eq!(
        error(("COUNTERSIGN_BANANA", "x")),
        "unknown environment variable COUNTERSIGN_BANANA; `countersign serve --help` names every setting"
    );
    assert_eq!(
        error(("COUNTERSIGN_VAULT_URL", "postgres://site@vault.example/vault")),
        "COUNTERSIGN_VAULT_URL is for a site whose log lies in a database: name that with `database_url`"
    );
    assert_eq!(error(("COUNTERSIGN_SIMPLE_FLOW", "1")), "COUNTERSIGN_SIMPLE_FLOW must be true or false, not `1`");
    assert_eq!(load(&["--log-format", "xml"], &[]).unwrap_err(), "--log-format must be text or json, not `xml`");
    assert_eq!(
        load(&["--token-prefix", "Shop"], &[]).unwrap_err(),
        "--token-prefix must have 2 to 8 lower-case letters from a to z"
    );
    assert_eq!(error(("COUNTERSIGN_REBUILD_MEMORY_MIB", "63")), "COUNTERSIGN_REBUILD_MEMORY_MIB must be 64 at least");
}

#[test]
fn variables_of_the_tests_and_of_other_programs_are_not_looked_at() {
    load(&[], &[("COUNTERSIGN_TEST_ALL", "1"), ("COUNTERSIGNED", "1"), ("PATH", "/bin")]).unwrap();
}

#[test]
fn proxies_are_addresses_and_networks() {
    let shown = |config: &Config| row(config, "trusted_proxies").0;
    let from_flag = load(&["--trusted-proxies", "10.0.0.0/8, ::1"], &[]).unwrap();
    assert_eq!(shown(&from_flag), "10.0.0.0/8,::1/128");
    let from_file = load_file("trusted_proxies = ['10.0.0.0/8', '::1']", &[], &[]).unwrap();
    assert_eq!(from_file.trusted_proxies, from_flag.trusted_proxies);
    assert!(load(&["--trusted-proxies", "proxy.example"], &[]).is_err());
}

#[test]
fn tokens_may_live_without_limit() {
    let from_file = load_file("token_lifetime_days = 'unlimited'", &[], &[]).unwrap();
    assert_eq!(from_file.token_lifetime_days, None);
    assert_eq!(row(&from_file, "token_lifetime_days"), ("unlimited".to_owned(), "file"));
}

#[test]
fn the_bare_flag_of_a_switch_means_true() {
    assert!(load(&["--insecure-http"], &[]).unwrap().insecure_http);
    assert!(!load(&["--simple-flow=false"], &[]).unwrap().simple_flow);
}

#[test]
fn the_public_url_may_have_a_path_and_loses_its_last_slash() {
    let config = load(&["--public-url", "https://site.example/dev/"], &[]).unwrap();
    assert!(config.is_https());
    assert_eq!(config.base_path(), "/dev");
    assert_eq!(config.public_url.as_str(), "https://site.example/dev");
    assert_eq!(config.url("/login"), "https://site.example/dev/login");
    let config = load(&["--public-url", "https://site.example:8443"], &[]).unwrap();
    assert_eq!(config.base_path(), "");
    assert_eq!(config.url("login"), "https://site.example:8443/login");
}

#[test]
fn the_public_url_follows_the_bound_address_unless_it_was_given() {
    let mut config = load(&["--listen", "[::1]:0"], &[]).unwrap();
    config.bound_to("[::1]:4711".parse().unwrap());
    assert_eq!(config.url("/"), "http://[::1]:4711/");
    let mut config = load(&["--public-url", "https://site.example"], &[]).unwrap();
    config.bound_to("127.0.0.1:4711".parse().unwrap());
    assert_eq!(config.url("/"), "https://site.example/");
}

#[test]
fn plain_http_away_from_loopback_needs_consent() {
    let error = load(&["--public-url", "http://site.example"], &[]).unwrap_err();
    assert!(error.starts_with("--public-url uses plain http away from loopback"), "{error}");
    assert!(error.contains("--insecure-http"), "{error}");
    assert!(load(&["--public-url", "http://127.0.0.1.evil.example"], &[]).is_err());
    assert!(load(&["--listen", "0.0.0.0:8080"], &[]).is_err());
    for allowed in ["http://localhost:8080", "http://127.3.2.1", "http://[::1]:80"] {
        load(&["--public-url", allowed], &[]).unwrap();
    }
    load(&["--public-url", "http://site.example", "--insecure-http"], &[]).unwrap();
}

#[test]
fn a_public_url_with_anything_but_host_and_plain_path_is_refused() {
    let urls = [
        "ftp://site.example",
        "https://site.example/?a=b",
        "https://site.example/#a",
        "https://ada@site.example",
        "https://site.example/a;b",
        "https://site.example/%7Bid%7D",
        "https://site.example/a//b",
        "mailto:ada@site.example",
    ];
    for url in urls {
        let error = load(&["--public-url", url], &[]).unwrap_err();
        assert!(error.starts_with("--public-url must "), "{url}: {error}");
    }
}

#[test]
fn a_site_has_a_name_of_one_to_fifty_characters() {
    load(&["--site-name", &"é".repeat(50)], &[]).unwrap();
    for name in ["", &"e".repeat(51), "a\u{7}b"] {
        assert!(load(&["--site-name", name], &[]).is_err(), "{name:?}");
    }
}

#[test]
fn the_root_key_comes_from_the_environment_and_is_never_printed() {
    let secret = "a5".repeat(32);
    let config = load(&[], &[("COUNTERSIGN_ROOT_KEY", &secret)]).unwrap();
    assert_eq!(config.root_key.as_ref().unwrap().expose(), secret);
    assert_eq!(row(&config, "root_key"), ("set".to_owned(), "environment"));
    assert!(!format!("{config:?} {:?}", config.rows()).contains(&secret));
    assert!(Command::try_parse_from(["countersign", "--root-key", "x"]).is_err());
}

#[test]
fn database_urls_are_read_with_the_settings_and_never_repeated() {
    let fine = ("COUNTERSIGN_DATABASE_URL", "postgres://ada@db1/site,postgres://ada@db2/site");
    let config = load(&["--vault-url", "postgres://ada@vault/site"], &[fine]).unwrap();
    assert_eq!(config.place_of("database_url"), "COUNTERSIGN_DATABASE_URL");
    assert_eq!((config.place_of("vault_url"), config.place_of("listen")), ("--vault-url".into(), "`listen`".into()));
    let bad = "postgres://ada:s3cret@db1/site,mysql://ada:s3cret@db2/site";
    let by_file = |key| load_file(&format!("{key} = '{bad}'"), &[], &[fine][..usize::from(key != "database_url")]);
    for key in ["database_url", "vault_url", "migrate_database_url"] {
        let error = by_file(key).unwrap_err();
        let told =
            format!("countersign.toml line 1: `{key}` must be a URL such as postgres://user@host/name, or several");
        assert!(error.starts_with(&told) && error.contains("the 2. of them"), "{error}");
        assert!(!error.contains("s3cret"), "{error}");
    }
    let error = load(&[], &[("COUNTERSIGN_VAULT_URL", "postgres://db1/site")]).unwrap_err();
    assert!(error.starts_with("COUNTERSIGN_VAULT_URL is for a site whose log lies in a database"), "{error}");
    for secret in ["database_url = ['s3cret']", "metrics_token = [\"s3cret\"]"] {
        let error = load_file(secret, &[], &[]).unwrap_err();
        assert!(error.ends_with("must be a string, not what stands there"), "{error}");
    }
}

#[test]
fn help_names_the_variable_and_the_default_of_every_flag() {
    use clap::CommandFactory as _;
    let help = Command::command().term_width(0).render_long_help().to_string();
    for key in KEYS {
        assert!(help.contains(&format!("[env: {}]", layers::variable(key))), "{key}");
    }
    assert!(help.contains("[env: COUNTERSIGN_LIMITS_API_PER_MINUTE] [default: 600]"), "{help}");
}

#[test]
fn what_an_orchestrator_sets_for_a_service_of_this_name_is_passed_over_and_a_mistake_is_not() {
    for (name, value) in [
        ("COUNTERSIGN_SERVICE_HOST", "10.96.0.12"),
        ("COUNTERSIGN_SERVICE_PORT", "8080"),
        ("COUNTERSIGN_SERVICE_PORT_HTTP", "8080"),
        ("COUNTERSIGN_PORT", "tcp://10.96.0.12:8080"),
        ("COUNTERSIGN_PORT_8080_TCP", "tcp://10.96.0.12:8080"),
        ("COUNTERSIGN_PORT_8080_TCP_PROTO", "tcp"),
        ("COUNTERSIGN_PORT_8080_TCP_PORT", "8080"),
        ("COUNTERSIGN_PORT_8080_TCP_ADDR", "10.96.0.12"),
        ("COUNTERSIGN_PORT_53_UDP_ADDR", "10.96.0.12"),
        ("COUNTERSIGN_VAULT_SERVICE_HOST", "10.96.0.13"),
        ("COUNTERSIGN_VAULT_PORT", "tcp://10.96.0.13:5432"),
        ("COUNTERSIGN_VAULT_PORT_5432_TCP_ADDR", "10.96.0.13"),
    ] {
        let config = load(&[], &[(name, value)]).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(config.passed_over, [name]);
    }
    for (name, value) in [
        ("COUNTERSIGN_PORT", "8080"),
        ("COUNTERSIGN_HOST", "127.0.0.1"),
        ("COUNTERSIGN_PORT_HTTP_TCP", "x"),
        ("COUNTERSIGN_SERVICE", "x"),
        ("COUNTERSIGN_MYSERVICE_HOST", "x"),
        ("COUNTERSIGN_LISTENS", "127.0.0.1:80"),
    ] {
        let told = load(&[], &[(name, value)]).map(drop).expect_err(name);
        assert!(told.contains(name), "{told}");
    }
}

#[test]
fn a_secret_can_lie_in_a_file_that_a_variable_names() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let token = file("token", "a-token-for-prometheus\n");
    let config = load(&[], &[("COUNTERSIGN_METRICS_TOKEN_FILE", &token)]).unwrap();
    assert_eq!(config.metrics_token.unwrap().expose(), "a-token-for-prometheus");
    let key = file("key", &format!("{}\r\n", "5c".repeat(32)));
    let config = load(&[], &[("COUNTERSIGN_ROOT_KEY_FILE", &key)]).unwrap();
    assert_eq!(config.root_key.unwrap().expose(), "5c".repeat(32));
    let missing = load(&[], &[("COUNTERSIGN_ROOT_KEY_FILE", "/nowhere/key")]).map(drop).unwrap_err();
    assert!(missing.contains("COUNTERSIGN_ROOT_KEY_FILE names the file /nowhere/key"), "{missing}");
    let empty = file("empty", "\n");
    let told = load(&[], &[("COUNTERSIGN_METRICS_TOKEN_FILE", &empty)]).map(drop).unwrap_err();
    assert!(told.contains("is empty"), "{told}");
    for order in [
        ["COUNTERSIGN_METRICS_TOKEN", "COUNTERSIGN_METRICS_TOKEN_FILE"],
        ["COUNTERSIGN_METRICS_TOKEN_FILE", "COUNTERSIGN_METRICS_TOKEN"],
    ] {
        let both =
            order.map(|name| (name, if name.ends_with("FILE") { token.as_str() } else { "another-token-that-fits" }));
        let told = load(&[], &both).map(drop).unwrap_err();
        assert!(told.contains("are both set"), "{told}");
    }
}
