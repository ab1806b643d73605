//! The tests themselves.

use super::*;
use crate::prerequisites::times;

#[test]
fn whatever_many_callers_do_at_once_has_a_serial_explanation() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().expect("threads");
    let site = Arc::new(runtime.block_on(Site::start()));
    let seed = *blake3::hash(b"writer").as_bytes();
    let cases = times(CASES);
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 64, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let callers = prop_oneof![4 => vec(vec(step(), 1..5), 16..24), 1 => vec(vec(step(), 1..3), 64)];
    let (won, lost, repeated, other) = (count(), count(), count(), count());
    let result = runner.run(&callers, |callers| {
        let attempts = runtime.block_on(site.run(callers)).map_err(TestCaseError::fail)?;
        for attempt in attempts {
            let kind = match attempt.answer {
                Answer::Won { .. } => &won,
                Answer::Lost(_) => &lost,
                Answer::Repeat { .. } => &repeated,
                Answer::OtherBody => &other,
            };
            kind.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("seed {seed:?}: {error}"));
    // A run in which nothing of a kind happened would show nothing about it.
    for kind in [&won, &lost, &repeated, &other] {
        assert!(
            kind.load(Ordering::Relaxed) > 2 * u64::from(cases),
            "{won:?} won, {lost:?} lost, {repeated:?} repeated, {other:?}"
        );
    }
    let commits = site.commits.lock().unwrap();
    assert!(commits.iter().any(|events| *events > 20), "callers share commits");
}

fn count() -> AtomicU64 {
    AtomicU64::new(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixty_four_callers_on_six_streams_leave_a_serial_history() {
    let site = Arc::new(Site::start().await);
    let steps = |caller: u8| -> Vec<Step> {
        let step = |number: u8| {
            let random = *blake3::hash(&[caller, number]).as_bytes();
            Step {
                writes: (0..random[0] % 4).map(|at| (random[1 + usize::from(at)] % STREAMS, random[5])).collect(),
                guards: (0..random[6] % 3).map(|at| (random[7 + usize::from(at)] % STREAMS, Guard::Read)).collect(),
                command: (random[9] < 64).then_some((random[10] % 64, random[11] % 2)),
            }
        };
        (0..40).map(step).collect()
    };
    let attempts = site.run((0..64).map(steps).collect()).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(attempts.len(), 64 * 40);
}

#[tokio::test]
async fn the_checker_finds_planted_faults() {
    let site = Arc::new(Site::start().await);
    let step = |writes: &[(u8, u8)], command| Step { writes: writes.to_vec(), guards: vec![(0, Guard::Read)], command };
    let mut attempts = vec![
        site.attempt(0, &step(&[(0, 0), (0, 1)], Some((1, 1)))).await,
        site.attempt(0, &step(&[(1, 0)], None)).await,
        site.attempt(0, &step(&[], Some((1, 1)))).await,
    ];
    let mut late = step(&[(0, 2)], None);
    late.guards = vec![(0, Guard::Guessed(1))];
    attempts.push(site.attempt(0, &late).await);
    let log = site.log.read_log(Position(0), 100).await.expect("the log");
    check(Position(0), &log, &attempts).expect("nothing is wrong yet");
    let is_found = |fault: &dyn Fn(&mut Vec<StoredEvent>, &mut Vec<Attempt>)| {
        let (mut log, mut attempts) = (log.clone(), attempts.clone());
        fault(&mut log, &mut attempts);
        check(Position(0), &log, &attempts).expect_err("a planted fault")
    };
    is_found(&|log, _| drop(log.remove(1)));
    is_found(&|log, _| log[2].envelope.position = Position(4));
    is_found(&|log, _| log[2].envelope.event_id = log[0].envelope.event_id);
    is_found(&|log, _| log[1].envelope.version = Version(3));
    is_found(&|log, _| log[1].envelope.recorded_at = log[0].envelope.recorded_at);
    is_found(&|log, _| drop(log.pop()));
    is_found(&|_, attempts| drop(attempts.remove(1)));
    is_found(&|_, attempts| attempts[1].expected = vec![(stream(0, 0), Version(1))]);
    is_found(&|_, attempts| attempts[2].answer = attempts[0].answer.clone());
    is_found(&|_, attempts| attempts[2].answer = Answer::OtherBody);
    is_found(&|_, attempts| {
        let Answer::Repeat { answer, .. } = &mut attempts[2].answer else { panic!("a repeat") };
        answer.push('!');
    });
    is_found(&|_, attempts| attempts[3].expected = vec![(stream(0, 0), Version(2))]);
}

/// Sends these before the writer runs at all, so that they share a batch.
async fn at_once(site: &Site, appends: Vec<Append>) -> Vec<Result<Appended, AppendError>> {
    let sent: Vec<_> = appends
        .into_iter()
        .map(|append| {
            let writer = site.writer.clone();
            tokio::spawn(async move { writer.append(append).await })
        })
        .collect();
    let mut answers = vec![];
    for answer in sent {
        answers.push(answer.await.expect("an answer"));
    }
    answers
}

fn appending(history: u64, number: u8, what: u8) -> Append {
    Append { events: vec![new_event(history, number, what)], ..Append::default() }
}

#[tokio::test]
async fn what_waits_together_is_committed_together() {
    let site = Site::start().await;
    let answers = at_once(&site, (0..5).map(|number| appending(1, number, 0)).collect()).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(*site.commits.lock().unwrap(), [5]);
}

#[tokio::test]
async fn a_loser_takes_no_neighbour_with_it() {
    let site = Site::start().await;
    let mut appends: Vec<_> = (0..5).map(|number| appending(1, number, 0)).collect();
    appends[2].expected = vec![(stream(1, 0), Version(0))];
    let answers = at_once(&site, appends).await;
    let lost: Vec<_> = answers.iter().map(|answer| matches!(answer, Err(AppendError::Lost(_)))).collect();
    assert_eq!(lost, [false, false, true, false, false]);
    assert_eq!(*site.commits.lock().unwrap(), [4], "one batch: the loser was judged in memory");
}

#[tokio::test]
async fn an_event_that_exists_already_fails_alone_and_its_neighbours_are_appended_one_by_one() {
    let site = Site::start().await;
    let first = appending(1, 0, 0);
    at_once(&site, vec![first.clone()]).await.remove(0).expect("it is new");
    let mut appends: Vec<_> = (0..5).map(|number| appending(1, number, 0)).collect();
    appends[2].events[0].event_id = first.events[0].event_id;
    let answers = at_once(&site, appends).await;
    let failed: Vec<_> = answers.iter().map(Result::is_err).collect();
    assert_eq!(failed, [false, false, true, false, false]);
    assert!(matches!(answers[2], Err(AppendError::Store(StoreError::Conflict(_)))), "{:?}", answers[2]);
    assert_eq!(*site.commits.lock().unwrap(), [1, 1, 1, 1, 1]);
    let log = site.log.read_log(Position(0), 100).await.expect("the log");
    assert_eq!(positions(&log), (1..=5).map(Position).collect::<Vec<_>>());
    assert_eq!(site.version(&stream(1, 2)).await, Version(0));
}

#[tokio::test]
async fn an_inline_change_that_cannot_be_applied_fails_its_append_and_no_other() {
    let site = Site::start().await;
    // 15: a token is issued; the database refuses the row of this one.
    let poisoned = stream(1, 4);
    let StreamName::Authorization(application, _) = &poisoned else { panic!("an authorization") };
    let condition = format!("new.application_id = '{application}'");
    let on_sqlite =
        format!("create trigger poison before insert on tokens when {condition} begin select raise(abort, 'no'); end");
    let on_postgres = format!(
        "create function poison() returns trigger language plpgsql as $$ begin raise 'no'; end $$; \
         create trigger poison before insert on tokens for each row when ({condition}) execute function poison()"
    );
    site.place.tamper(&on_sqlite, &on_postgres).await;
    let answers = at_once(&site, (2..6).map(|number| appending(1, number, 15)).collect()).await;
    let failed: Vec<_> = answers.iter().map(Result::is_err).collect();
    assert_eq!(failed, [false, false, true, false]);
    assert_eq!(site.version(&poisoned).await, Version(0), "no event without its row");
    let log = site.log.read_log(Position(0), 100).await.expect("the log");
    assert_eq!(log.len(), 3);
    site.inline_models_equal_a_fold(1, &log).await.expect("rows for what is in the log");
}
