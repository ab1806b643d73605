//! `countersign review`: what can be typed, and the requests it becomes.

use clap::{Args, Subcommand, ValueEnum};
use countersign_events::{ids::ApplicationId, redirect_uri::Purpose, scope::Scope, text};

use super::{Order, Shape};
use crate::{
    app::reviews::Verb,
    cli::{
        Misuse,
        execute::{
            Request,
            review::{Decision, Listed, Listing, ReviewRequest},
        },
    },
    config::Flags,
};

#[derive(Subcommand)]
pub(in crate::cli) enum Review {
    /// List what waits for a reviewer, the longest wait first
    #[command(after_help = "Examples:\n  countersign review list --overdue\n  \
                            countersign review list --state approved --sort newest --format json\n  \
                            countersign review list --as rob --claimed-by me")]
    List(List),
    /// Show an application: what it asks for, what waits, what happened to it
    Show {
        /// Id of the application, as `review list` shows it
        #[arg(value_parser = application)]
        id: ApplicationId,
        #[command(flatten)]
        shape: Shape,
    },
    /// Take an application up, so that other reviewers leave it alone for half an hour
    #[command(after_help = "Example:\n  countersign review claim ID --as rob")]
    Claim(Claim),
    /// Let go of an application that was taken up
    Release(Claim),
    /// Approve a request; under the two-person rule, sign it
    #[command(after_help = "Example:\n  countersign review approve ID --revision 1 --reason Welcome. --as rob")]
    Approve(Friendly),
    /// Deny a request; its owner can appeal once
    #[command(after_help = "Example:\n  countersign review deny ID --revision 1 --reason-code misleading \
                            --reason \"The name is that of another site.\" --as rob")]
    Deny(Verdict),
    /// Ask the owner of a request for changes
    RequestChanges(Verdict),
    /// Suspend an approved application: its tokens rest
    Suspend(Verdict),
    /// Let a suspended application act again
    Reinstate(Friendly),
    /// Revoke an application for good: its tokens end
    Revoke(Verdict),
    /// Approve the change that the owner of an approved application proposes
    ApproveChange(Friendly),
    /// Deny a proposed change; what was approved holds on
    DenyChange(Verdict),
}

#[derive(Args)]
pub(in crate::cli) struct List {
    /// Only in this state
    #[arg(
        long,
        value_name = "STATE",
        default_value = "waiting",
        help = "Only in this state: waiting, all, under_review, changes_requested, approved, denied, suspended, \
                revoked or withdrawn"
    )]
    state: Listed,
    /// Only for this purpose: web, personal or native
    #[arg(long, value_name = "PURPOSE")]
    purpose: Option<Purpose>,
    /// Only with this scope, such as vote
    #[arg(long, value_name = "SCOPE")]
    scope: Option<Scope>,
    /// Only of this member
    #[arg(long, value_name = "NAME")]
    owner: Option<String>,
    /// Only what this reviewer has claimed
    #[arg(long, value_name = "NAME")]
    claimed_by: Option<String>,
    /// Only what has waited longer than the setting `review_target_days` says
    #[arg(long)]
    overdue: bool,
    /// What comes first
    #[arg(long, value_enum, default_value_t)]
    sort: Sort,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// Who `me` is in --owner and --claimed-by
    #[arg(long = "as", value_name = "NAME")]
    member: Option<String>,
    #[command(flatten)]
    shape: Shape,
}

/// What comes first.
#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Sort {
    /// The oldest
    #[default]
    Oldest,
    /// The newest
    Newest,
}

#[derive(Args)]
pub(in crate::cli) struct Claim {
    /// Id of the application
    #[arg(value_parser = application)]
    id: ApplicationId,
    /// The reviewer who does it
    #[arg(long = "as", value_name = "NAME")]
    member: String,
    #[command(flatten)]
    flags: Flags,
}

/// A decision that takes something from somebody.
#[derive(Args)]
pub(in crate::cli) struct Verdict {
    /// Id of the application
    #[arg(value_parser = application)]
    id: ApplicationId,
    /// The revision that was read, as `review show` names it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    revision: u32,
    /// Clause of the site's policy [default: other]
    #[arg(long, value_name = "CODE")]
    reason_code: Option<String>,
    /// Why, in words for the owner
    #[arg(long, value_name = "TEXT", value_parser = text::reason)]
    reason: String,
    /// The reviewer who decides; the rules for this member hold
    #[arg(long = "as", value_name = "NAME")]
    member: String,
    #[command(flatten)]
    flags: Flags,
}

/// A decision that takes nothing from anybody.
#[derive(Args)]
pub(in crate::cli) struct Friendly {
    /// Id of the application
    #[arg(value_parser = application)]
    id: ApplicationId,
    /// The revision that was read, as `review show` names it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    revision: u32,
    /// Clause of the site's policy
    #[arg(long, value_name = "CODE", help = "Clause of the site's policy [default: meets_policy]")]
    reason_code: Option<String>,
    /// Something to say to the owner
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// The reviewer who decides; the rules for this member hold
    #[arg(long = "as", value_name = "NAME")]
    member: String,
    #[command(flatten)]
    flags: Flags,
}

impl Review {
    pub(in crate::cli) fn order(self) -> Result<Order, Misuse> {
        Ok(match self {
            Self::List(list) => list.order()?,
            Self::Show { id, shape } => Order::shaped(Request::Review(ReviewRequest::Show { id }), shape),
            Self::Claim(claim) => claim.order(Verb::Claim),
            Self::Release(claim) => claim.order(Verb::Release),
            Self::Approve(friendly) => friendly.order(Verb::Approve),
            Self::Deny(verdict) => verdict.order(Verb::Deny),
            Self::RequestChanges(verdict) => verdict.order(Verb::RequestChanges),
            Self::Suspend(verdict) => verdict.order(Verb::Suspend),
            Self::Reinstate(friendly) => friendly.order(Verb::Reinstate),
            Self::Revoke(verdict) => verdict.order(Verb::Revoke),
            Self::ApproveChange(friendly) => friendly.order(Verb::ApproveChange),
            Self::DenyChange(verdict) => verdict.order(Verb::DenyChange),
        })
    }
}

impl List {
    fn order(self) -> Result<Order, Misuse> {
        let is_me = |name: &Option<String>| name.as_deref() == Some("me");
        if self.member.is_none() && (is_me(&self.owner) || is_me(&self.claimed_by)) {
            return Err(Misuse("`me` is nobody without --as NAME".to_owned()));
        }
        let listing = Listing {
            state: self.state,
            purpose: self.purpose,
            scope: self.scope,
            owner: self.owner,
            claimed_by: self.claimed_by,
            overdue: self.overdue,
            newest_first: self.sort == Sort::Newest,
            limit: self.limit,
            member: self.member,
        };
        Ok(Order::shaped(Request::Review(ReviewRequest::List(listing)), self.shape))
    }
}

impl Claim {
    fn order(self, verb: Verb) -> Order {
        let Self { id, member, flags } = self;
        let (revision, reason_code, reason) = (0, None, String::new());
        let decision = Decision { id, verb, revision, reason_code, reason, member };
        Order::new(Request::Review(ReviewRequest::Decide(decision)), flags)
    }
}

impl Verdict {
    fn order(self, verb: Verb) -> Order {
        let Self { id, revision, reason_code, reason, member, flags } = self;
        let decision = Decision { id, verb, revision, reason_code, reason, member };
        Order::new(Request::Review(ReviewRequest::Decide(decision)), flags)
    }
}

impl Friendly {
    fn order(self, verb: Verb) -> Order {
        let Self { id, revision, reason_code, reason, member, flags } = self;
        let reason = reason.unwrap_or_default();
        let decision = Decision { id, verb, revision, reason_code, reason, member };
        Order::new(Request::Review(ReviewRequest::Decide(decision)), flags)
    }
}

fn application(id: &str) -> Result<ApplicationId, String> {
    id.parse()
        .map_err(|_| "that is no id of an application; `countersign review list --state all` shows them".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::args::{Cli, Command};

    const ID: &str = "01926f3e-8a00-7000-8000-000000000001";

    fn read(line: &str) -> Result<Order, clap::Error> {
        match Cli::try_parse_from(line.replace("ID", ID).split(' '))?.command {
            Command::Review(review) => Ok(review.order().expect("it holds together")),
            _ => panic!("another command"),
        }
    }

    #[test]
    fn a_decision_carries_who_decides_on_what_and_why() {
        let line = "countersign review deny ID --revision 3 --reason No. --as rob";
        let Request::Review(ReviewRequest::Decide(decision)) = read(line).ok().unwrap().request else {
            panic!("another request")
        };
        assert_eq!((decision.verb, decision.revision, decision.reason_code), (Verb::Deny, 3, None));
        assert_eq!((decision.reason.as_str(), decision.member.as_str()), ("No.", "rob"));
    }

    #[test]
    fn a_decision_names_revision_and_member_and_what_takes_something_away_its_reason() {
        let wrong = [
            "review approve ID --revision 1",
            "review approve ID --as rob",
            "review approve ID --revision 0 --as rob",
            "review approve 7 --revision 1 --as rob",
            "review deny ID --revision 1 --as rob",
            "review suspend ID --revision 1 --as rob",
            "review revoke ID --revision 1 --as rob",
            "review request-changes ID --revision 1 --as rob",
            "review deny-change ID --revision 1 --as rob",
            "review claim ID",
            "review list --state finished",
            "review list --sort best",
            "review list --limit 0",
            "review list --purpose desktop",
        ];
        for line in wrong {
            let Err(error) = read(&format!("countersign {line}")) else { panic!("taken: {line}") };
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }
}
