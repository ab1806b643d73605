//! What the text of a token promises; the golden vectors fix its format for ever.

use proptest::prelude::*;

use super::*;

const KINDS: [TokenKind; 6] = [
    TokenKind::Personal,
    TokenKind::Access,
    TokenKind::Refresh,
    TokenKind::ClientSecret,
    TokenKind::Code,
    TokenKind::Registration,
];

fn counting_up() -> [u8; 32] {
    std::array::from_fn(|index| u8::try_from(index).unwrap())
}

fn parsed(text: &str) -> Result<TokenKind, MalformedToken> {
    PlainToken::parse(&TokenPrefix::default(), text).map(|token| token.kind())
}

/// A token text with a right checksum over whatever stands before.
fn with_checksum(covered: &str) -> String {
    format!("{covered}{}", checksum(covered))
}

#[test]
fn golden_vectors_fix_the_format_for_ever() {
    let cs = TokenPrefix::default();
    let personal = PlainToken::from_random(&cs, TokenKind::Personal, &counting_up());
    assert_eq!(personal.expose(), "csp_003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf1CATpx");
    assert_eq!(personal.digest().to_string(), "c834086fa1a134ab98dcafe74ba46f958419e0f001cafb351fa0ebf5e09c373d");
    let zero = PlainToken::from_random(&cs, TokenKind::Access, &[0; 32]);
    assert_eq!(zero.expose(), "csa_00000000000000000000000000000000000000000004VJuTT");
    let acme = "acme".parse().unwrap();
    let largest = PlainToken::from_random(&acme, TokenKind::Registration, &[255; 32]);
    assert_eq!(largest.expose(), "acmeg_yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp10Nuvpl");
    assert_eq!(ClientId::from_random(&[255; 16]).as_str(), "7n42DGM5Tflk9n8mt7Fhc7");
}

#[test]
fn base62_pads_and_never_cuts_off() {
    assert_eq!(base62(&[], 0), "");
    assert_eq!(base62(&[0], 3), "000");
    assert_eq!(base62(&[61], 1), "z");
    assert_eq!(base62(&[62], 1), "10");
    assert_eq!(base62(&[0x01, 0x00], 4), "0048");
}

#[test]
fn each_kind_has_a_letter_of_its_own_and_keeps_it() {
    let letters: String = KINDS.iter().map(|kind| kind.letter()).collect();
    assert_eq!(letters, "parscg");
    for kind in KINDS {
        let token = PlainToken::from_random(&TokenPrefix::default(), kind, &counting_up());
        assert_eq!(parsed(token.expose()), Ok(kind));
    }
}

#[test]
fn a_number_of_256_bits_fits_and_one_more_does_not() {
    let largest = base62(&[255; 32], VALUE_WIDTH);
    assert_eq!(parsed(&with_checksum(&format!("csp_{largest}"))), Ok(TokenKind::Personal));
    let mut two_to_the_256 = [0_u8; 33];
    two_to_the_256[0] = 1;
    let beyond = base62(&two_to_the_256, VALUE_WIDTH);
    assert_eq!(beyond.len(), VALUE_WIDTH);
    let refused = Err(MalformedToken::Checksum);
    assert_eq!(parsed(&with_checksum(&format!("csp_{beyond}"))), refused);
    assert_eq!(parsed(&with_checksum(&format!("csp_{}", "z".repeat(VALUE_WIDTH)))), refused);
}

#[test]
fn what_is_no_token_is_refused_whatever_its_shape() {
    let token = PlainToken::from_random(&TokenPrefix::default(), TokenKind::Personal, &counting_up());
    let text = token.expose();
    let value = &text[4..47];
    for shapeless in [
        "",
        "c",
        "cs",
        "csp",
        "csp_",
        "_",
        "csp_é",
        &text[1..],
        &text[..text.len() - 1],
        &format!("{text}0"),
        &format!(" {text}"),
        &format!("{text}\n"),
        &with_checksum(&format!("cspp_{value}")),
        &with_checksum(&format!("cs_{value}")),
        &with_checksum(&format!("xxp_{value}")),
        &with_checksum(&format!("csp-{value}")),
        &with_checksum(&format!("CSp_{value}")),
        &with_checksum(&format!("csp_é{}", &value[2..])),
    ] {
        assert_eq!(parsed(shapeless), Err(MalformedToken::Shape), "{shapeless:?}");
    }
    assert_eq!(parsed(&with_checksum(&format!("csx_{value}"))), Err(MalformedToken::Kind));
    assert_eq!(parsed(&with_checksum(&format!("csé_{value}"))), Err(MalformedToken::Kind));
    assert_eq!(parsed(&format!("csa_{}", &text[4..])), Err(MalformedToken::Checksum));
    let other = "csp".parse().unwrap();
    assert!(PlainToken::parse(&other, text).is_err());
}

#[test]
fn every_single_character_change_is_refused() {
    let token = PlainToken::from_random(&TokenPrefix::default(), TokenKind::Code, &counting_up());
    let characters: Vec<char> = token.expose().chars().collect();
    for position in 0..characters.len() {
        for replacement in (' '..='~').chain(['\0', '\n', 'é', '０']) {
            let mut changed = characters.clone();
            if changed[position] == replacement {
                continue;
            }
            changed[position] = replacement;
            let changed: String = changed.into_iter().collect();
            assert!(parsed(&changed).is_err(), "{changed:?}");
        }
    }
}

#[test]
fn a_token_does_not_print_itself() {
    let token = PlainToken::from_random(&TokenPrefix::default(), TokenKind::Access, &[7; 32]);
    assert_eq!(format!("{token:?}"), "PlainToken(…)");
}

#[test]
fn a_prefix_is_two_to_eight_lower_case_letters() {
    for good in ["cs", "acme", "abcdefgh"] {
        assert_eq!(good.parse::<TokenPrefix>().unwrap().as_str(), good);
    }
    for bad in ["", "c", "abcdefghi", "Cs", "c1", "c_", "cé", "c s"] {
        assert_eq!(bad.parse::<TokenPrefix>(), Err(InvalidTokenPrefix), "{bad:?}");
    }
    assert!(InvalidTokenPrefix.to_string().contains("2 to 8 lower-case letters"));
    assert_eq!(serde_json::to_string(&TokenPrefix::default()).unwrap(), r#""cs""#);
    assert!(serde_json::from_str::<TokenPrefix>(r#""CS""#).is_err());
}

#[test]
fn a_client_id_is_22_letters_and_digits() {
    let id = ClientId::from_random(&[1; 16]);
    assert_eq!(id.to_string().parse(), Ok(id.clone()));
    let json = serde_json::to_string(&id).unwrap();
    assert_eq!(json, format!("\"{id}\""));
    assert_eq!(serde_json::from_str::<ClientId>(&json).unwrap(), id);
    for bad in ["", "short", "0123456789012345678901x", "012345678901234567890_", "01234567890123456789é"] {
        assert_eq!(bad.parse::<ClientId>(), Err(InvalidClientId), "{bad:?}");
    }
}

#[test]
fn a_digest_is_lower_case_hex_and_nothing_else() {
    let digest = TokenDigest::from_bytes([0xab; 32]);
    let json = serde_json::to_string(&digest).unwrap();
    assert_eq!(json, format!("\"{}\"", "ab".repeat(32)));
    assert_eq!(serde_json::from_str::<TokenDigest>(&json).unwrap(), digest);
    assert_eq!(digest.as_bytes(), &[0xab; 32]);
    for bad in [String::new(), "ab".repeat(31), "ab".repeat(33), "AB".repeat(32), "zz".repeat(32)] {
        assert_eq!(bad.parse::<TokenDigest>(), Err(InvalidTokenDigest), "{bad:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_token_reads_back_as_itself(random: [u8; 32], kind in prop::sample::select(&KINDS), prefix in "[a-z]{2,8}") {
        let prefix: TokenPrefix = prefix.parse().unwrap();
        let token = PlainToken::from_random(&prefix, kind, &random);
        prop_assert_eq!(token.expose().len(), prefix.as_str().len() + 51);
        let parsed = PlainToken::parse(&prefix, token.expose()).unwrap();
        prop_assert_eq!(parsed.kind(), kind);
        prop_assert_eq!(parsed.expose(), token.expose());
        prop_assert_eq!(parsed.digest(), token.digest());
    }

    #[test]
    fn a_single_changed_character_never_passes(random: [u8; 32], position in 0_usize..53, replacement: char) {
        let token = PlainToken::from_random(&TokenPrefix::default(), TokenKind::Refresh, &random);
        let mut changed: Vec<char> = token.expose().chars().collect();
        prop_assume!(changed[position] != replacement);
        changed[position] = replacement;
        prop_assert!(parsed(&changed.into_iter().collect::<String>()).is_err());
    }

    #[test]
    fn any_text_is_answered_without_a_panic(text in any::<String>(), tail in "[0-9A-Za-zé_]{40,60}") {
        prop_assert!(parsed(&text).is_err());
        let near = format!("csp_{tail}");
        prop_assert!(parsed(&near).is_err());
    }

    #[test]
    fn different_numbers_have_different_texts(a: [u8; 16], b: [u8; 16]) {
        prop_assert_eq!(a == b, ClientId::from_random(&a) == ClientId::from_random(&b));
        prop_assert_eq!(a.cmp(&b), ClientId::from_random(&a).cmp(&ClientId::from_random(&b)));
    }
}

#[test]
fn the_largest_value_is_the_last_that_fits_256_bits() {
    assert_eq!(base62(&[255; 32], VALUE_WIDTH), LARGEST_VALUE);
    assert!(fits_256_bits(LARGEST_VALUE));
    let one_more: Vec<_> = [1].into_iter().chain([0; 32]).collect();
    assert!(!fits_256_bits(&base62(&one_more, VALUE_WIDTH)));
}
