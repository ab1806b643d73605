//! What personal fields promise: nothing clear is stored, printed or taken for something else.

use proptest::prelude::*;

use super::*;
use crate::spec::data_key;

#[test]
fn a_clear_field_does_not_serialise_and_the_error_does_not_repeat_it() {
    let error = serde_json::to_string(&Personal::from("ada@example.org")).unwrap_err().to_string();
    assert_eq!(error, "a personal field was not sealed");
}

#[test]
fn a_field_is_never_printed_for_debugging() {
    let sealed = Personal::Sealed { key: data_key(1), bytes: b"secret".to_vec() };
    let forms = [Personal::from("secret"), sealed, Personal::Erased];
    assert_eq!(forms.map(|form| format!("{form:?}")), ["Clear(…)", "Sealed(…)", "Erased"]);
}

#[test]
fn only_a_clear_field_has_a_text() {
    assert_eq!(Personal::from("text").clear(), Some("text"));
    assert_eq!(Personal::from(String::new()).clear(), Some(""));
    assert_eq!(Personal::Sealed { key: data_key(1), bytes: b"text".to_vec() }.clear(), None);
    assert_eq!(Personal::Erased.clear(), None);
}

#[test]
fn an_erased_field_is_stored_as_null() {
    assert_eq!(serde_json::to_string(&Personal::Erased).unwrap(), "null");
    assert_eq!(serde_json::from_str::<Personal>("null").unwrap(), Personal::Erased);
}

#[test]
fn a_field_that_is_missing_was_not_erased() {
    #[derive(Debug, Deserialize)]
    struct Letter {
        #[expect(dead_code, reason = "what matters is whether it reads")]
        body: Personal,
    }
    assert!(serde_json::from_str::<Letter>(r#"{"body":null}"#).is_ok());
    let error = serde_json::from_str::<Letter>("{}").unwrap_err().to_string();
    assert!(error.starts_with("missing field `body`"), "{error}");
}

#[test]
fn nothing_but_a_sealed_form_or_null_reads() {
    let key = data_key(1);
    for text in [
        r#""in clear""#.to_owned(),
        "1".to_owned(),
        "true".to_owned(),
        "[]".to_owned(),
        "{}".to_owned(),
        format!(r#"{{"key":"{key}"}}"#),
        r#"{"sealed":"YQ=="}"#.to_owned(),
        r#"{"key":"no key","sealed":"YQ=="}"#.to_owned(),
        format!(r#"{{"key":"{key}","sealed":"YQ"}}"#),
        format!(r#"{{"key":"{key}","sealed":"YR=="}}"#),
        format!(r#"{{"key":"{key}","sealed":"YQ==","clear":"a"}}"#),
    ] {
        assert!(serde_json::from_str::<Personal>(&text).is_err(), "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn sealed_bytes_read_back_as_they_were(key in any::<u32>(), bytes in any::<Vec<u8>>()) {
        let field = Personal::Sealed { key: data_key(key), bytes };
        let stored = serde_json::to_string(&field).unwrap();
        prop_assert_eq!(serde_json::from_str::<Personal>(&stored).unwrap(), field);
    }
}
