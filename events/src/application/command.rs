//! What can be asked of an application, and what the shell knows of the reviewers when one of them asks.

use super::{Asked, Decision, Standing};
use crate::{
    ids::{ApplicationId, UserId},
    recorded::Timestamp,
    sensitive::Personal,
    token::ClientId,
};

/// What the shell knows of the reviewers when one of them acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bench {
    /// How many have to sign what gives power: an approval, or the approval of a change.
    pub signatures: Signatures,
    /// Whether somebody else could decide, who is neither the one who acts nor the owner.
    pub another: bool,
}

/// How many reviewers have to sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signatures {
    /// One decides.
    One,
    /// The first signs, the second decides.
    Two,
    /// Two, and who signed first is no reviewer any more: it begins anew.
    Anew,
}

/// What an owner read of their application before they withdraw it, as far as they say. It may have been approved or edited
/// since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seen {
    /// The revision.
    pub revision: Option<u32>,
    /// Where it stood.
    pub standing: Option<Standing>,
}

/// What can be asked of an application.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is what its name says")]
pub enum ApplicationCommand {
    Request {
        application_id: ApplicationId,
        owner: UserId,
        asked: Asked,
        at: Timestamp,
    },
    /// An edit while it is under review, a proposed change once it is approved. `seen` is the revision that its owner
    /// read, if they said; of another one they are told, and nothing is overwritten.
    Edit {
        asked: Asked,
        seen: Option<u32>,
        at: Timestamp,
    },
    Resubmit {
        asked: Asked,
        seen: Option<u32>,
        at: Timestamp,
    },
    Appeal {
        text: Personal,
        at: Timestamp,
    },
    Withdraw {
        seen: Seen,
        at: Timestamp,
    },
    WithdrawChange {
        seen: Option<u32>,
        at: Timestamp,
    },
    /// `seen` is the client id that its owner wants replaced, if they said.
    RotateClientId {
        client_id: ClientId,
        seen: Option<ClientId>,
        at: Timestamp,
    },
    Claim {
        by: UserId,
        bench: Bench,
        at: Timestamp,
    },
    Release {
        by: UserId,
        at: Timestamp,
    },
    Approve {
        decision: Decision,
        client_id: ClientId,
        bench: Bench,
    },
    Deny {
        decision: Decision,
        bench: Bench,
    },
    RequestChanges {
        decision: Decision,
        bench: Bench,
    },
    ApproveChange {
        decision: Decision,
        bench: Bench,
    },
    DenyChange {
        decision: Decision,
        bench: Bench,
    },
    Suspend {
        decision: Decision,
    },
    Reinstate {
        decision: Decision,
    },
    Revoke {
        decision: Decision,
    },
}
