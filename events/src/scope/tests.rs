//! What sets of scopes promise.

use proptest::prelude::*;

use super::*;

fn set(text: &str) -> ScopeSet {
    ScopeSet::parse(text).unwrap()
}

#[test]
fn every_name_reads_back_as_its_scope() {
    for scope in Scope::ALL {
        assert_eq!(scope.as_str().parse::<Scope>(), Ok(scope));
        assert_eq!(serde_json::to_string(&scope).unwrap(), format!("\"{scope}\""));
        assert!(!scope.describe().is_empty());
    }
}

#[test]
fn a_set_is_one_string_in_a_fixed_order_whatever_the_order_it_was_asked_in() {
    let scopes = set("vote  read vote identity ");
    assert_eq!(scopes.to_string(), "read identity vote");
    assert_eq!(serde_json::to_string(&scopes).unwrap(), r#""read identity vote""#);
    assert_eq!(serde_json::from_str::<ScopeSet>(r#""identity vote read""#).unwrap(), scopes);
    assert_eq!(format!("{scopes:?}"), "ScopeSet(read identity vote)");
}

#[test]
fn an_unknown_word_is_named() {
    let unknown = |name: &str| Err(UnknownScope { name: name.to_owned() });
    assert_eq!(ScopeSet::parse("read everything"), unknown("everything"));
    assert_eq!(ScopeSet::parse("Read"), unknown("Read"));
    assert_eq!(ScopeSet::parse("read\twrite"), unknown("read\twrite"));
    assert_eq!(ScopeSet::parse("read,write"), unknown("read,write"));
    assert!(ScopeSet::parse("x").unwrap_err().to_string().contains("notifications"));
    assert!(serde_json::from_str::<ScopeSet>(r#""read everything""#).is_err());
}

#[test]
fn no_name_is_the_empty_set() {
    assert!(set("").is_empty());
    assert_eq!(set(" "), ScopeSet::default());
    assert_eq!(ScopeSet::default().to_string(), "");
    assert!(!set("read").is_empty());
}

#[test]
fn an_application_asked_for_without_scopes_gets_read_identity_notifications() {
    assert_eq!(ScopeSet::default_requested().to_string(), "read identity notifications");
}

#[test]
fn consent_can_give_everything_but_the_scopes_that_rest_on_a_role() {
    assert_eq!(ScopeSet::grantable().to_string(), "read identity notifications messages write vote");
    assert!(!set("read review").is_subset(ScopeSet::grantable()));
    assert!(!set("audit").is_subset(ScopeSet::grantable()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn sets_behave_as_sets_and_read_back(a in 0_u16..256, b in 0_u16..256) {
        let (a, b) = (ScopeSet(a), ScopeSet(b));
        prop_assert_eq!(ScopeSet::parse(&a.to_string()), Ok(a));
        prop_assert_eq!(a.iter().collect::<ScopeSet>(), a);
        prop_assert_eq!(a.is_subset(b), a.union(b) == b);
        prop_assert_eq!(a.is_subset(b), a.intersection(b) == a);
        for scope in Scope::ALL {
            prop_assert_eq!(a.union(b).contains(scope), a.contains(scope) || b.contains(scope));
            prop_assert_eq!(a.intersection(b).contains(scope), a.contains(scope) && b.contains(scope));
        }
    }
}
