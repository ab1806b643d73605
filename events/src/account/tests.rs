//! What may happen to a member and to a username, one sentence a test.

use proptest::prelude::*;

use super::{AccountCommand as C, AccountEvent as E, *};
use crate::spec::{self, at, data_key, user, verifier};

const ADA: UserId = user(1);
const BEN: UserId = user(2);

fn given(events: impl IntoIterator<Item = E>) -> spec::Given<Account> {
    spec::given(events)
}

fn registered() -> E {
    E::UserRegistered {
        user_id: ADA,
        username: "ada".into(),
        username_digest: UsernameDigest::new([1; 16]),
        verifier: verifier(1),
        data_key: data_key(1),
        at: at(0),
    }
}

fn register() -> C {
    C::Register {
        user_id: ADA,
        username: "ada".into(),
        username_digest: UsernameDigest::new([1; 16]),
        verifier: verifier(1),
        data_key: data_key(1),
        at: at(0),
    }
}

fn granted(role: Role) -> E {
    E::RoleGranted { user_id: ADA, role, at: at(1) }
}

fn suspended() -> E {
    E::UserSuspended { user_id: ADA, at: at(2) }
}

fn erased() -> E {
    E::UserErased { user_id: ADA, at: at(3) }
}

fn erase(another_admin: bool) -> C {
    C::Erase { another_admin, at: at(3) }
}

/// Every command but to register and to erase, as `another_admin` says whether somebody else is an administrator.
fn commands(another_admin: bool) -> Vec<C> {
    let mut commands = vec![
        C::ChangePassword { verifier: verifier(2), at: at(9) },
        C::Suspend { another_admin, at: at(9) },
        C::Reinstate { at: at(9) },
    ];
    for role in Role::ALL {
        commands.push(C::GrantRole { role, at: at(9) });
        commands.push(C::WithdrawRole { role, another_admin, at: at(9) });
    }
    commands
}

#[test]
fn joining_is_recorded() {
    given([]).when(register()).then([registered()]);
}

#[test]
fn an_id_joins_once() {
    given([registered()]).when(register()).refused(AccountRefusal::AlreadyRegistered);
    given([registered(), erased()]).when(register()).refused(AccountRefusal::AlreadyRegistered);
}

#[test]
fn nothing_can_be_asked_of_somebody_who_never_joined() {
    for command in commands(true).into_iter().chain([erase(true)]) {
        given([]).when(command).refused(AccountRefusal::NotRegistered);
    }
}

#[test]
fn nothing_can_be_asked_of_somebody_who_was_erased() {
    for command in commands(true).into_iter().chain(commands(false)) {
        given([registered(), granted(Role::Admin), erased()]).when(command).refused(AccountRefusal::Erased);
    }
}

#[test]
fn a_role_is_granted_once_and_withdrawn_once() {
    for role in Role::ALL {
        let grant = C::GrantRole { role, at: at(1) };
        let withdraw = C::WithdrawRole { role, another_admin: true, at: at(5) };
        given([registered()]).when(grant.clone()).then([granted(role)]);
        given([registered(), granted(role)]).when(grant).then_nothing();
        let withdrawn = E::RoleWithdrawn { user_id: ADA, role, at: at(5) };
        given([registered(), granted(role)]).when(withdraw.clone()).then([withdrawn.clone()]);
        given([registered(), granted(role), withdrawn]).when(withdraw).then_nothing();
    }
}

#[test]
fn the_last_administrator_keeps_the_role() {
    given([registered(), granted(Role::Admin)])
        .when(C::WithdrawRole { role: Role::Admin, another_admin: false, at: at(5) })
        .refused(AccountRefusal::LastAdministrator);
}

#[test]
fn the_last_administrator_is_not_suspended() {
    given([registered(), granted(Role::Admin)])
        .when(C::Suspend { another_admin: false, at: at(5) })
        .refused(AccountRefusal::LastAdministrator);
}

#[test]
fn the_last_administrator_can_lose_every_other_role() {
    given([registered(), granted(Role::Admin), granted(Role::Reviewer)])
        .when(C::WithdrawRole { role: Role::Reviewer, another_admin: false, at: at(5) })
        .then([E::RoleWithdrawn { user_id: ADA, role: Role::Reviewer, at: at(5) }]);
}

#[test]
fn an_administrator_among_several_can_be_suspended() {
    given([registered(), granted(Role::Admin)]).when(C::Suspend { another_admin: true, at: at(2) }).then([suspended()]);
}

#[test]
fn a_member_who_is_no_administrator_can_be_suspended_on_a_site_that_has_none() {
    given([registered(), granted(Role::Reviewer)])
        .when(C::Suspend { another_admin: false, at: at(2) })
        .then([suspended()]);
}

#[test]
fn suspending_and_reinstating_twice_record_once() {
    given([registered(), suspended()]).when(C::Suspend { another_admin: true, at: at(9) }).then_nothing();
    given([registered()]).when(C::Reinstate { at: at(9) }).then_nothing();
    given([registered(), suspended()])
        .when(C::Reinstate { at: at(9) })
        .then([E::UserReinstated { user_id: ADA, at: at(9) }]);
}

#[test]
fn erasing_is_recorded_once_also_of_somebody_who_is_suspended() {
    given([registered()]).when(erase(false)).then([erased()]);
    given([registered(), suspended()]).when(erase(true)).then([erased()]);
    given([registered(), erased()]).when(erase(true)).then_nothing();
    given([registered(), granted(Role::Admin), erased()]).when(erase(false)).then_nothing();
}

#[test]
fn the_last_administrator_is_not_erased_and_one_among_several_is() {
    let admin = given([registered(), granted(Role::Admin)]);
    admin.when(erase(false)).refused(AccountRefusal::LastAdministrator);
    admin.when(erase(true)).then([erased()]);
}

#[test]
fn an_erased_account_still_knows_which_username_it_gives_up() {
    let Account::Registered { username, .. } = given([registered(), erased()]).0 else { panic!("she joined") };
    assert_eq!(username, UsernameDigest::new([1; 16]));
}

#[test]
fn a_changed_password_names_only_the_new_verifier() {
    given([registered()]).when(C::ChangePassword { verifier: verifier(2), at: at(9) }).then([E::PasswordChanged {
        user_id: ADA,
        verifier: verifier(2),
        at: at(9),
    }]);
}

#[test]
fn a_suspension_leaves_the_roles_and_an_erasure_takes_them() {
    let roles = |events: Vec<E>| match given(events).0 {
        Account::Registered { roles, .. } => roles,
        Account::Unregistered => panic!("she joined"),
    };
    let auditor = Roles::from_iter([Role::Auditor]);
    assert_eq!(roles(vec![registered(), granted(Role::Auditor), suspended()]), auditor);
    assert_eq!(roles(vec![registered(), granted(Role::Auditor), erased()]), Roles::default());
}

#[test]
fn an_administrator_may_what_every_role_may_and_nobody_else_more_than_theirs() {
    for held in Role::ALL {
        for asked in Role::ALL {
            let allowed = Roles::from_iter([held]).allow(asked);
            assert_eq!(allowed, held == asked || held == Role::Admin, "{held} as {asked}");
            assert!(!Roles::default().allow(asked));
        }
    }
}

#[test]
fn every_role_reads_back_as_it_is_written() {
    for role in Role::ALL {
        assert_eq!(role.as_str().parse(), Ok(role));
    }
    assert_eq!("Admin".parse::<Role>(), Err(UnknownRole("Admin".to_owned())));
}

#[test]
fn a_free_username_is_claimed_and_a_claimed_one_is_taken() {
    let claimed = UsernameEvent::UsernameClaimed { user_id: ADA };
    spec::given::<Username>([]).when(UsernameCommand::Claim { user_id: ADA }).then([claimed.clone()]);
    let taken = spec::given::<Username>([claimed]);
    taken.when(UsernameCommand::Claim { user_id: ADA }).then_nothing();
    taken.when(UsernameCommand::Claim { user_id: BEN }).refused(UsernameTaken);
}

#[test]
fn only_its_owner_releases_a_username_and_then_anybody_may_claim_it() {
    let claimed = UsernameEvent::UsernameClaimed { user_id: ADA };
    let released = UsernameEvent::UsernameReleased { user_id: ADA };
    let taken = spec::given::<Username>([claimed.clone()]);
    taken.when(UsernameCommand::Release { user_id: BEN }).refused(UsernameTaken);
    taken.when(UsernameCommand::Release { user_id: ADA }).then([released.clone()]);
    let free = spec::given::<Username>([claimed, released]);
    free.when(UsernameCommand::Release { user_id: ADA }).then_nothing();
    free.when(UsernameCommand::Claim { user_id: BEN }).then([UsernameEvent::UsernameClaimed { user_id: BEN }]);
}

fn any_command(number: u32, (kind, role, another_admin): (u8, usize, bool)) -> C {
    let (role, at) = (Role::ALL[role], at(number));
    match kind {
        _ if number == 1 => register(),
        0 => register(),
        1..=3 => C::GrantRole { role, at },
        4..=6 => C::WithdrawRole { role, another_admin, at },
        7 => C::ChangePassword { verifier: verifier(number), at },
        8..=9 => C::Suspend { another_admin, at },
        12 => C::Erase { another_admin, at },
        _ => C::Reinstate { at },
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_commands_keeps_the_rules_of_an_account(
        asks in prop::collection::vec((0_u8..13, 0_usize..4, any::<bool>()), 1..40)
    ) {
        let alone: Vec<_> = asks.iter().map(|(_, _, another_admin)| !another_admin).collect();
        for (step, alone) in spec::play(asks, |_: &Account, number, ask| any_command(number, ask)).iter().zip(alone) {
            let Account::Registered { user_id, roles, standing, .. } = &step.after else { panic!("she joined") };
            prop_assert_eq!(*user_id, ADA);
            prop_assert!(step.events().len() <= 1);
            let Account::Registered { roles: had, standing: was, .. } = &step.before else { continue };
            if *was == AccountStanding::Erased {
                prop_assert!(step.events().is_empty(), "what was erased moves no more");
            }
            if *standing == AccountStanding::Erased {
                prop_assert!(roles.iter().next().is_none());
                let was_the_last = alone && had.iter().any(|role| role == Role::Admin);
                prop_assert!(!was_the_last, "the last administrator was erased");
                continue;
            }
            // Nothing is recorded for what holds, and each event moves exactly what it names.
            for event in step.events() {
                match event {
                    E::RoleGranted { role, .. } => prop_assert_eq!(&had.clone().with(*role), roles),
                    E::RoleWithdrawn { role, .. } => prop_assert_eq!(&had.clone().without(*role), roles),
                    _ => prop_assert_eq!(had, roles),
                }
                let rests = matches!(event, E::UserSuspended { .. } | E::UserReinstated { .. });
                prop_assert_eq!(was != standing, rests);
            }
            if alone && had.iter().any(|role| role == Role::Admin) {
                prop_assert!(roles.iter().any(|role| role == Role::Admin), "the last administrator lost the role");
                prop_assert!(*standing == AccountStanding::Active || was == standing, "the last one was suspended");
            }
        }
    }

    #[test]
    fn a_username_has_at_most_one_owner_and_only_the_owner_gives_it_up(
        asks in prop::collection::vec((any::<bool>(), 1_u32..4), 0..40)
    ) {
        let commands = asks.iter().map(|(claim, by)| (*claim, user(*by)));
        let steps = spec::play(commands, |_: &Username, _, (claim, user_id)| {
            if claim { UsernameCommand::Claim { user_id } } else { UsernameCommand::Release { user_id } }
        });
        let mut owner = None;
        for (step, (claim, by)) in steps.iter().zip(asks) {
            prop_assert_eq!(step.before.0, owner);
            let another = owner.is_some_and(|owner| owner != user(by));
            prop_assert_eq!(step.outcome.is_err(), another);
            if !another {
                owner = claim.then_some(user(by));
            }
            prop_assert_eq!(step.after.0, owner);
        }
    }
}
