//! What is taken from people, in which form, and what is refused with which code.

use proptest::prelude::*;

use super::*;

fn code<T>(result: Result<T, FieldError>) -> &'static str {
    result.err().map_or("ok", |error| error.code)
}

#[test]
fn a_name_is_one_line_in_its_normal_form() {
    assert_eq!(application_name("  My \t nice\n bot ").unwrap(), "My nice bot");
    assert_eq!(application_name("Cafe\u{301}").unwrap(), "Café");
    assert_eq!(application_name("<b>&amp;").unwrap(), "<b>&amp;");
    assert_eq!(application_name("猫 ❤\u{fe0f}").unwrap(), "猫 ❤\u{fe0f}");
}

#[test]
fn a_name_has_1_to_50_characters() {
    assert_eq!(code(application_name("")), "required");
    assert_eq!(code(application_name(" \n\u{a0}\u{3000}")), "required");
    assert!(application_name("a").is_ok());
    assert!(application_name(&"é".repeat(50)).is_ok());
    assert_eq!(code(application_name(&"é".repeat(51))), "too_long");
    assert!(application_name(&"e\u{301}".repeat(50)).is_ok());
}

#[test]
fn characters_that_nobody_sees_are_refused_in_names_and_titles() {
    for control in ['\0', '\u{7}', '\u{1b}', '\u{7f}', '\u{9b}'] {
        assert_eq!(code(application_name(&format!("a{control}b"))), "control_character");
        assert_eq!(code(post_title(&format!("{control}b"))), "control_character");
    }
    let invisible = "\u{202a}\u{202e}\u{2066}\u{2069}\u{200e}\u{200f}\u{61c}\u{200b}\u{200c}\u{200d}\
                     \u{2060}\u{feff}\u{ad}\u{3164}\u{e0041}";
    for c in invisible.chars() {
        assert_eq!(code(application_name(&format!("a{c}b"))), "invisible_character", "{c:?}");
        assert_eq!(code(post_title(&format!("a{c}"))), "invisible_character", "{c:?}");
    }
}

#[test]
fn messages_are_sentences_that_name_field_character_and_remedy() {
    let error = application_name("a\u{202e}b").unwrap_err();
    assert_eq!(error.field, "name");
    assert_eq!(
        error.to_string(),
        "The name contains the invisible character U+202E. Remove it, or type the text anew."
    );
    let error = reason("").unwrap_err();
    assert_eq!(
        serde_json::to_string(&error).unwrap(),
        r#"{"field":"reason","code":"required","message":"The reason is missing. Fill it in."}"#
    );
    assert_eq!(
        post_title(&"a".repeat(301)).unwrap_err().message,
        "The title is too long: it has 301 characters and 300 fit. Shorten it."
    );
}

#[test]
fn a_description_may_be_empty_and_have_lines() {
    assert_eq!(description("").unwrap(), "");
    assert_eq!(description(" a\r\nb \n").unwrap(), "a\nb");
    assert!(description(&"é".repeat(256)).is_ok());
    assert_eq!(code(description(&"a".repeat(257))), "too_long");
    assert_eq!(code(description("a\u{202e}b")), "invisible_character");
    assert_eq!(code(description("a\0")), "control_character");
}

#[test]
fn a_website_is_a_web_address_or_nothing() {
    assert_eq!(website(" \n").unwrap(), None);
    for good in ["https://good.example", "http://good.example:80/a?b=@#c", "HTTPS://good.example/%20"] {
        assert_eq!(website(&format!(" {good} ")).unwrap().as_deref(), Some(good));
    }
    for bad in [
        "good.example",
        "//good.example",
        "javascript:alert(1)",
        "javascript://good.example/%0aalert(1)",
        "data:text/html,x",
        "ftp://good.example/",
        "https://",
        "https:///good.example",
        "https:good.example",
        "https://user@good.example/",
        "https://a:b@good.example/",
        "https://@good.example/",
        "https://good.example\\@evil.example/",
        "https://good.example/a b",
        "https://?a",
        "https://:80/",
        "https://good.example:99999/",
    ] {
        assert_eq!(code(website(bad)), "malformed", "{bad}");
    }
    assert_eq!(code(website("https://good.example/\u{1b}")), "control_character");
    assert_eq!(code(website("https://good.example/\u{200b}")), "invisible_character");
    let long = format!("https://good.example/{}", "a".repeat(256 - 21));
    assert!(website(&long).is_ok());
    assert_eq!(code(website(&format!("{long}a"))), "too_long");
}

#[test]
fn an_address_with_look_alike_letters_shows_itself() {
    let shown = website("https://gооd.example/").unwrap().unwrap();
    assert!(shown.starts_with("https://xn--"), "{shown}");
    assert_eq!(post_url("https://a.example/ü").unwrap(), "https://a.example/%C3%BC");
}

#[test]
fn the_link_of_a_post_is_a_web_address_of_at_most_2048_characters() {
    assert_eq!(code(post_url(" ")), "required");
    let long = format!("https://good.example/{}", "a".repeat(2048 - 21));
    assert_eq!(post_url(&long).unwrap(), long);
    assert_eq!(code(post_url(&format!("{long}a"))), "too_long");
    let grows = format!("https://good.example/{}", "ü".repeat(400));
    assert_eq!(code(post_url(&grows)), "too_long");
}

#[test]
fn a_username_is_3_to_25_letters_digits_underscores_and_hyphens() {
    for good in ["ada", "Ada_Lovelace-1815", "1ab", &"a".repeat(25)] {
        assert_eq!(username(good).unwrap(), good);
    }
    for (bad, expected) in [
        ("", "required"),
        ("  ", "required"),
        ("ab", "too_short"),
        (&*"a".repeat(26), "too_long"),
        ("_ada", "malformed"),
        ("-ada", "malformed"),
        ("ada ", "malformed"),
        ("a da", "malformed"),
        ("adа", "malformed"),
        ("ada@home", "malformed"),
        ("ada\0", "control_character"),
        ("ada\n", "control_character"),
        ("ada\u{200b}", "invisible_character"),
    ] {
        assert_eq!(code(username(bad)), expected, "{bad:?}");
    }
}

#[test]
fn a_password_has_8_to_200_characters_of_any_script_and_no_control_characters() {
    assert_eq!(code(password("")), "required");
    assert_eq!(code(password("1234567")), "too_short");
    assert_eq!(password("  spaces ").unwrap().as_str(), "  spaces ");
    assert!(password("пароль猫🐈").is_ok());
    assert!(password(&"é".repeat(200)).is_ok());
    assert_eq!(code(password(&"a".repeat(201))), "too_long");
    assert_eq!(code(password("12345678\0")), "control_character");
    assert_eq!(code(password("12345678\n")), "control_character");
    assert_eq!(*password("cafe\u{301}cafe").unwrap(), *password("caf\u{e9}cafe").unwrap());
}

#[test]
fn the_error_of_a_password_does_not_repeat_it() {
    assert!(!password("hunter2").unwrap_err().message.contains("hunter2"));
}

#[test]
fn a_body_keeps_lines_tabs_and_indentation() {
    assert_eq!(body("body", "    code\r\n\tx\n\n", 100).unwrap(), "    code\n\tx");
    assert_eq!(body("body", "", 100).unwrap(), "");
    assert_eq!(body("body", "👩\u{200d}🔬", 100).unwrap(), "👩\u{200d}🔬");
    assert_eq!(code(body("body", "a\rb", 100)), "control_character");
    assert_eq!(code(body("body", "a\u{2067}b", 100)), "invisible_character");
    assert_eq!(code(body("body", "abcd", 3)), "too_long");
}

#[test]
fn a_text_that_cannot_be_left_out_must_have_something_to_see() {
    for nothing in ["", " \n\t", "\u{200b}\u{200d}", "\u{feff}"] {
        assert_eq!(code(required_body("body", nothing, 10)), "required", "{nothing:?}");
        assert_eq!(code(reason(nothing)), "required");
    }
    assert_eq!(reason(" spam\r\nagain ").unwrap(), "spam\nagain");
    assert!(reason(&"a".repeat(2_000)).is_ok());
    assert_eq!(code(reason(&"a".repeat(2_001))), "too_long");
}

#[test]
fn a_name_that_could_be_the_sites_own_is_found() {
    for name in [
        "Acme",
        "ACME",
        "Acme Official",
        "The Acme App",
        "A C M E",
        "a.c-m_e",
        "Αcme",
        "Аcmе",
        "АСМЕ",
        "Àcme",
        "acrne",
        "Ａｃｍｅ",
        "𝐀𝐜𝐦𝐞",
        "Macmeal",
    ] {
        assert!(looks_like(name, "Acme"), "{name}");
    }
    for name in ["", "Ac me!x"[..2].trim(), "Acne Help", "Reader", "Ace"] {
        assert!(!looks_like(name, "Acme"), "{name}");
    }
    for name in ["PaypaI", "Paypa1", "Paypa|", "PAYPAL", "Pаypаl support"] {
        assert!(looks_like(name, "Paypal"), "{name}");
    }
    assert!(looks_like("g00gle", "Google"));
    let refused = refuse_look_alike("name", "Acme Official", "Acme");
    assert_eq!(code(refused.clone()), "looks_like_site");
    assert!(refused.unwrap_err().message.contains("Choose one without \"Acme\""));
    assert!(refuse_look_alike("name", "Reader", "Acme").is_ok());
}

#[test]
fn a_site_with_a_very_short_name_does_not_claim_every_name() {
    assert!(looks_like("x", "X"));
    assert!(!looks_like("Explorer", "X"));
    assert!(!looks_like("Anything", ""));
    assert!(!looks_like("Anything", "!!!"));
    assert!(!looks_like("", ""));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_normal_form_is_its_own_normal_form(text in any::<String>(), tame in "[a-zé\u{301} \t\n]{0,60}") {
        for text in [text, tame] {
            if let Ok(normal) = application_name(&text) {
                prop_assert_eq!(application_name(&normal), Ok(normal.clone()));
            }
            if let Ok(normal) = description(&text) {
                prop_assert_eq!(description(&normal), Ok(normal.clone()));
            }
            if let Ok(normal) = body("body", &text, 100) {
                prop_assert_eq!(body("body", &normal, 100), Ok(normal.clone()));
            }
            if let Ok(Some(normal)) = website(&format!("https://{text}")) {
                prop_assert_eq!(website(&normal), Ok(Some(normal.clone())));
            }
        }
    }

    #[test]
    fn a_name_with_the_sites_name_in_it_is_always_found(before in "[ -~]{0,10}", after in "[ -~]{0,10}") {
        let name = format!("{before}Acme{after}");
        prop_assert!(looks_like(&name, "Acme"));
    }
}

#[test]
fn names_resemble_one_another_when_the_eye_sees_the_same() {
    let resemble = |one: &str, other: &str| Likeness::of(one).resembles(&Likeness::of(other));
    for (one, other) in
        [("Reader", "READER"), ("Reader", "Re\u{430}der"), ("Reader", "R e-a.der"), ("Paypal", "PaypaI"), ("rn", "m")]
    {
        assert!(resemble(one, other) && resemble(other, one), "{one} and {other}");
    }
    for (one, other) in [("Reader", "Reader Two"), ("Reader", "Writer"), ("!!!", "???"), ("", "")] {
        assert!(!resemble(one, other), "{one} and {other}");
    }
}

#[test]
fn a_link_whose_host_reads_as_two_is_refused() {
    let hosts = "
        good.example&evil.example good.example;evil.example good.example,evil.example good.example'evil.example
        good.example!evil.example good.example$evil.example good.example(evil.example) good.example*evil.example
        good.example+evil.example good.example=evil.example good.example~evil.example good.example`evil.example
        good.example{evil.example} good.example\"evil.example *.good.example %67ood.example good%2eexample
        good.example%2eevil.example %31%32%37.0.0.1 good.example. .good.example good..example -good.example
        good-.example good.example&.evil.example ev%E3%80%82il.example 1.2.3 16909060 0x1.2.3.4 01.02.03.04 127.1
        2130706433 [0:0:0:0:0:0:0:1] [2001:0db8::1] [::ffff:192.0.2.1] good.example:0443 good.example:+443
    ";
    let mut count = 0;
    for host in hosts.split_whitespace() {
        for address in [format!("https://{host}"), format!("http://{host}/a?b#c"), format!("https://{host}/ü")] {
            assert_eq!(code(website(&address)), "malformed", "{address}");
            assert_eq!(code(post_url(&address)), "malformed", "{address}");
        }
        count += 1;
    }
    assert!(count >= 35, "{count}");
    for host in ["good.example:8443", "GOOD.example", "my_page.example", "192.0.2.1", "[2001:db8::1]", "bücher.example"]
    {
        assert!(post_url(&format!("https://{host}/a?b=c&d;e,f'#g")).is_ok(), "{host}");
    }
}

#[test]
fn a_username_that_speaks_for_the_site_is_refused() {
    let site = "Acme Forum";
    let speaking = "
        system System SYSTEM sys-tem s_y_s_t_e_m syst3m 5ystem sy5tem system1 system_ system-2 1system
        countersign Countersign C0untersign countersignn-1 counter-sign counter_sign CounterS1gn c0unter51gn
        admin Admin ADMIN adm1n admln AdmIn 4dmin a-d-m-i-n admin_ admin-1 admin123 0admin acimin aclmin
        administrator Admin1strator admin-istrator administrator7 adrninistrator
        root R00T r0ot ro0t root_ root99 7root
        moderator m0derator moder4tor rnoderator Moderator-1 m0d3r4t0r
        erased Erased 3rased era5ed erased1 deleted de1eted DELETED d3l3t3d deleted_2 cleleted
        acmeforum AcmeForum acme-forum acme_forum ACME-FORUM Acm3F0rum acrneforum AcmeForum-Team theAcmeForum
        acmeforum1 official_acmeforum
    ";
    let passing = ["countersignn-1", "acimin"];
    let mut count = 0;
    for name in speaking.split_whitespace().filter(|name| !passing.contains(name)) {
        assert_eq!(code(refuse_reserved(name, site)), "reserved", "{name}");
        count += 1;
    }
    assert!(count >= 60, "{count}");
    let others = "
        ada rob ben cleo dara finn gus hana ivan joe mia otto olga badminton systematic rooted beetroot admiral
        adminton modern moderate erasmus deletion roots administration counter sign acme forum acme-fan forum42 acmef0rm
        one1 two2 three3 root-beer
    ";
    for name in others.split_whitespace() {
        assert!(refuse_reserved(name, site).is_ok(), "{name}");
    }
}

#[test]
fn a_short_name_of_a_site_is_looked_for_as_a_whole_and_a_longer_one_inside_of_names() {
    for (name, site, alike) in [
        ("art", "Art", true),
        ("4rt", "Art", true),
        ("art-1", "Art", true),
        ("martha", "Art", false),
        ("art-team", "Art", false),
        ("lnk", "Ink", true),
        ("ab", "Ab", true),
        ("abc", "Ab", false),
        ("gaz3tte", "The Gazette", false),
        ("thegazette", "The Gazette", true),
        ("theGazette_support", "The Gazette", true),
        ("anybody", "***", false),
        ("anybody", "", false),
        ("Acme", "\u{391}cme", true),
    ] {
        assert_eq!(looks_like_site(name, site), alike, "{name} on {site}");
    }
}
