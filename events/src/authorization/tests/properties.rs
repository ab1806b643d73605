//! What no sequence of commands can bring about.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::spec::Step;

/// Which command, which scopes, which of the newest tokens it names, how soon a new one expires.
type Ask = (u8, u8, u8, u32);

fn asks() -> impl Strategy<Value = Vec<Ask>> {
    prop::collection::vec((0_u8..24, 0_u8..3, 0_u8..8, 0_u32..40), 0..60)
}

/// Time goes on by a second a command, and every new token is the number of its command.
fn command(_: &Authorization, number: u32, (kind, may, back, lasts): Ask) -> C {
    let may = ["read", "vote", "read identity"][usize::from(may)];
    let new = u8::try_from(number).unwrap();
    let named = new.saturating_sub(back);
    let expires_at = (lasts > 0).then(|| at(number + lasts));
    let simple = new_token(new, TokenKind::Access, expires_at);
    let mine = new_token(new, TokenKind::Personal, expires_at);
    match kind {
        0..=11 => authorize(may, Via::Consent, simple, number),
        12 | 13 => authorize(may, Via::Approval, mine, number),
        14 => authorize(may, Via::Operator, mine, number),
        15 => C::Deny { user_id: ADA, application_id: APP, at: at(number) },
        16 | 17 => regenerate(named, mine, number),
        18 => regenerate(named, simple, number),
        19 => revoke(named, Ended::NeverRevealed, number),
        20 | 21 => revoke(named, Ended::Revoked, number),
        22 => authorize("write", Via::Consent, simple, number),
        _ => C::Rescind { user_id: ADA, application_id: APP, at: at(number) },
    }
}

fn check(Step { before, outcome, after }: &Step<Authorization>, now: Timestamp, issued: &mut BTreeSet<TokenId>) {
    let events = outcome.as_deref().unwrap_or_default();
    let live = after.tokens.iter().filter(|token| token.expires_at.is_none_or(|end| end > now));
    let simple = live.filter(|token| token.kind == TokenKind::Access).count();
    assert!(simple <= LIVE_SIMPLE_TOKENS, "{simple} live simple tokens");

    let anew = before.granted.is_none() && after.granted.is_some();
    assert_eq!(after.grant, before.grant + u32::from(anew), "a grant counts the times it was given anew");
    match (before.granted, after.granted) {
        (Some(had), Some(has)) => assert!(had.is_subset(has), "a consent took something away"),
        (Some(_), None) => assert!(matches!(events, [E::AuthorizationRescinded { .. }])),
        (None, _) => {}
    }
    if let Some(granted) = after.granted {
        assert!(granted.is_subset(seen().scopes), "more than the review granted");
        assert!(after.tokens.iter().all(|token| token.scopes.is_subset(granted)), "a token beyond its grant");
    } else {
        assert!(after.tokens.is_empty(), "a token outlived its grant");
    }

    let lapsed_kind = after.lapsed.as_ref().map(|lapsed| lapsed.kind);
    assert!(matches!(lapsed_kind, None | Some(TokenKind::Personal)), "only a personal token can be had again");

    let ids: BTreeSet<_> = after.tokens.iter().map(|token| token.id).collect();
    assert_eq!(ids.len(), after.tokens.len(), "a token is there twice");
    for event in events {
        match event {
            E::TokenIssued { token_id, grant, .. } => {
                assert_eq!(*grant, after.grant);
                assert!(issued.insert(*token_id), "issued twice");
            }
            E::TokenRevoked { token_id, digest, .. } => {
                let ended = before.tokens.iter().find(|token| token.id == *token_id);
                assert_eq!(ended.map(|token| token.digest), Some(*digest), "ended what was not live");
                assert!(!ids.contains(token_id));
            }
            _ => {}
        }
    }
    // What is live was issued now or was live before: nothing comes back.
    assert!(ids.iter().all(|id| before.live(*id).is_some() || events.iter().any(|event| issues(event, *id))));
}

fn issues(event: &E, id: TokenId) -> bool {
    matches!(event, E::TokenIssued { token_id, .. } if *token_id == id)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_commands_keeps_the_rules_of_an_authorization(asks in asks()) {
        let mut issued = BTreeSet::new();
        for (number, step) in (1..).zip(&spec::play(asks, command)) {
            check(step, at(number), &mut issued);
        }
    }
}
