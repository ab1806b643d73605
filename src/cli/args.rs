//! What can be typed: the commands with their arguments and help texts, and the requests they become.

pub(super) mod review;

use std::io::{self, Read as _};

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use countersign_events::{account::Role, codec, ids::TokenId, scope::ScopeSet, text};

use super::{
    Misuse, clock::Clock, events::Filters, execute::Request, lifetime::Lifetime, open::Missing,
    projections::Projections, table::Format, unsaid::TokenIds,
};
use crate::{config::Flags, nearest::nearest};

/// Longer than any password, in bytes.
const PASSWORD_BYTES: u64 = 4096;

/// Registers, reviews and authorizes third-party applications, with every step on record
#[derive(Parser)]
#[command(
    name = "countersign",
    version,
    after_help = "Beside a running server, commands are carried out by that server, through the control socket in its \
                  data directory.\nWithout one they open the data directory themselves.\n\n\
                  Exit codes: 0 done, 1 failed, 2 usage, 3 found a problem."
)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Subcommand)]
pub(super) enum Command {
    /// Run the site; an empty data directory is set up by itself
    #[command(after_help = "Examples:\n  countersign serve\n  \
                            countersign serve --listen 127.0.0.1:9000 --data-dir /var/lib/countersign\n  \
                            countersign serve --public-url https://site.example --site-name Example\n  \
                            countersign serve --demo --data-dir ./demo")]
    Serve {
        /// Make a new site although the root key of another is there, or name that one was meant to be made
        #[arg(long)]
        new_site: bool,
        #[command(flatten)]
        flags: Flags,
    },
    /// Add members, give them roles, suspend them, reset passwords
    #[command(subcommand)]
    Account(Account),
    /// See what waits for a reviewer, and decide
    #[command(subcommand)]
    Review(review::Review),
    /// Issue, show and revoke tokens
    #[command(subcommand)]
    Token(Token),
    /// Read the log
    #[command(subcommand)]
    Events(Events),
    /// Look after read models: status, check, rebuild, parked events
    #[command(subcommand)]
    Projections(Projections),
    /// See what the site makes of its clock, and say that it is right
    #[command(subcommand)]
    Clock(Clock),
    /// Look at a site, running or stopped, and say what is wrong and how to mend it; changes nothing
    #[command(after_help = "Examples:\n  countersign doctor\n  countersign doctor --deep --format json\n\n\
                            Ends with 3 when there is a problem; warnings end with 0.")]
    Doctor {
        /// Also read every page of every database, which takes as long as reading the files
        #[arg(long)]
        deep: bool,
        #[command(flatten)]
        shape: Shape,
    },
    /// Bring the tables of a site to this version; `serve` does so by itself where its role may
    #[command(after_help = "Examples:\n  countersign migrate --check\n  \
                            COUNTERSIGN_MIGRATE_DATABASE_URL=postgres://owner@db/site countersign migrate\n\n\
                            With --check it changes nothing, and ends with 3 when there is something to do.")]
    Migrate {
        /// Only say what there is to do
        #[arg(long)]
        check: bool,
        #[command(flatten)]
        shape: Shape,
    },
    /// Look at the configuration
    #[command(subcommand)]
    Config(Configuration),
}

#[derive(Subcommand)]
pub(super) enum Account {
    /// Add a member and print a link with which they set their password
    #[command(after_help = "Examples:\n  countersign account create ada --role admin\n  \
                            countersign account create bot-7 --password-stdin < password.txt\n  \
                            countersign account create ada --role admin --new-site --data-dir /var/lib/countersign")]
    Create {
        /// Username: 3 to 25 letters, digits, `_` and `-`
        #[arg(value_parser = username)]
        name: String,
        /// Role to give: reviewer, auditor, operator or admin; may be repeated
        #[arg(long = "role", value_name = "ROLE")]
        roles: Vec<Role>,
        /// Take the password from standard input instead of printing a link
        #[arg(long)]
        password_stdin: bool,
        /// Make the site first when there is none in the data directory yet
        #[arg(long)]
        new_site: bool,
        #[command(flatten)]
        flags: Flags,
    },
    /// List members
    List {
        #[command(flatten)]
        shape: Shape,
    },
    /// Give a member a role
    #[command(after_help = "Example:\n  countersign account grant rob reviewer")]
    Grant(NameAndRole),
    /// Take a role back
    #[command(after_help = "Example:\n  countersign account withdraw rob reviewer")]
    Withdraw(NameAndRole),
    /// Suspend a member: sessions end, tokens rest
    Suspend(Name),
    /// Let a suspended member act again
    Reinstate(Name),
    /// Print a link with which a member sets a new password, once, within an hour
    #[command(
        after_help = "Examples:\n  countersign account reset ben\n  countersign account reset ben --end-tokens\n\n\
                            The member's sessions end with the old password. Tokens go on unless --end-tokens, or the\n\
                            member on the page behind the link, ends them."
    )]
    Reset {
        #[command(flatten)]
        name: Name,
        /// End every token that can act for the member, at once
        #[arg(long)]
        end_tokens: bool,
    },
}

#[derive(Subcommand)]
pub(super) enum Token {
    /// Issue a token to a member and print it, once, alone on standard output
    #[command(after_help = "Example:\n  \
                            token=$(countersign token issue --user ada --scope \"review audit\" --expires 90d)")]
    Issue {
        /// Username of the member the token speaks for
        #[arg(long, value_name = "NAME")]
        user: String,
        /// Scopes, separated by spaces: read identity notifications messages write vote review audit
        #[arg(long, value_name = "SCOPES", value_parser = scopes)]
        scope: ScopeSet,
        /// Time to live, such as 90d, 12h or 30m [default: the setting `token_lifetime_days`]
        #[arg(long, value_name = "TIME")]
        expires: Option<Lifetime>,
        #[command(flatten)]
        flags: Flags,
    },
    /// Show whose a token is and whether it is valid; the token itself is stored nowhere
    Show {
        /// Id of the token, as `token issue` prints it and events of type `TokenIssued` have it
        #[arg(value_parser = TokenIds)]
        id: TokenId,
        #[command(flatten)]
        shape: Shape,
    },
    /// End a token for good
    Revoke {
        /// Id of the token
        #[arg(value_parser = TokenIds)]
        id: TokenId,
        #[command(flatten)]
        flags: Flags,
    },
}

#[derive(Subcommand)]
pub(super) enum Events {
    /// List events as sentences, oldest first
    #[command(after_help = "Examples:\n  countersign events list --after 1000 --limit 50\n  \
                            countersign events list --user ben --since 2026-01-31 --newest-first\n  \
                            countersign events list --type ApplicationApproved --actor rob --format csv")]
    List {
        /// Only events behind this position; with --newest-first, before it
        #[arg(long, value_name = "POSITION", value_parser = clap::value_parser!(u64).range(..=MOST))]
        after: Option<u64>,
        /// From the newest to the oldest
        #[arg(long)]
        newest_first: bool,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
        #[command(flatten)]
        filters: Filters,
        #[command(flatten)]
        shape: Shape,
    },
    /// Show an event: its sentence, everything that is stored of it, and what an auditor reads of what is sealed
    #[command(after_help = "Example:\n  countersign events show 42 --format json")]
    Show {
        /// Position of the event in the log
        #[arg(value_parser = clap::value_parser!(u64).range(1..=MOST))]
        position: u64,
        #[command(flatten)]
        shape: Shape,
    },
    /// Print new events as they are committed, until Ctrl-C; as JSON, a line each
    #[command(after_help = "Examples:\n  countersign events tail\n  \
                            countersign events tail --after 1000 --application ID --format json")]
    Tail {
        /// Begin behind this position [default: the end of the log]
        #[arg(long, value_name = "POSITION", value_parser = clap::value_parser!(u64).range(..=MOST))]
        after: Option<u64>,
        #[command(flatten)]
        filters: Filters,
        #[command(flatten)]
        shape: Shape,
    },
}

/// The last position that a database can count to.
const MOST: u64 = i64::MAX.unsigned_abs();

#[derive(Subcommand)]
pub(super) enum Configuration {
    /// Show every setting, its value and where it comes from; secrets only as set or not set
    #[command(after_help = "Example:\n  countersign config show --format json")]
    Show {
        #[command(flatten)]
        shape: Shape,
    },
}

#[derive(Args)]
pub(super) struct Shape {
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
    #[command(flatten)]
    pub(super) flags: Flags,
}

#[derive(Args)]
pub(super) struct Name {
    /// Username
    name: String,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Args)]
pub(super) struct NameAndRole {
    /// Username
    name: String,
    /// reviewer, auditor, operator or admin
    role: Role,
    #[command(flatten)]
    flags: Flags,
}

/// A command that an app carries out.
pub(super) struct Order {
    pub(super) request: Request,
    pub(super) flags: Flags,
    pub(super) format: Format,
    pub(super) missing: Missing,
}

impl Order {
    pub(super) fn new(request: Request, flags: Flags) -> Self {
        Self { request, flags, format: Format::default(), missing: Missing::Refuse }
    }

    pub(super) fn shaped(request: Request, Shape { format, flags }: Shape) -> Self {
        Self { format, ..Self::new(request, flags) }
    }
}

impl Account {
    /// Reads a password from standard input when that was asked for.
    pub(super) fn order(self) -> anyhow::Result<Order> {
        Ok(match self {
            Self::Create { name, roles, password_stdin, new_site, flags } => {
                let password = if password_stdin { Some(read_password(io::stdin().lock())?) } else { None };
                // A first member may come before the first start, as provisioning does it. It has to be said: a mistyped
                // path would become a site of its own.
                let missing = if new_site { Missing::MakeAnew } else { Missing::Refuse };
                Order { missing, ..Order::new(Request::AccountCreate { name, roles, password }, flags) }
            }
            Self::List { shape } => Order::shaped(Request::AccountList, shape),
            Self::Grant(NameAndRole { name, role, flags }) => Order::new(Request::AccountGrant { name, role }, flags),
            Self::Withdraw(NameAndRole { name, role, flags }) => {
                Order::new(Request::AccountWithdraw { name, role }, flags)
            }
            Self::Suspend(Name { name, flags }) => Order::new(Request::AccountSuspend { name }, flags),
            Self::Reinstate(Name { name, flags }) => Order::new(Request::AccountReinstate { name }, flags),
            Self::Reset { name: Name { name, flags }, end_tokens } => {
                Order::new(Request::AccountReset { name, end_tokens }, flags)
            }
        })
    }
}

impl Token {
    pub(super) fn order(self) -> Order {
        match self {
            Self::Issue { user, scope, expires, flags } => {
                Order::new(Request::TokenIssue { user, scopes: scope, expires }, flags)
            }
            Self::Show { id, shape } => Order::shaped(Request::TokenShow { id }, shape),
            Self::Revoke { id, flags } => Order::new(Request::TokenRevoke { id }, flags),
        }
    }
}

impl Events {
    pub(super) fn order(self) -> Result<Order, Misuse> {
        Ok(match self {
            Self::List { after, newest_first, limit, filters, shape } => {
                Order::shaped(Request::EventsList { after, newest_first, limit, filter: filters.typed()? }, shape)
            }
            Self::Show { position, shape } => Order::shaped(Request::EventsShow { position }, shape),
            Self::Tail { after, filters, shape } => {
                Order::shaped(Request::EventsFollow { after, filter: filters.typed()? }, shape)
            }
        })
    }
}

fn username(name: &str) -> Result<String, String> {
    text::username(name).map_err(|error| error.message)
}

fn scopes(names: &str) -> Result<ScopeSet, String> {
    let scopes = ScopeSet::parse(names).map_err(|error| error.to_string())?;
    if scopes.is_empty() { Err("name at least one scope".to_owned()) } else { Ok(scopes) }
}

pub(super) fn event_type(name: &str) -> Result<String, String> {
    let names = || codec::TYPES.iter().map(|known| known.name);
    if names().any(|known| known == name) {
        return Ok(name.to_owned());
    }
    let what_to_do = match nearest(name, names().map(ToOwned::to_owned)) {
        Some(nearest) => format!("did you mean {nearest}?"),
        None => format!("there are {}", names().collect::<Vec<_>>().join(", ")),
    };
    Err(format!("there is no such type of event; {what_to_do}"))
}

/// All of the input but one line break at its end.
fn read_password(input: impl io::Read) -> anyhow::Result<String> {
    let mut password = String::new();
    let length = input.take(PASSWORD_BYTES).read_to_string(&mut password);
    if length.context("cannot read the password from standard input")? as u64 == PASSWORD_BYTES {
        return Err(Misuse("the password on standard input is too long".to_owned()).into());
    }
    let line = password.strip_suffix('\n').unwrap_or(&password);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_commands_hold_together() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn arguments_become_a_request() {
        let line = "countersign token issue --user ada --scope review --expires 90d --data-dir /d";
        let Command::Token(token) = read(line).unwrap().command else { panic!("another command") };
        let Order { request, flags, missing, .. } = token.order();
        assert!(matches!(request, Request::TokenIssue { expires: Some(time), .. } if time.to_string() == "90d"));
        assert_eq!((flags.data_dir.as_deref(), missing), (Some("/d"), Missing::Refuse));
    }

    #[test]
    fn wrong_arguments_are_a_matter_of_usage() {
        let wrong = [
            "countersign account create a",
            "countersign account create ada --role king",
            "countersign token issue --user ada --scope everything",
            "countersign token issue --user ada --scope read --expires soon",
            "countersign token show 7",
            "countersign events list --limit 0",
            "countersign events list --stream nowhere",
            "countersign events list --type ApplicationAproved",
            "countersign events show 0",
            "countersign config show --format xml",
        ];
        for line in wrong {
            let Err(error) = read(line) else { panic!("taken: {line}") };
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn an_unknown_type_of_event_names_the_nearest() {
        let near = event_type("ApplicationAproved").unwrap_err();
        assert!(near.ends_with("did you mean ApplicationApproved?"), "{near}");
        let far = event_type("Banana").unwrap_err();
        assert!(!far.contains("did you mean") && far.contains("UserRegistered, "), "{far}");
    }

    #[test]
    fn a_password_ends_at_its_last_line_break() {
        assert_eq!(read_password(&b"correct horse \r\n"[..]).unwrap(), "correct horse ");
        assert_eq!(read_password(&b"correct horse"[..]).unwrap(), "correct horse");
        read_password([b'x'; 5000].as_slice()).unwrap_err();
    }
}
