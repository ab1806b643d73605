//! The buttons of an application's page: which decisions are offered to whom, and what each says comes of it.

use countersign_events::{ids::UserId, redirect_uri::Purpose};

use crate::{
    app::{App, reviews::Verb},
    store::rows::ApplicationRow,
};

/// A decision that is possible, as its button says it.
pub(super) struct Offer {
    pub(super) verb: Verb,
    pub(super) label: String,
    pub(super) class: &'static str,
    /// What comes of it.
    pub(super) consequence: String,
}

impl Offer {
    /// Whether nobody can take it back.
    pub(super) const fn is_final(&self) -> bool {
        matches!(self.verb, Verb::Revoke)
    }
}

/// What can be decided: on what waits, and, apart from it, what takes something away from what is approved. What would
/// only be refused, or would do nothing, is not offered: an answer to what another has claimed, a second signature of
/// whoever signed first.
pub(super) fn offers(
    app: &App,
    row: &ApplicationRow,
    reader: UserId,
    claimed_by_another: bool,
) -> (Vec<Offer>, Vec<Offer>) {
    let signed = row.signed.map(|(user, _)| user).filter(|_| app.config.two_person_rule);
    let offer = |verb: Verb| {
        let words = verb.as_str().replace('-', " ");
        let (first, rest) = words.split_at(1);
        let class = match verb {
            Verb::Approve | Verb::ApproveChange | Verb::Reinstate => "",
            Verb::RequestChanges | Verb::DenyChange => "secondary",
            Verb::Deny | Verb::Suspend | Verb::Revoke | Verb::Claim | Verb::Release => "danger",
        };
        let signature = match signed {
            _ if !app.config.two_person_rule || !matches!(verb, Verb::Approve | Verb::ApproveChange) => "",
            None => "You sign first; it holds when another reviewer has signed as well. ",
            Some(_) => "Yours is the second signature: it decides. ",
        };
        let consequence = format!("{signature}{}", consequence(verb, row.purpose));
        Offer { verb, label: format!("{}{rest}", first.to_uppercase()), class, consequence }
    };
    let useful = |verb: &Verb| match verb {
        Verb::Approve | Verb::ApproveChange => !claimed_by_another && signed != Some(reader),
        Verb::Deny | Verb::RequestChanges | Verb::DenyChange => !claimed_by_another,
        Verb::Suspend | Verb::Reinstate | Verb::Revoke | Verb::Claim | Verb::Release => true,
    };
    let possible = Verb::possible(row.standing, row.proposed.is_some()).iter().copied().filter(useful);
    possible.map(offer).partition(|offer| !matches!(offer.verb, Verb::Suspend | Verb::Revoke))
}

const fn consequence(verb: Verb, purpose: Purpose) -> &'static str {
    match (verb, purpose) {
        (Verb::Approve, Purpose::Personal) => "Its owner gets a token.",
        (Verb::Approve, _) => "It gets a client id, and its owner a token.",
        (Verb::RequestChanges, _) => "It leaves the queue until its owner comes back with changes.",
        (Verb::Deny, _) => "Its owner can appeal; another reviewer then decides.",
        (Verb::ApproveChange, _) => "The proposed version takes the place of the approved one.",
        (Verb::DenyChange, _) => "The approved version goes on as it was.",
        (Verb::Suspend, _) => "Its tokens rest until a reviewer reinstates it.",
        (Verb::Reinstate, _) => "Its tokens are valid again.",
        (Verb::Revoke, _) => "Its tokens end for good. This cannot be undone.",
        (Verb::Claim | Verb::Release, _) => "",
    }
}
