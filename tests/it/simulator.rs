//! A seeded run of the whole site on `SQLite`, one command at a time, with clock and entropy held: what a seed says happens
//! every time, so whatever is found can be found again. After each step an oracle in plain Rust, which asks nothing of the
//! code that it judges, says what has to hold: which tokens are valid, what was acknowledged, what a repeat is answered,
//! which secrets were revealed, who was told what, and that nothing of erased members can be read.
//!
//! `COUNTERSIGN_SIM_SEED` and `COUNTERSIGN_SIM_STEPS` choose a run; `COUNTERSIGN_TEST_FACTOR` makes all of them longer.

mod chance;
mod choose;
mod compare;
mod oracle;
mod run;
mod send;
mod site;

use crate::prerequisites::times;

/// Steps of each seed, when nobody asks for more.
const STEPS: usize = 1_250;

macro_rules! seeds {
    ($($name:ident: $seed:expr),* $(,)?) => {$(
        #[test]
        fn $name() {
            let played = run::hold($seed, times(STEPS));
            let idle: Vec<_> = chance::Kind::all().filter(|kind| !played.happened.contains(kind)).collect();
            assert!(idle.len() < 3, "a run shows nothing about what never happens in it: {idle:?}");
        }
    )*};
}

seeds! {
    simulator_seed_1: 1,
    simulator_seed_2: 2,
    simulator_seed_3: 3,
    simulator_seed_4: 4,
    simulator_seed_6: 6,
    simulator_seed_7: 7,
    simulator_seed_8: 8,
    simulator_seed_9: 9,
}

fn number_in(variable: &str, default: u64) -> u64 {
    let Ok(text) = std::env::var(variable) else { return default };
    text.parse().unwrap_or_else(|_| panic!("{variable} is “{text}”: set it to a whole number, or unset it"))
}

#[test]
fn simulator_of_a_seed_of_choice() {
    let steps = usize::try_from(number_in("COUNTERSIGN_SIM_STEPS", 100)).expect("a number of steps");
    run::hold(number_in("COUNTERSIGN_SIM_SEED", 0), steps);
}

#[test]
fn simulator_ten_replays_of_a_seed_are_one_history() {
    let first = run::hold(11, 150);
    for _ in 1..10 {
        let again = run::hold(11, 150);
        assert_eq!(again.lines, first.lines);
        assert_eq!(again.log, first.log);
    }
}
