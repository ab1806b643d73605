//! How the tests of deciders speak: given what happened, when somebody asks, then this happens. Also
//! the ids, instants and texts they share. Compiled for tests only.

use std::{fmt::Debug, fs, path::PathBuf};

use uuid::Uuid;

use crate::{
    decider::{Decider, fold},
    ids::{ApplicationId, CommentId, DataKeyId, MessageId, PostId, SecretId, TokenId, UserId, VerifierId},
    recorded::Timestamp,
    scope::ScopeSet,
    sensitive::Personal,
    token::TokenDigest,
};

/// An aggregate to which something happened.
pub struct Given<D>(pub D);

/// What became of a command.
#[must_use]
pub struct Outcome<D: Decider>(Result<Vec<D::Event>, D::Refusal>);

pub fn given<D: Decider>(events: impl IntoIterator<Item = D::Event>) -> Given<D> {
    Given(fold(&events.into_iter().collect::<Vec<_>>()))
}

impl<D: Decider> Given<D> {
    pub fn when(&self, command: D::Command) -> Outcome<D> {
        Outcome(self.0.decide(command))
    }
}

impl<D: Decider> Outcome<D>
where
    D::Event: PartialEq + Debug,
    D::Refusal: PartialEq + Debug,
{
    #[track_caller]
    pub fn then(self, events: impl IntoIterator<Item = D::Event>) {
        assert_eq!(self.0, Ok(events.into_iter().collect()));
    }

    #[track_caller]
    pub fn then_nothing(self) {
        self.then([]);
    }

    #[track_caller]
    pub fn refused(self, refusal: D::Refusal) {
        assert_eq!(self.0, Err(refusal));
    }
}

/// One command of a sequence: the state before, what was decided, the state after.
#[derive(Debug)]
pub struct Step<D: Decider> {
    pub before: D,
    pub outcome: Result<Vec<D::Event>, D::Refusal>,
    pub after: D,
}

impl<D: Decider> Step<D> {
    pub fn events(&self) -> &[D::Event] {
        self.outcome.as_deref().unwrap_or_default()
    }
}

/// Plays a sequence of commands on an empty stream. What holds for every aggregate is asserted here:
/// deciding is deterministic, what is refused or empty changes nothing, and the state is the fold of the events.
pub fn play<D, A>(asks: impl IntoIterator<Item = A>, command: impl Fn(&D, u32, A) -> D::Command) -> Vec<Step<D>>
where
    D: Decider + Clone + PartialEq + Debug,
    D::Command: Clone,
    D::Event: PartialEq + Debug + Clone,
    D::Refusal: PartialEq + Debug,
{
    let (mut state, mut log, mut steps) = (D::default(), vec![], vec![]);
    for (number, ask) in (1..).zip(asks) {
        let command = command(&state, number, ask);
        let outcome = state.decide(command.clone());
        assert_eq!(outcome, state.decide(command), "deciding twice on one state differs");
        let before = state.clone();
        for event in outcome.as_deref().unwrap_or_default() {
            state = state.evolve(event);
            log.push(event.clone());
        }
        if outcome.as_ref().map_or(true, Vec::is_empty) {
            assert_eq!(before, state);
        }
        steps.push(Step { before, outcome, after: state.clone() });
    }
    assert_eq!(state, fold(&log), "the state is not the fold of the events");
    steps
}

/// `seconds` after the beginning of 2026, with a microsecond so that cut-off digits are noticed.
pub fn at(seconds: u32) -> Timestamp {
    Timestamp::from_timestamp_micros(1_767_225_600_000_001 + i64::from(seconds) * 1_000_000).unwrap()
}

macro_rules! ids {
    ($($name:ident -> $id:ident;)+) => {$(
        pub const fn $name(number: u32) -> $id {
            // In the form of a UUIDv7, each kind of id told apart by the test that reads it.
            $id(Uuid::from_u128(0x0000_0000_0000_7000_8000_0000_0000_0000 | number as u128))
        }
    )+};
}

ids! {
    user -> UserId;
    application -> ApplicationId;
    token_id -> TokenId;
    message -> MessageId;
    secret -> SecretId;
    post -> PostId;
    comment -> CommentId;
    verifier -> VerifierId;
    data_key -> DataKeyId;
}

pub const fn digest(number: u8) -> TokenDigest {
    TokenDigest::from_bytes([number; 32])
}

pub fn scopes(text: &str) -> ScopeSet {
    text.parse().unwrap()
}

/// A personal field in the form in which the log keeps it.
pub fn sealed(text: &str) -> Personal {
    Personal::Sealed { key: data_key(900), bytes: text.as_bytes().to_vec() }
}

/// Where a golden file lies.
pub fn golden(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden").join(file)
}

/// The text of a golden file. `COUNTERSIGN_TEST_BLESS=1` writes it from `actual` when it is missing;
/// nothing ever overwrites one.
pub fn golden_text(file: &str, actual: &str) -> String {
    let path = golden(file);
    if std::env::var("COUNTERSIGN_TEST_BLESS").is_ok_and(|bless| bless == "1") && !path.exists() {
        fs::write(&path, actual).unwrap();
    }
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
