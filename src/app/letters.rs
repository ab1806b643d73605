//! What the site writes to members, as title and body. Bodies are Markdown; no secret is ever in one, and a name that
//! somebody chose is a text in it, whatever Markdown the name has.

use countersign_events::{
    application::ApplicationEvent,
    authorization::{AuthorizationEvent, Ended},
    recorded::Timestamp,
    scope::{Scope, ScopeSet},
};

use super::reviews::Verb;

use crate::config::Config;

/// Title and body.
pub type Letter = (String, String);

/// The application was approved; a token waits.
pub fn approved(
    site: &str,
    guide: &str,
    name: &str,
    reason: &str,
    client_id: Option<&str>,
    until: Timestamp,
) -> Letter {
    let strong = strong(name);
    let client = client_id.map(|id| format!("\n\nIts client id is `{id}`.")).unwrap_or_default();
    let body = format!(
        "{site} has approved {strong}.{}{client}\n\nAn access token tied to your account comes with this message. It can \
         be revealed once, until {}, and whoever has it can act as you. How to use it is told at {guide}.",
        quoted(reason),
        day(until),
    );
    (format!("“{name}” was approved"), body)
}

/// A reviewer decided otherwise, or on a change.
pub fn decided(site: &str, name: &str, verb: Verb, reason_title: &str, reason: &str, page: &str) -> Letter {
    let strong = strong(name);
    let (title, done, consequence) = match verb {
        Verb::Deny => (
            "was denied",
            format!("{site} has denied {strong}"),
            format!(
                "No client id or token was issued. The request and this decision stay on record. You can appeal, and \
                 another reviewer looks at it where there is one: {page}."
            ),
        ),
        Verb::RequestChanges => (
            "needs changes",
            format!("{site} asks for changes of {strong}"),
            format!("It is decided on when you have resubmitted it: {page}."),
        ),
        Verb::ApproveChange => (
            "was changed",
            format!("{site} has approved the change of {strong}"),
            "It holds from now on. For members who authorized it before it may do no more than they agreed to."
                .to_owned(),
        ),
        Verb::DenyChange => (
            "stays as it was",
            format!("{site} has denied the change of {strong}"),
            "The approved version goes on as it was.".to_owned(),
        ),
        Verb::Suspend => (
            "was suspended",
            format!("{site} has suspended {strong}"),
            "Its tokens rest; they live again when it is reinstated.".to_owned(),
        ),
        Verb::Reinstate => {
            ("was reinstated", format!("{site} has reinstated {strong}"), "Its tokens are valid again.".to_owned())
        }
        Verb::Revoke => {
            ("was revoked", format!("{site} has revoked {strong}"), "Its tokens have ended for good.".to_owned())
        }
        // An approval has a letter of its own, and a claim none.
        Verb::Approve | Verb::Claim | Verb::Release => {
            ("was looked at", format!("{site} looked at {strong}"), String::new())
        }
    };
    (format!("“{name}” {title}"), format!("{done}: {reason_title}.{}\n\n{consequence}", quoted(reason)))
}

/// A held token ended unseen.
pub fn secret_expired(name: &str, tokens: &str) -> Letter {
    let strong = strong(name);
    let body = format!(
        "Nobody revealed the token that came with the approval of {strong} in time, so it was destroyed. You can have \
         another at {tokens}."
    );
    (format!("The token of “{name}” expired unseen"), body)
}

/// What everybody who authorized an application is told when it rests, lives again or ends.
pub fn to_audience(event: &ApplicationEvent, name: &str) -> Letter {
    let strong = strong(name);
    let (title, body) = match event {
        ApplicationEvent::ApplicationSuspended { .. } => {
            ("was suspended", "Its access to your account rests until it is reinstated.")
        }
        ApplicationEvent::ApplicationReinstated { .. } => ("was reinstated", "Its access to your account is back."),
        ApplicationEvent::ApplicationWithdrawn { .. } => {
            ("was withdrawn by its owner", "Its access to your account has ended.")
        }
        _ => ("was revoked", "Its access to your account has ended."),
    };
    (format!("“{name}” {title}"), format!("You authorized {strong}. {body}"))
}

/// What a member is told of what can act as them, by the name of its application.
pub fn of_access(event: &AuthorizationEvent, name: &str, config: &Config) -> Letter {
    use AuthorizationEvent as E;
    let strong = strong(name);
    let (apps, authorizations) = (config.url("/settings/apps"), config.url("/settings/authorizations"));
    match event {
        E::UserAuthorized { scopes, .. } => {
            let body = format!(
                "You authorized {strong}. {} Remove it at {authorizations} when you want it no longer, or did not mean it.",
                may(*scopes)
            );
            (format!("You authorized “{name}”"), body)
        }
        E::TokenIssued { scopes, expires_at, .. } => {
            let until = expires_at.map(|at| format!(" until {}", day(at))).unwrap_or_default();
            let body = format!(
                "A personal token of {strong} was made for your account. {} It is good{until}; whoever has it can act as you. \
                 End it at {apps} when you did not ask for it.",
                may(*scopes)
            );
            (format!("A new token of “{name}”"), body)
        }
        E::TokenRevoked { why, .. } => {
            let why = match why {
                Ended::Displaced => "a newer one took its place, since only so many live at once",
                Ended::Revoked => "the people who run this site ended it",
                Ended::GivenUp | Ended::Regenerated => "you ended it",
                Ended::NeverRevealed => "nobody revealed it in time",
                Ended::RoleLost => "the role it rests on was taken from you",
            };
            (
                format!("A token of “{name}” ended"),
                format!("A token of {strong} ended: {why}. Your tokens are at {apps}."),
            )
        }
        E::AuthorizationRescinded { .. } => {
            let body = format!("{strong} can act for you no longer. What you authorized is at {authorizations}.");
            (format!("The access of “{name}” was taken back"), body)
        }
        E::AuthorizationDenied { .. } => {
            (format!("You refused “{name}”"), format!("You did not authorize {strong}; it got nothing."))
        }
    }
}

/// A name, stressed. A link in it would be the site's own word to whoever reads the letter.
fn strong(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 8);
    for (at, letter) in name.char_indices() {
        let ends_www = letter == '.' && name[..at].to_ascii_lowercase().ends_with("www");
        if ends_www || "\\`*_[]<>&!:@~|".contains(letter) {
            text.push('\\');
        }
        text.push(letter);
    }
    format!("**{text}**")
}

/// A one-time link set a new password.
pub fn password_changed(site: &str, ended: usize, live: usize, apps: &str, authorizations: &str) -> Letter {
    let tokens = match (ended, live) {
        (0, 0) => "No token can act for you.".to_owned(),
        (0, 1) => "One token that can act for you goes on.".to_owned(),
        (0, live) => format!("{live} tokens that can act for you go on."),
        (1, _) => "The token that could act for you was ended.".to_owned(),
        (ended, _) => format!("The {ended} tokens that could act for you were ended."),
    };
    let body = format!(
        "A new password was set for your account, by whoever opened the one-time link that the people who run {site} made \
         for it. Every browser was logged out. {tokens}\n\nIf it was you, there is nothing to do. If it was not, somebody \
         else can log in as you: ask the people who run {site} for another link and set a password again, then end tokens \
         that you do not know at {apps}, and remove applications that you do not know at {authorizations}."
    );
    ("Your password was changed".to_owned(), body)
}

fn may(scopes: ScopeSet) -> String {
    let words: Vec<_> = scopes.iter().map(Scope::describe).collect();
    format!("It may:\n\n{}\n\n", words.iter().map(|words| format!("* {words}")).collect::<Vec<_>>().join("\n"))
}

fn quoted(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!("\n\n> {}", reason.replace('\n', "\n> ")) }
}

fn day(at: Timestamp) -> String {
    at.format("%-d %B %Y, %H:%M UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_brings_no_link_and_no_markup_into_what_the_site_says() {
        let names = [
            "[Log in](https://evil.example)",
            "[Log in][x]",
            "![x](https://evil.example)",
            "https://evil.example/a",
            "HTTP://evil.example",
            "ftp://evil.example",
            "www.evil.example",
            "WWW.evil.example",
            "<https://evil.example>",
            "a@evil.example",
            "mailto:a@evil.example",
            "<b>bold</b>",
            "<script>alert(1)</script>",
            "**",
            "a** b **c",
            "_x_",
            "`x`",
            "``",
            "~~x~~",
            "a\\",
            "\\[x](y)",
            "&#91;x](y)",
            "&lt;b&gt;",
            "|a|b|",
            "# x",
            "> x",
            "- x",
            "1. x",
            "xmpp:a@evil.example",
            "]( https://evil.example",
            "** [x](https://evil.example) **",
            "irc://evil.example",
        ];
        assert!(names.len() >= 30);
        for name in names {
            let (_, body) = secret_expired(name, "at the place of tokens");
            let html = countersign_projections::markdown::to_html(&body);
            let links: Vec<_> = html.match_indices("href=\"").map(|(at, _)| &html[at..]).collect();
            assert!(links.is_empty(), "{name}: {html}");
            let shown = html.replace("<p>", "").replace("</p>", "").replace("<strong>", "").replace("</strong>", "");
            let escaped = name.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
            assert!(shown.contains(&format!("approval of {escaped} in time")), "{name}: {html}");
        }
        assert_eq!(strong("Sorter (beta) 2.0, by Ada"), "**Sorter (beta) 2.0, by Ada**");
    }

    #[test]
    fn what_a_reviewer_wrote_stands_before_what_follows_from_it() {
        let (_, asked) = decided("Board", "Bot", Verb::RequestChanges, "It says too little", "How often?", "/here");
        assert_eq!(
            asked,
            "Board asks for changes of **Bot**: It says too little.\n\n> How often?\n\nIt is decided on when you have \
             resubmitted it: /here."
        );
        let (_, approved) = approved("Board", "/api", "Bot", "Welcome.", Some("c1"), Timestamp::UNIX_EPOCH);
        assert!(
            approved.starts_with("Board has approved **Bot**.\n\n> Welcome.\n\nIts client id is `c1`.\n\nAn access")
        );
    }
}
