//! The stable words that errors of the API carry as `code`, with their statuses and meanings. A test holds the table
//! to the code: no error has a word that is not here.

/// A word, the status it comes with, and what it means.
#[derive(Debug, Clone, Copy)]
pub struct Code {
    /// The word.
    pub word: &'static str,
    /// The status.
    pub status: u16,
    /// What it means and what to do.
    pub meaning: &'static str,
}

const fn code(status: u16, word: &'static str, meaning: &'static str) -> Code {
    Code { word, status, meaning }
}

/// Every one, by status.
pub const CODES: &[Code] = &[
    code(400, "token_transport", "A token stands in the address, or there are two. Send it once, as Authorization."),
    code(400, "command_id_malformed", "Idempotency-Key is not 1 to 64 visible ASCII characters."),
    code(400, "position_malformed", "Countersign-Position is not <epoch>.<position>."),
    code(400, "position_beyond_head", "Countersign-Position lies beyond the end of the log."),
    code(400, "too_many_parameters", "There are more than 200 parameters."),
    code(400, "unknown_parameter", "This path does not know a parameter; the answer names those it knows."),
    code(400, "json", "The body is not JSON."),
    code(400, "body", "The body broke off."),
    code(400, "limit", "limit is out of its range."),
    code(400, "cursor", "after is not the next of an earlier answer."),
    code(400, "page", "page is not a number from 1."),
    code(400, "unknown_value", "A parameter is none of its words; the answer names them."),
    code(401, "token_missing", "There is neither token nor session."),
    code(401, "token_malformed", "The token is mistyped, or came under another scheme than Bearer."),
    code(401, "token_unknown", "There is no such token."),
    code(401, "token_expired", "The token has run out."),
    code(401, "token_revoked", "The token, or the authorization it came of, was taken back."),
    code(401, "application_suspended", "The token's application is suspended; the token may live again."),
    code(401, "user_suspended", "The token's member is suspended."),
    code(401, "wrong_password", "Name and password do not belong together."),
    code(403, "insufficient_scope", "The token lacks a scope, which is named."),
    code(403, "session_required", "No token can do this: it needs a member signed in to a browser."),
    code(403, "role_missing", "The member lacks a role, which is named."),
    code(403, "csrf_token", "X-CSRF-Token is not this session's."),
    code(403, "cross_site", "A browser sent this from another site."),
    code(403, "own_application", "Nobody decides on an application of their own."),
    code(403, "own_denial", "The owner appeals against the reviewer's own denial; another reviewer has to decide."),
    code(403, "password_again", "The log-in is older than 15 minutes; give the password again."),
    code(403, "user_suspended", "The account is suspended."),
    code(403, "consent_ended", "The consent page was answered already, or is too old."),
    code(404, "not_found", "There is nothing here, or it is not yours."),
    code(404, "link_ended", "The link was used already, or is too old."),
    code(405, "method_not_allowed", "The path does not know this method; Allow names those it knows."),
    code(
        409,
        "wrong_state",
        "It is not in the state for this; `current` says where it stands, by whom and since when.",
    ),
    code(409, "revised", "It has moved on since the revision that was read; `current` has the new one."),
    code(409, "claimed", "Another reviewer has claimed it; `current` says who and until when."),
    code(409, "lost_race", "Others were faster, again and again; look at it and retry."),
    code(409, "already_revealed", "The secret was shown already; `current` says when."),
    code(409, "secret_expired", "The secret waited too long and ended; regenerate the token."),
    code(409, "secret_lost", "The secret cannot be opened any more; regenerate the token."),
    code(409, "scope_not_granted", "The application was not granted this scope."),
    code(409, "username_taken", "Somebody has this name."),
    code(409, "last_administrator", "The last administrator cannot lose the role or be suspended."),
    code(409, "already_set_up", "The site has its first administrator already."),
    code(413, "body", "The body is longer than 256 KiB."),
    code(415, "media_type", "The body is not sent as application/json."),
    code(422, "fields", "Fields do not fit; `errors` names each."),
    code(422, "command_id_reused", "Idempotency-Key was used with another body."),
    code(422, "no_such_comment", "The comment that is answered is not under this post."),
    code(429, "too_many_requests", "Too many requests; wait as Retry-After says."),
    code(429, "too_many_open_requests", "As many requests are open as a member may have; withdraw one, or wait."),
    code(500, "internal", "Something went wrong here; it was logged."),
    code(503, "log_not_newest", "The site takes no changes: its log is not the newest. Its operators have to mend it."),
    code(503, "vault_incomplete", "The site has lost a member's key or password; its operators have to put it back."),
    code(503, "unavailable", "The site cannot answer just now; nothing was lost."),
    code(
        503,
        "building",
        "What this shows is being built anew from the log, after an upgrade or a loss; nothing was lost.",
    ),
    code(503, "behind", "The answer is not as far as Countersign-Position wants; retry."),
    code(
        503,
        "clock_in_doubt",
        "The site's clock jumped: by one time the token, link or page is good, by the other it is over. Wait as Retry-After says.",
    ),
    code(503, "timeout", "It took too long and was given up."),
];

/// Those of these words that come with a status.
pub fn of_status<'a>(words: &'a [&str], status: u16) -> impl Iterator<Item = &'static Code> + 'a {
    CODES.iter().filter(move |code| code.status == status && words.contains(&code.word))
}
