//! Which redirect URIs are taken, which tricks of security-checks A3 and A4 are not, and how answers
//! are added.

use proptest::prelude::*;

use super::InvalidRedirectUri as Invalid;
use super::*;

fn web(text: &str) -> Result<RedirectUri, Invalid> {
    RedirectUri::parse(text, Purpose::Web)
}

fn native(text: &str) -> Result<RedirectUri, Invalid> {
    RedirectUri::parse(text, Purpose::Native)
}

fn registered(text: &str) -> RedirectUri {
    native(text).unwrap()
}

#[test]
fn https_with_a_host_is_taken_as_it_stands() {
    let fine = "
        https://good.example https://good.example/cb?a=1&b=%2F
        https://Good.Example:8443/Cb https://xn--bcher-kva.example/
        https://[2001:db8::1]/cb HTTPS://good.example/
        https://good.example/cb?mail=a@b
    ";
    for good in fine.split_whitespace() {
        assert_eq!(web(good).unwrap().as_str(), good);
        assert_eq!(native(good).unwrap().as_str(), good);
    }
}

#[test]
fn plain_http_is_only_for_this_machine() {
    for good in [
        "http://127.0.0.1/cb",
        "http://127.8.9.1:8000",
        "http://[::1]:1/cb",
        "http://localhost:3000/",
        "http://LOCALHOST/",
    ] {
        assert!(web(good).is_ok(), "{good}");
    }
    let elsewhere = "
        http://good.example/ http://localhost.evil.example/ http://127.0.0.1.evil.example/
        http://128.0.0.1/ http://127.1/ http://2130706433/
        http://0x7f.0.0.1/ http://0.0.0.0/ http://[::2]/
        http://[::ffff:127.0.0.1]/ http://localhost./
    ";
    for bad in elsewhere.split_whitespace() {
        assert_eq!(web(bad), Err(Invalid::InsecureHttp), "{bad}");
    }
}

#[test]
fn each_broken_rule_is_told_apart() {
    for (text, problem) in [
        ("", Invalid::Missing),
        ("https://good.example/#", Invalid::Fragment),
        ("https://good.example/cb#top", Invalid::Fragment),
        ("https://good@evil.example/", Invalid::UserInfo),
        ("https://user:pass@good.example/", Invalid::UserInfo),
        ("https://@good.example/", Invalid::UserInfo),
        ("http://attacker@127.0.0.1/", Invalid::UserInfo),
        ("https:\\\\good.example", Invalid::Backslash),
        ("https://good.example\\@evil.example", Invalid::Backslash),
        ("https://good.example/a b", Invalid::Whitespace),
        (" https://good.example/", Invalid::Whitespace),
        ("https://good.example/\r\nSet-Cookie:a=b", Invalid::Whitespace),
        ("https://good.example/\0", Invalid::Whitespace),
        ("java\tscript:alert(1)", Invalid::Whitespace),
        ("https://good.example/\u{a0}", Invalid::Whitespace),
        ("https://gооd.example/", Invalid::NotAscii),
        ("https://good.example/\u{202e}", Invalid::NotAscii),
        ("javascript:alert(1)", Invalid::ScriptScheme),
        ("JavaScript://good.example/%0aalert(1)", Invalid::ScriptScheme),
        ("data:text/html,hi", Invalid::ScriptScheme),
        ("file:///etc/passwd", Invalid::ScriptScheme),
        ("https://", Invalid::NoHost),
        ("https:good.example", Invalid::NoHost),
        ("https:/good.example", Invalid::NoHost),
        ("https:///good.example", Invalid::NoHost),
        ("https://:443/", Invalid::NoHost),
        ("https://?a", Invalid::NoHost),
        ("https://good.example:99999/", Invalid::Malformed),
        ("https://[::1/", Invalid::Malformed),
        ("https://%00/", Invalid::Malformed),
        ("good.example/cb", Invalid::Malformed),
        ("/cb", Invalid::Malformed),
        ("//good.example/cb", Invalid::Malformed),
        ("ftp://good.example/", Invalid::PrivateScheme),
        ("org.example.app:/cb", Invalid::PrivateScheme),
    ] {
        assert_eq!(web(text), Err(problem), "{text:?}");
    }
}

#[test]
fn a_host_that_reads_as_two_is_refused() {
    // RFC 9700 s4.1, WHATWG URL s4.4, Orange Tsai, "A New Era of SSRF" (2017), and what forgers of addresses try.
    let hosts = "
        good.example&evil.example good.example;evil.example good.example,evil.example good.example'evil.example
        good.example!evil.example good.example$evil.example good.example(evil.example) good.example*evil.example
        good.example+evil.example good.example=evil.example good.example~evil.example good.example_evil.example
        good.example`evil.example good.example{evil.example} good.example\"evil.example *.good.example
        %67ood.example good%2eexample good.example%2eevil.example g%6f%6Fd.example %31%32%37.0.0.1
        good.example. good.example.. .good.example good..example -good.example good-.example good.-example
        good.example&.evil.example good_site.example ev%E3%80%82il.example %E2%85%A0.example
        1.2.3 1.2.3.4. 16909060 0x1.2.3.4 01.02.03.04 0x01020304 127.1 2130706433 0300.0250.0.1
        [0:0:0:0:0:0:0:1] [2001:db8:0:0:0:0:0:1] [2001:0db8::1] [::ffff:192.0.2.1] [::192.0.2.1]
    ";
    let longest_label = format!("{}.example", "a".repeat(64));
    let longest_name = format!("{}example", "a.".repeat(130));
    let mut count = 0;
    for host in hosts.split_whitespace().chain([longest_label.as_str(), longest_name.as_str()]) {
        for scheme in ["https", "HTTPS"] {
            for rest in ["", "/", "/cb", ":8443/cb", "?a=1"] {
                let uri = format!("{scheme}://{host}{rest}");
                for purpose in [Purpose::Web, Purpose::Native] {
                    let refused = RedirectUri::parse(&uri, purpose).unwrap_err();
                    assert!(matches!(refused, Invalid::Host | Invalid::Malformed), "{uri}: {refused:?}");
                }
            }
        }
        count += 1;
    }
    assert!(count >= 45, "{count}");
    let soft_name = web("https://good.example&evil.example/").unwrap_err();
    assert_eq!(soft_name, Invalid::Host);
    let names = "
        good.example GOOD.example a b-c.example 1.example xn--bcher-kva.example a--b.example 192.0.2.1 [2001:db8::1]
        [2001:DB8::1] [::1] localhost 3com.example
    ";
    for host in names.split_whitespace() {
        assert!(web(&format!("https://{host}/cb")).is_ok(), "{host}");
    }
    let ports = ":/ :0/ :080/ :00443 :+443/ :-1/ :65536/ :443a :%34/ :443:443/ :٤";
    for port in ports.split_whitespace() {
        assert!(web(&format!("https://good.example{port}")).is_err(), "{port}");
        assert!(web(&format!("http://127.0.0.1{port}")).is_err(), "{port}");
    }
    assert_eq!(web("https://good.example:0443/"), Err(Invalid::Port));
    assert_eq!(web("https://good.example:/"), Err(Invalid::Port));
}

#[test]
fn a_query_has_none_of_the_parameters_with_which_the_site_answers() {
    for name in OWN_PARAMETERS {
        let (first, rest) = name.split_at(1);
        let encoded = format!("%{:02x}{rest}", first.as_bytes()[0]);
        for query in [
            format!("{name}=x"),
            name.to_owned(),
            format!("{name}="),
            format!("a=1&{name}=x"),
            format!("a=1;{name}=x"),
            format!("&&{name}=x&b=2"),
            format!("{name}=x&{name}=y"),
            format!("{encoded}=x"),
            format!("{}=x", name.to_uppercase()),
            format!("{}=x", name.replace('_', ".")),
            format!("{}=x", name.replace('_', "+")),
            format!("{name}[]=x"),
            format!("{name}%5B0%5D=x"),
            format!("+{name}+=x"),
            format!("{name}%00=x"),
            format!("%0a{name}=x"),
        ] {
            for uri in [format!("https://good.example/cb?{query}"), format!("org.example.app:/cb?{query}")] {
                assert_eq!(native(&uri), Err(Invalid::OwnParameter(name)), "{uri}");
            }
        }
        for query in [format!("my_{name}=x"), format!("a={name}"), format!("{name}2=x"), format!("a={name}%3Dx")] {
            assert!(web(&format!("https://good.example/cb?{query}")).is_ok(), "{query}");
        }
        assert!(web(&format!("https://good.example/{name}=x")).is_ok());
    }
}

#[test]
fn native_applications_may_have_a_private_scheme_with_a_dot() {
    for good in ["org.example.app:/cb", "org.example.app://cb/a?b=c", "org.example.app:///cb"] {
        assert_eq!(native(good).unwrap().as_str(), good);
    }
    assert_eq!(native("myapp:/cb"), Err(Invalid::SchemeWithoutDot));
    assert_eq!(native("localhost:3000/cb"), Err(Invalid::SchemeWithoutDot));
    assert_eq!(native("good.example:8443/cb"), Err(Invalid::SchemeWithoutPath));
    assert_eq!(native("org.example.app://user@cb"), Err(Invalid::UserInfo));
    assert_eq!(native("javascript:alert(1.0)"), Err(Invalid::ScriptScheme));
}

#[test]
fn a_uri_of_4096_characters_fits_and_one_more_does_not() {
    let longest = format!("https://good.example/{}", "a".repeat(4096 - 21));
    assert!(web(&longest).is_ok());
    assert_eq!(web(&format!("{longest}a")), Err(Invalid::TooLong));
    assert_eq!(RedirectUri::parse_list(&format!("{longest}a"), Purpose::Web), Err(Invalid::TooLong));
    let two = format!("https://a.example/{}\nhttps://b.example/", "a".repeat(4070));
    assert_eq!(RedirectUri::parse_list(&two, Purpose::Web), Err(Invalid::TooLong));
}

#[test]
fn a_list_has_one_uri_a_line_and_overlooks_blank_lines() {
    let uris = RedirectUri::parse_list("\n https://a.example/ \r\n\r\nhttps://b.example/\n", Purpose::Web);
    assert_eq!(uris, Ok(vec![registered("https://a.example/"), registered("https://b.example/")]));
}

#[test]
fn a_list_names_the_line_that_is_wrong() {
    let list = |text| RedirectUri::parse_list(text, Purpose::Web);
    let on_line = |line, problem| Err(Invalid::OnLine { line, problem: Box::new(problem) });
    assert_eq!(list("https://a.example/\n\nhttp://b.example/"), on_line(3, Invalid::InsecureHttp));
    assert_eq!(list("https://a.example/\nhttps://a.example/"), on_line(2, Invalid::Duplicate));
    assert_eq!(list("http://b.example/"), Err(Invalid::InsecureHttp));
    let shown = list("https://a.example/\nhttps://a.example/").unwrap_err().to_string();
    assert_eq!(shown, "Line 2: This redirect URI is there twice: remove one of the two.");
}

#[test]
fn a_list_has_one_to_ten_uris_and_none_for_personal_applications() {
    let lines = |count| {
        let lines: Vec<String> = (0..count).map(|n| format!("https://a.example/{n}")).collect();
        lines.join("\n")
    };
    for purpose in [Purpose::Web, Purpose::Native] {
        assert_eq!(RedirectUri::parse_list(" \n", purpose), Err(Invalid::Missing));
        assert_eq!(RedirectUri::parse_list(&lines(10), purpose).unwrap().len(), 10);
        assert_eq!(RedirectUri::parse_list(&lines(11), purpose), Err(Invalid::TooMany));
    }
    assert_eq!(RedirectUri::parse_list(" \n", Purpose::Personal), Ok(vec![]));
    let refused = Err(Invalid::PersonalTakesNone);
    assert_eq!(RedirectUri::parse_list(&lines(1), Purpose::Personal), refused);
    assert!(RedirectUri::parse("https://a.example/", Purpose::Personal).is_err());
}

#[test]
fn a3_no_trick_passes_for_the_registered_uri() {
    let uri = registered("https://good.example/cb?a=1");
    assert!(uri.matches("https://good.example/cb?a=1"));
    for (trick, sent) in [
        ("extra path", "https://good.example/cb/x?a=1"),
        ("extra query", "https://good.example/cb?a=1&b=2"),
        ("missing query", "https://good.example/cb"),
        ("fragment", "https://good.example/cb?a=1#x"),
        ("empty fragment", "https://good.example/cb?a=1#"),
        ("dot segments", "https://good.example/x/../cb?a=1"),
        ("encoded dot segments", "https://good.example/x/%2e%2e/cb?a=1"),
        ("encoded letter", "https://good.example/%63b?a=1"),
        ("case of the host", "https://GOOD.example/cb?a=1"),
        ("case of the path", "https://good.example/CB?a=1"),
        ("case of the scheme", "HTTPS://good.example/cb?a=1"),
        ("trailing dot of the host", "https://good.example./cb?a=1"),
        ("default port", "https://good.example:443/cb?a=1"),
        ("port change", "https://good.example:8443/cb?a=1"),
        ("userinfo", "https://good.example@evil.example/cb?a=1"),
        ("userinfo of the good host", "https://x@good.example/cb?a=1"),
        ("longer host", "https://good.example.evil.example/cb?a=1"),
        ("backslash", "https://good.example\\cb?a=1"),
        ("backslash and userinfo", "https://evil.example\\@good.example/cb?a=1"),
        ("line break", "https://good.example/cb?a=1\r\nSet-Cookie: x=y"),
        ("trailing line break", "https://good.example/cb?a=1\n"),
        ("leading space", " https://good.example/cb?a=1"),
        ("two values in one", "https://good.example/cb?a=1&redirect_uri=https://evil.example/"),
        ("plain http", "http://good.example/cb?a=1"),
        ("javascript", "javascript:alert(1)//https://good.example/cb?a=1"),
        ("data", "data:text/html,https://good.example/cb?a=1"),
        ("empty", ""),
    ] {
        assert!(!uri.matches(sent), "{trick}: {sent:?}");
    }
}

#[test]
fn a4_a_loopback_ip_may_come_back_on_any_port() {
    for (text, sent) in [
        ("http://127.0.0.1/cb", "http://127.0.0.1:49152/cb"),
        ("http://127.0.0.1:8000/cb", "http://127.0.0.1:1/cb"),
        ("http://127.0.0.1:8000/cb", "http://127.0.0.1/cb"),
        ("http://127.0.0.1/cb?a=1", "http://127.0.0.1:65535/cb?a=1"),
        ("http://[::1]/cb", "http://[::1]:49152/cb"),
        ("http://127.0.0.1", "http://127.0.0.1:80"),
    ] {
        assert!(registered(text).matches(sent), "{text} {sent}");
    }
}

#[test]
fn a4_nothing_but_the_port_of_a_loopback_ip_may_differ() {
    let tricks = r"
        http://localhost/cb http://localhost:8000/cb
        http://localhost/cb http://127.0.0.1/cb
        http://127.0.0.1/cb http://localhost/cb
        http://127.0.0.1/cb http://127.0.0.2:80/cb
        http://127.0.0.1/cb http://[::1]:80/cb
        http://127.0.0.1/cb https://127.0.0.1:80/cb
        http://127.0.0.1/cb http://attacker@127.0.0.1:80/cb
        http://127.0.0.1/cb http://127.0.0.1:80@evil.example/cb
        http://127.0.0.1/cb http://127.0.0.1:pass@evil.example/cb
        http://127.0.0.1/cb http://127.0.0.1.evil.example:80/cb
        http://127.0.0.1/cb http://127.0.0.1:80\@evil.example/cb
        http://127.0.0.1/cb http://127.0.0.1:80/cb#x
        http://127.0.0.1/cb http://127.0.0.1:80/cb/x
        http://127.0.0.1/cb http://127.0.0.1:80/cb?x
        http://127.0.0.1/cb http://127.0.0.1:80/x/../cb
        http://127.0.0.1/cb http://127.0.0.1:/cb
        http://127.0.0.1/cb http://127.0.0.1:0/cb
        http://127.0.0.1/cb http://127.0.0.1:080/cb
        http://127.0.0.1/cb http://127.0.0.1:+80/cb
        http://127.0.0.1/cb http://127.0.0.1:65536/cb
        http://127.0.0.1/cb http://127.1:80/cb
        http://[::1]/cb http://[0:0:0:0:0:0:0:1]:80/cb
        http://[::1]/cb http://[::1].evil.example/cb
        http://[::1]/cb http://[::1]evil:80/cb
        https://127.0.0.1/cb https://127.0.0.1:80/cb
    ";
    for line in tricks.trim().lines() {
        let (text, sent) = line.trim().split_once(' ').unwrap();
        assert!(!registered(text).matches(sent), "{text} {sent}");
    }
}

#[test]
fn the_host_is_shown_in_ascii_and_a_private_scheme_in_its_place() {
    assert_eq!(registered("https://Good.Example:8443/cb").host(), "good.example");
    assert_eq!(registered("http://[::1]:80/").host(), "[::1]");
    assert_eq!(registered("org.example.app://bank.example/cb").host(), "org.example.app");
    let before: RedirectUri = serde_json::from_str(r#""https://good.example&evil.example/?state=x""#).unwrap();
    assert!(before.matches("https://good.example&evil.example/?state=x"), "what was registered before goes on");
    let unjudged: RedirectUri = serde_json::from_str(r#""https://gооd.example/""#).unwrap();
    assert!(unjudged.host().starts_with("xn--"));
    let unreadable: RedirectUri = serde_json::from_str(r#""nonsense""#).unwrap();
    assert_eq!(unreadable.host(), "nonsense");
}

#[test]
fn a_uri_from_the_log_is_not_judged_again() {
    let old: RedirectUri = serde_json::from_str(r#""http://old.example/#a""#).unwrap();
    assert_eq!(old.as_str(), "http://old.example/#a");
    assert_eq!(serde_json::to_string(&old).unwrap(), r#""http://old.example/#a""#);
}

#[test]
fn a_purpose_is_one_word() {
    for purpose in [Purpose::Web, Purpose::Personal, Purpose::Native] {
        assert_eq!(purpose.to_string().parse(), Ok(purpose));
        assert_eq!(serde_json::to_string(&purpose).unwrap(), format!("\"{purpose}\""));
    }
    assert_eq!("Web".parse::<Purpose>(), Err(UnknownPurpose));
}

#[test]
fn parameters_are_added_behind_those_that_are_there() {
    let added = |uri| with_parameters(uri, &[("state", "a b&c=ü"), ("error", "access_denied")]);
    let new = "state=a+b%26c%3D%C3%BC&error=access_denied";
    assert_eq!(added("https://a.example"), format!("https://a.example?{new}"));
    assert_eq!(added("https://a.example/?"), format!("https://a.example/?{new}"));
    assert_eq!(added("https://a.example/?x=%2f&y"), format!("https://a.example/?x=%2f&y&{new}"));
    assert_eq!(added("https://a.example/?x&"), format!("https://a.example/?x&{new}"));
    assert_eq!(added("org.example.app:/cb"), format!("org.example.app:/cb?{new}"));
    assert_eq!(added("https://a.example/#f?"), format!("https://a.example/?{new}#f?"));
    assert_eq!(with_parameters("https://a.example/?x", &[]), "https://a.example/?x");
}

#[test]
fn a_line_break_in_a_state_cannot_break_the_header() {
    let text = with_parameters("https://a.example/", &[("state", "\r\nSet-Cookie: a=b")]);
    assert_eq!(text, "https://a.example/?state=%0D%0ASet-Cookie%3A+a%3Db");
}

#[test]
fn a11_a_state_of_4_kib_comes_back_byte_for_byte() {
    let state: String = (0..4096).map(|n| char::from(u8::try_from(n % 128).unwrap())).collect();
    let text = with_parameters("https://a.example/?own=1", &[("state", &state)]);
    let url = Url::parse(&text).unwrap();
    assert_eq!(url.query_pairs().nth(1).unwrap().1, state);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn own_parameters_stay_and_new_ones_decode_back(
        query in "[a-zA-Z0-9=%+._~&;/?]{0,40}",
        parameters in prop::collection::vec((any::<String>(), any::<String>()), 1..5),
    ) {
        let uri = format!("https://a.example/cb?{query}");
        let borrowed: Vec<(&str, &str)> = parameters.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let text = with_parameters(&uri, &borrowed);
        prop_assert!(text.is_ascii());
        let added = text.strip_prefix(&uri).unwrap();
        let decoded: Vec<(String, String)> =
            url::form_urlencoded::parse(added.trim_start_matches('&').as_bytes()).into_owned().collect();
        prop_assert_eq!(&decoded, &parameters);
        let all: Vec<(String, String)> =
            Url::parse(&text).unwrap().query_pairs().into_owned().collect();
        prop_assert!(all.ends_with(&parameters));
    }

    #[test]
    fn whatever_is_taken_is_safe_in_a_header_and_matches_itself(text in any::<String>(), tail in "[ -~]{0,30}") {
        for text in [text, format!("https://{tail}"), format!("http://127.0.0.1{tail}")] {
            if let Ok(uri) = native(&text) {
                prop_assert!(text.bytes().all(|byte| byte.is_ascii_graphic()));
                prop_assert!(uri.matches(&text));
                prop_assert!(!uri.host().is_empty());
                let url = Url::parse(&text).unwrap();
                prop_assert!(url.fragment().is_none() && url.username().is_empty() && url.password().is_none());
            }
        }
    }

    #[test]
    fn what_counts_as_a_loopback_uri_goes_to_this_machine(sent in "http://(127\\.0\\.0\\.1|\\[::1\\])[ -~]{0,12}") {
        for text in ["http://127.0.0.1/", "http://[::1]/"] {
            if registered(text).matches(&sent) {
                let (sent, text) = (Url::parse(&sent).unwrap(), Url::parse(text).unwrap());
                prop_assert_eq!(sent.host_str(), text.host_str());
            }
        }
    }
}
