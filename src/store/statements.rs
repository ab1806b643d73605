//! SQL whose text is equal in both databases. What differs is in the dialects' own files; statements
//! that apply changes to read models are made in `changes`, from the tables' declarations.

/// The columns of an event, in the order in which rows are read and inserted.
macro_rules! event_columns {
    () => {
        "position, event_id, stream, version, type, type_version, recorded_at, actor, on_behalf_of, \
         client_address, request_id, command_id, causation, payload"
    };
}
pub(crate) use event_columns;

/// The columns of an event that a replay reads.
macro_rules! replay_columns {
    () => {
        "position, event_id, stream, version, type, type_version, recorded_at, actor, on_behalf_of, payload"
    };
}

/// The columns of an outcome.
macro_rules! outcome_columns {
    () => {
        "scope, command_id, body_digest, answer, position, recorded_at"
    };
}
pub(crate) use outcome_columns;

/// The columns of a post.
macro_rules! post_columns {
    () => {
        "post_id, created_at, comment_count, upvotes, downvotes, author_id, application_id, title, url, body"
    };
}
pub(crate) use post_columns;

macro_rules! events {
    ($rest:literal) => {
        concat!("select ", event_columns!(), "\nfrom events\n", $rest)
    };
}

macro_rules! accounts {
    ($rest:literal) => {
        concat!(
            "select user_id, username, standing, reviewer, auditor, operator, admin, verifier, data_key, registered_at\n",
            "from accounts\n",
            $rest
        )
    };
}

macro_rules! applications {
    ($rest:literal) => {
        concat!(
            "select application_id, owner_id, standing, purpose, name, description, website, redirect_uris, scopes,\n",
            "revision, client_id, requested_at, decided_at, decided_by, reason_code, reason_position\n",
            "from applications\n",
            $rest
        )
    };
}

macro_rules! authorizations {
    ($rest:literal) => {
        concat!(
            "select application_id, user_id, granted, scopes, via, authorized_at, rescinded_at\n",
            "from authorizations\n",
            $rest
        )
    };
}

macro_rules! tokens {
    ($rest:literal) => {
        concat!(
            "select digest, token_id, application_id, user_id, granted, kind, scopes, issued_at, expires_at, ended_at,\n",
            "ended_why\n",
            "from tokens\n",
            $rest
        )
    };
}

macro_rules! notifications {
    ($rest:literal) => {
        concat!(
            "select id, position, kind, created_at, read, from_id, application_id, post_id, comment_id, token_id, secret,\n",
            "held_until, revealed_at\n",
            "from notifications\n",
            $rest
        )
    };
}

// The log.

pub(crate) const HEAD: &str = "select epoch, position, recorded_at\nfrom head";
pub(crate) const READ_LOG: &str = events!("where position > $1\norder by position\nlimit $2");
pub(crate) const REPLAY: &str =
    concat!("select ", replay_columns!(), "\nfrom events\nwhere position > $1\norder by position\nlimit $2");
pub(crate) const READ_STREAM: &str = events!("where stream = $1 and version > $2\norder by version");
/// Versions and positions of a stream run alike, so the index of the stream gives the order.
pub(crate) const LIST_STREAM: &str = events!("where stream = $1 and position > $2\norder by version\nlimit $3");
pub(crate) const LIST_STREAM_TYPE: &str =
    events!("where stream = $1 and position > $2 and type = $4\norder by version\nlimit $3");
/// Walks the log: types have no index, since no path of a request asks for them.
pub(crate) const LIST_TYPE: &str = events!("where position > $1 and type = $3\norder by position\nlimit $2");
pub(crate) const OUTCOME: &str =
    concat!("select ", outcome_columns!(), "\nfrom outcomes\nwhere scope = $1 and command_id = $2");

// Bookkeeping of read models.

pub(crate) const INLINE_REVISION: &str = "select revision\nfrom inline_models\nwhere name = $1";
pub(crate) const SET_INLINE_REVISION: &str = "insert into inline_models (name, revision)\nvalues ($1, $2)\n\
    on conflict (name) do update set revision = excluded.revision";
pub(crate) const FORGET_INLINE_REVISION: &str = "delete from inline_models\nwhere name = $1";
pub(crate) const GENERATION: &str = "select revision, generation\nfrom generations\nwhere name = $1";
pub(crate) const SET_GENERATION: &str = "insert into generations (name, revision, generation)\nvalues ($1, $2, $3)\n\
    on conflict (name) do update set revision = excluded.revision, generation = excluded.generation";
pub(crate) const CURSOR: &str = "select epoch, position\nfrom cursor";
pub(crate) const PARKED: &str = "select position, stream, error\nfrom parked\norder by position";
pub(crate) const PARK: &str = "insert into parked (position, stream, error)\nvalues ($1, $2, $3)\n\
    on conflict (position) do update set error = excluded.error";
pub(crate) const FREE: &str = "delete from parked\nwhere position = $1";

// Inline read models.

pub(crate) const ACCOUNT: &str = accounts!("where user_id = $1");
/// A username that was given up by erasing may be somebody else's by now.
pub(crate) const ACCOUNT_NAMED: &str = accounts!("where username_digest = $1 and standing <> 'erased'");
pub(crate) const ACCOUNTS: &str = accounts!("where user_id > $1\norder by user_id\nlimit $2");
pub(crate) const APPLICATION: &str = applications!("where application_id = $1");
pub(crate) const APPLICATION_BY_CLIENT: &str = applications!("where client_id = $1");
pub(crate) const APPLICATIONS_OF: &str =
    applications!("where owner_id = $1\norder by requested_at desc, application_id desc");
pub(crate) const APPLICATIONS: &str =
    applications!("where (requested_at, application_id) > ($1, $2)\norder by requested_at, application_id\nlimit $3");
pub(crate) const APPLICATIONS_STANDING: &str = applications!(
    "where standing = $4 and (requested_at, application_id) > ($1, $2)\norder by requested_at, application_id\nlimit $3"
);
pub(crate) const AUTHORIZATIONS_OF: &str =
    authorizations!("where user_id = $1 and rescinded_at is null\norder by authorized_at desc, application_id desc");
pub(crate) const AUTHORIZATIONS: &str =
    authorizations!("where (application_id, user_id) > ($1, $2)\norder by application_id, user_id\nlimit $3");
pub(crate) const TOKENS_OF: &str = tokens!("where user_id = $1\norder by issued_at desc, digest desc");
pub(crate) const TOKEN: &str = tokens!("where token_id = $1");
pub(crate) const TOKENS: &str = tokens!("where digest > $1\norder by digest\nlimit $2");

// Trailing read models.

pub(crate) const NOTIFICATIONS: &str =
    notifications!("where user_id = $1 and position < $2\norder by position desc, id desc\nlimit $3");
pub(crate) const NOTIFICATIONS_UNREAD: &str =
    notifications!("where user_id = $1 and read = 0 and position < $2\norder by position desc, id desc\nlimit $3");
pub(crate) const MESSAGES: &str = notifications!(
    "where user_id = $1 and position < $2\n\
     and (kind in ('message', 'application_decision') or secret is not null)\n\
     order by position desc, id desc\nlimit $3"
);
pub(crate) const MESSAGES_UNREAD: &str = notifications!(
    "where user_id = $1 and read = 0 and position < $2\n\
     and (kind in ('message', 'application_decision') or secret is not null)\n\
     order by position desc, id desc\nlimit $3"
);
pub(crate) const NOTIFICATION: &str = notifications!("where user_id = $1 and id = $2");
pub(crate) const UNREAD_COUNT: &str = "select count(*) as unread\nfrom notifications\nwhere user_id = $1 and read = 0";
pub(crate) const OVERDUE_SECRETS: &str = "select user_id, id\nfrom notifications\n\
    where secret = 'held' and held_until <= $1\norder by held_until\nlimit $2";
pub(crate) const POST_COUNTS: &str = "select post_id, created_at, comment_count, upvotes, downvotes\nfrom posts\n\
    where created_at >= $1";
pub(crate) const COMMENTS: &str = "select comment_id, post_id, parent_id, author_id, application_id, body, created_at\n\
    from comments\nwhere post_id = $1\norder by created_at, comment_id";
