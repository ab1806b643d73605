//! What may happen to the site, one sentence a test.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{SiteCommand as C, SiteEvent as E, *};
use crate::spec::{self, at, user};

fn given(events: impl IntoIterator<Item = E>) -> spec::Given<Site> {
    spec::given(events)
}

fn configuration(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn difference(key: &str, from: Option<&str>, to: Option<&str>) -> Difference {
    Difference { key: key.to_owned(), from: from.map(str::to_owned), to: to.map(str::to_owned) }
}

#[test]
fn the_first_administrator_is_named_once() {
    let named = E::FirstAdministratorNamed { user_id: user(1), at: at(0) };
    given([]).when(C::NameFirstAdministrator { user_id: user(1), at: at(0) }).then([named.clone()]);
    given([named.clone()]).when(C::NameFirstAdministrator { user_id: user(1), at: at(9) }).then_nothing();
    given([named]).when(C::NameFirstAdministrator { user_id: user(2), at: at(9) }).refused(AlreadySetUp);
}

#[test]
fn the_first_configuration_is_all_news() {
    given([])
        .when(C::NoticeConfiguration { configuration: configuration(&[("a", "1")]), at: at(0) })
        .then([E::ConfigurationChanged { differences: vec![difference("a", None, Some("1"))], at: at(0) }]);
}

#[test]
fn only_what_differs_from_the_last_start_is_recorded() {
    let before = ["a", "b", "c"].map(|key| difference(key, None, Some("1")));
    given([E::ConfigurationChanged { differences: before.into(), at: at(0) }])
        .when(C::NoticeConfiguration { configuration: configuration(&[("a", "1"), ("b", "2"), ("d", "1")]), at: at(9) })
        .then([E::ConfigurationChanged {
            differences: vec![
                difference("b", Some("1"), Some("2")),
                difference("c", Some("1"), None),
                difference("d", None, Some("1")),
            ],
            at: at(9),
        }]);
}

#[test]
fn the_same_configuration_records_nothing() {
    given([]).when(C::NoticeConfiguration { configuration: configuration(&[]), at: at(0) }).then_nothing();
    given([E::ConfigurationChanged { differences: vec![difference("a", None, Some("1"))], at: at(0) }])
        .when(C::NoticeConfiguration { configuration: configuration(&[("a", "1")]), at: at(9) })
        .then_nothing();
}

#[test]
fn an_export_of_the_history_changes_nothing_about_the_site() {
    let exported = E::AuditExported {
        by: user(1),
        from: Position(1),
        to: Position(9),
        format: ExportFormat::Csv,
        filters: vec!["type RoleGranted".to_owned()],
        rows: 3,
        at: at(0),
    };
    assert_eq!(given([exported]).0, Site::default());
}

#[test]
fn each_export_of_the_history_is_recorded_also_when_it_is_like_the_one_before() {
    let note = || C::NoteExport {
        by: user(1),
        from: Position(1),
        to: Position(9),
        format: ExportFormat::Json,
        filters: vec![],
        rows: 9,
        at: at(0),
    };
    let exported = E::AuditExported {
        by: user(1),
        from: Position(1),
        to: Position(9),
        format: ExportFormat::Json,
        filters: vec![],
        rows: 9,
        at: at(0),
    };
    given([exported.clone()]).when(note()).then([exported]);
}

#[derive(Debug, Clone)]
enum Ask {
    Name(u32),
    Notice(BTreeMap<String, String>),
}

fn ask() -> impl Strategy<Value = Ask> {
    let configuration = prop::collection::btree_map("[abc]", "[12]", 0..4);
    prop_oneof![(1_u32..4).prop_map(Ask::Name), configuration.prop_map(Ask::Notice)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn a_site_has_one_first_administrator_and_the_configuration_it_noticed_last(
        asks in prop::collection::vec(ask(), 0..30)
    ) {
        let steps = spec::play(asks.clone(), |_: &Site, number, ask| match ask {
            Ask::Name(number) => C::NameFirstAdministrator { user_id: user(number), at: at(number) },
            Ask::Notice(configuration) => C::NoticeConfiguration { configuration, at: at(number) },
        });
        let named = steps.iter().flat_map(spec::Step::events);
        let named = named.filter(|event| matches!(event, E::FirstAdministratorNamed { .. })).count();
        prop_assert!(named <= 1);
        for (step, ask) in steps.iter().zip(asks) {
            match ask {
                Ask::Notice(noticed) => {
                    prop_assert_eq!(&step.after.configuration, &noticed);
                    prop_assert_eq!(step.events().is_empty(), step.before.configuration == noticed);
                }
                Ask::Name(_) => prop_assert_eq!(&step.after.configuration, &step.before.configuration),
            }
        }
    }
}
