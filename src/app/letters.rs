//! What the site writes to members, as title and body. Bodies are Markdown; no secret is ever in one.

use countersign_events::{
    application::{ApplicationEvent, Standing},
    recorded::Timestamp,
};

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
    let client = client_id.map(|id| format!("\n\nIts client id is `{id}`.")).unwrap_or_default();
    let body = format!(
        "{site} has approved **{name}**.{client}\n\nAn access token tied to your account waits in this message. Reveal it \
         before {}: it is shown once, and whoever has it can act as you. How to use it is told at {guide}.{}",
        day(until),
        quoted(reason),
    );
    (format!("“{name}” was approved"), body)
}

/// A reviewer decided otherwise.
pub fn decided(site: &str, name: &str, standing: Standing, reason_title: &str, reason: &str) -> Letter {
    let (verb, consequence) = match standing {
        Standing::Denied => {
            ("denied", "No client id or token was issued. The request and this decision stay on record.")
        }
        Standing::Suspended => ("suspended", "Its tokens rest; they live again when it is reinstated."),
        Standing::Revoked => ("revoked", "Its tokens have ended for good."),
        Standing::Approved => ("reinstated", "Its tokens are valid again."),
        Standing::UnderReview | Standing::ChangesRequested | Standing::Withdrawn => ("changed", ""),
    };
    let body = format!("{site} has {verb} **{name}**: {reason_title}.\n\n{consequence}{}", quoted(reason));
    (format!("“{name}” was {verb}"), body)
}

/// A held token ended unseen.
pub fn secret_expired(name: &str, tokens: &str) -> Letter {
    let body = format!(
        "Nobody revealed the token that came with the approval of **{name}** in time, so it was destroyed. You can have \
         another at {tokens}."
    );
    (format!("The token of “{name}” expired unseen"), body)
}

/// What everybody who authorized an application is told when it rests, lives again or ends.
pub fn to_audience(event: &ApplicationEvent, name: &str) -> Letter {
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
    (format!("“{name}” {title}"), format!("You authorized **{name}**. {body}"))
}

fn quoted(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!("\n\n> {}", reason.replace('\n', "\n> ")) }
}

fn day(at: Timestamp) -> String {
    at.format("%-d %B %Y, %H:%M UTC").to_string()
}
