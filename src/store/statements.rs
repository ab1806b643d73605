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

/// What a replay reads of an event: no projection looks at anything else.
macro_rules! replay_columns {
    () => {
        "position, event_id, stream, version, type, type_version, recorded_at, actor, on_behalf_of, payload"
    };
}
pub(crate) use replay_columns;

/// The columns of an outcome.
macro_rules! outcome_columns {
    () => {
        "scope, command_id, body_digest, answer, position, recorded_at"
    };
}
pub(crate) use outcome_columns;

/// The columns of a post.
/// What a text of the front page takes with its HTML. One without any is so plain that its HTML is hardly longer.
macro_rules! text_bytes {
    () => {
        "octet_length(body) + coalesce(octet_length(body_html), octet_length(body))"
    };
}

/// Texts that take more than `$2` bytes are left out.
macro_rules! post_columns {
    () => {
        concat!(
            "post_id, created_at, comment_count, upvotes, downvotes, author_id, application_id, title, url,\n",
            "case when ",
            text_bytes!(),
            " <= $2 then body end as body,\n",
            "case when ",
            text_bytes!(),
            " <= $2 then body_html end as body_html,\n",
            "cast(case when ",
            text_bytes!(),
            " > $2 then 1 else 0 end as bigint) as left_out"
        )
    };
}

macro_rules! events {
    ($($rest:literal),+) => {
        concat!("select ", event_columns!(), "\nfrom events\n", $($rest),+)
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
    ($rest:expr) => {
        concat!(
            "select application_id, owner_id, standing, purpose, name, description, website, redirect_uris, scopes,\n",
            "revision, holds, revised_at, client_id, proposed, requested_at, waiting_since, answered_at, claimed_by,\n",
            "claimed_at, signed_by, signed_at, decided_at, decided_by, reason_code, reason_position\n",
            "from applications\n",
            $rest
        )
    };
}

/// A part of the review list: the rows that `$rows` names and every filter that is given.
macro_rules! review_where {
    ($rows:literal) => {
        concat!(
            "where ",
            $rows,
            "\nand (cast($4 as text) is null or standing = $4)\nand (cast($5 as text) is null or purpose = $5)\n",
            "and (cast($6 as text) is null or owner_id = $6)\n",
            // A claim that has lapsed claims nothing.
            "and (cast($7 as text) is null or (claimed_by = $7 and claimed_at > $8))\n",
            "and (cast($9 as text) is null or ' ' || scopes || ' ' like '% ' || $9 || ' %')\n",
            "and (cast($10 as bigint) is null or (answered_at is null and waiting_since < $10))\n",
            "and (cast($11 as bigint) is null or claimed_by is null or claimed_at <= $8)\n",
            "and (cast($12 as bigint) is null or answered_at is not null or waiting_since is null or waiting_since >= $12)\n"
        )
    };
}

/// The same in the order of `$order`.
macro_rules! review {
    ($rows:literal, $order:literal) => {
        applications!(concat!(review_where!($rows), "order by ", $order, "\nlimit $3"))
    };
}

/// How many there are. The limit is bound as everywhere, and counts for nothing.
macro_rules! review_count {
    ($rows:literal) => {
        concat!(
            "select count(*) as number\nfrom applications\n",
            review_where!($rows),
            "and cast($3 as bigint) is not null"
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

/// Statements that name a list, which `SQLite` takes as JSON and `PostgreSQL` as an array.
pub(crate) struct Lists {
    /// Events at positions.
    pub read_at: &'static str,
    /// The last event of each stream: one look into the index for each, however long the stream is. Its last version
    /// is at its last position.
    pub newest_of: &'static str,
    /// Those of these positions whose events are of a stream.
    pub of_stream: &'static str,
    /// Posts by their ids.
    pub posts: &'static str,
    /// What the text of each post takes.
    pub post_bytes: &'static str,
    /// Comments by their ids.
    pub comments: &'static str,
    /// Those of these positions whose events are of a subject.
    pub among: &'static str,
}

macro_rules! lists {
    ($one:literal, $two:literal, $from_one:literal) => {
        Lists {
            read_at: events!("where position ", $one),
            newest_of: events!(
                "where position in (\n    \
                 select (select position from events where stream = wanted.value order by version desc limit 1)\n    from ",
                $from_one,
                "\n)"
            ),
            of_stream: concat!("select position\nfrom events\nwhere stream = $1 and position ", $two),
            posts: concat!("select ", post_columns!(), "\nfrom posts\nwhere post_id ", $one),
            post_bytes: concat!(
                "select cast(coalesce(",
                text_bytes!(),
                ", 0) as bigint) as bytes\nfrom posts\nwhere post_id ",
                $one
            ),
            comments: concat!(
                "select comment_id, post_id, parent_id, author_id, application_id, body, body_html, created_at\n",
                "from comments\nwhere comment_id ",
                $one
            ),
            among: concat!("select position\nfrom subjects\nwhere subject = $1 and position ", $two),
        }
    };
}

/// Lists as texts of JSON.
pub(crate) const JSON_LISTS: Lists =
    lists!("in (select value from json_each($1))", "in (select value from json_each($2))", "json_each($1) as wanted");
/// Lists as arrays.
pub(crate) const ARRAY_LISTS: Lists = lists!("= any($1)", "= any($2)", "unnest($1::text[]) as wanted (value)");

// The log.

pub(crate) const HEAD: &str = "select epoch, position, recorded_at\nfrom head";
pub(crate) const READ_LOG: &str = events!("where position > $1\norder by position\nlimit $2");
pub(crate) const READ_STREAM: &str = events!("where stream = $1 and version > $2\norder by version");
/// Versions and positions of a stream run alike, so the index of the stream gives the order.
pub(crate) const STREAM_POSITIONS: &str = "select position\nfrom events\n\
    where stream = $1 and position > $2 and position < $3\norder by version\nlimit $4";
pub(crate) const STREAM_POSITIONS_BACK: &str = "select position\nfrom events\n\
    where stream = $1 and position > $2 and position < $3\norder by version desc\nlimit $4";
pub(crate) const RECORDED_AT: &str = "select recorded_at\nfrom events\nwhere position = $1";
pub(crate) const EVENT_ID_AT: &str = "select event_id\nfrom events\nwhere position = $1";
pub(crate) const NEXT_EPOCH: &str =
    "select began_after as position\nfrom epochs\nwhere epoch > $1\norder by epoch\nlimit 1";
pub(crate) const SITE: &str = "select site, vault_epoch, vault_position\nfrom site\nwhere id = 1";
pub(crate) const SET_SITE: &str = "insert into site (id, site)\nvalues (1, $1)\non conflict (id) do nothing";
pub(crate) const NOTE_VAULT: &str = "update site\nset vault_epoch = $1, vault_position = $2\n\
    where id = 1 and (vault_epoch, vault_position) < ($1, $2)";
pub(crate) const LOWER_VAULT: &str = "update site\nset vault_epoch = $1, vault_position = $2\nwhere id = 1";
pub(crate) const OUTCOME: &str =
    concat!("select ", outcome_columns!(), "\nfrom outcomes\nwhere scope = $1 and command_id = $2");

// Bookkeeping of read models.

pub(crate) const INLINE_REVISION: &str = "select revision\nfrom inline_models\nwhere name = $1";
pub(crate) const SET_INLINE_REVISION: &str = "insert into inline_models (name, revision)\nvalues ($1, $2)\n\
    on conflict (name) do update set revision = excluded.revision";
pub(crate) const FORGET_INLINE_REVISION: &str = "delete from inline_models\nwhere name = $1";
pub(crate) const CUT_OFF: &str = "select instant\nfrom cut_off";
pub(crate) const RAISE_CUT_OFF: &str = "update cut_off\nset instant = $1\nwhere instant < $1";
pub(crate) const LOWER_CUT_OFF: &str = "update cut_off\nset instant = $1\nwhere instant > $1";
pub(crate) const ANCHOR: &str = "select judged, destroying, watched\nfrom clock";
/// No time goes back. What is stored then.
pub(crate) const RAISE_ANCHOR: &str = "insert into clock (id, judged, destroying, watched)\nvalues (1, $1, $2, $3)\n\
    on conflict (id) do update\n\
    set judged = case when excluded.judged > clock.judged then excluded.judged else clock.judged end,\n    \
    destroying = case when excluded.destroying > clock.destroying then excluded.destroying else clock.destroying end,\n    \
    watched = case when excluded.watched > clock.watched then excluded.watched else clock.watched end\n\
    returning judged, destroying, watched";
pub(crate) const SET_ANCHOR: &str = "insert into clock (id, judged, destroying, watched)\nvalues (1, $1, $2, $3)\n\
    on conflict (id) do update\n\
    set judged = excluded.judged, destroying = excluded.destroying, watched = excluded.watched";
pub(crate) const FORGET_OUTCOMES: &str = "delete from outcomes\nwhere (scope, command_id) in (\n    \
    select scope, command_id\n    from outcomes\n    where recorded_at < $1\n    limit $2\n)";
pub(crate) const USES_OF: &str = "select tokens.digest, used_at\nfrom tokens\n\
    join token_uses on token_uses.digest = tokens.digest\nwhere user_id = $1";
pub(crate) const FORGET_USES_OF: &str =
    "delete from token_uses\nwhere digest in (\n    select digest\n    from tokens\n    where user_id = $1\n)";
pub(crate) const GENERATION: &str = "select revision, generation\nfrom generations\nwhere name = $1";
pub(crate) const SET_GENERATION: &str = "insert into generations (name, revision, generation)\nvalues ($1, $2, $3)\n\
    on conflict (name) do update set revision = excluded.revision, generation = excluded.generation";
pub(crate) const CURSOR: &str = "select epoch, position\nfrom cursor";
pub(crate) const MARK: &str = "select epoch, position, event_id\nfrom cursor";
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
pub(crate) const REVIEW: &str = review!("(requested_at, application_id) > ($1, $2)", "requested_at, application_id");
pub(crate) const REVIEW_NEWEST: &str =
    review!("(requested_at, application_id) < ($1, $2)", "requested_at desc, application_id desc");
pub(crate) const REVIEW_WAITING: &str =
    review!("answered_at is null and (waiting_since, application_id) > ($1, $2)", "waiting_since, application_id");
pub(crate) const REVIEW_WAITING_NEWEST: &str = review!(
    "answered_at is null and (waiting_since, application_id) < ($1, $2)",
    "waiting_since desc, application_id desc"
);
pub(crate) const REVIEW_COUNT: &str = review_count!("(requested_at, application_id) > ($1, $2)");
pub(crate) const REVIEW_COUNT_NEWEST: &str = review_count!("(requested_at, application_id) < ($1, $2)");
pub(crate) const REVIEW_COUNT_WAITING: &str =
    review_count!("answered_at is null and (waiting_since, application_id) > ($1, $2)");
pub(crate) const REVIEW_COUNT_WAITING_NEWEST: &str =
    review_count!("answered_at is null and (waiting_since, application_id) < ($1, $2)");
pub(crate) const STANDING_COUNT: &str = "select count(*) as number\nfrom applications\nwhere standing = $1";
pub(crate) const QUEUE_AHEAD: &str = "select count(*) as ahead\nfrom applications\n\
    where answered_at is null and (waiting_since, application_id) < ($1, $2)";
pub(crate) const RECENT_ANSWERS: &str = "select waiting_since, answered_at\nfrom applications\n\
    where answered_at is not null\norder by answered_at desc\nlimit $1";
pub(crate) const FORMER_CLIENT: &str =
    "select application_id, rotated_at\nfrom former_client_ids\nwhere client_id = $1";
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
pub(crate) const NOTIFICATIONS_OF: &str = notifications!(
    "where user_id = $1 and position < $2\n\
     and kind in ($4, $5, $6, $7, $8)\n\
     order by position desc, id desc\nlimit $3"
);
pub(crate) const NEWER_NOTIFICATIONS: &str = "select position\nfrom notifications\n\
    where user_id = $1 and position > $2 and read <= $4\n\
    and kind in ($5, $6, $7, $8, $9)\norder by position, id\nlimit $3";
pub(crate) const NOTIFICATION: &str = notifications!("where user_id = $1 and id = $2");
pub(crate) const UNREAD_COUNT: &str = "select count(*) as unread\nfrom notifications\nwhere user_id = $1 and read = 0";
pub(crate) const OVERDUE_SECRETS: &str = "select user_id, id\nfrom notifications\n\
    where secret = 'held' and held_until <= $1\norder by held_until\nlimit $2";
pub(crate) const POST_COUNTS: &str = "select post_id, created_at, comment_count, upvotes, downvotes\nfrom posts\n\
    where created_at >= $1";
pub(crate) const COMMENT_PLACES: &str = concat!(
    "select comment_id, parent_id, author_id, created_at, cast(coalesce(",
    text_bytes!(),
    ", 0) as bigint) as bytes\nfrom comments\nwhere post_id = $1 and (created_at, comment_id) > ($2, $3)\n",
    "order by created_at, comment_id\nlimit $4"
);
pub(crate) const COMMENT_AT: &str = "select created_at\nfrom comments\nwhere comment_id = $1 and post_id = $2";
/// Whole weeks from an instant on; instants are microseconds.
pub(crate) const REVIEW_STEPS: &str = "select kind, (recorded_at - $1) / 604800000000 as week, count(*) as steps\n\
    from review_steps\nwhere recorded_at >= $1 and recorded_at < $2\ngroup by kind, week";
pub(crate) const REVIEW_ANSWERS: &str = "select waiting_since, answered_at\nfrom review_answers\n\
    where answered_at >= $1\norder by answered_at desc\nlimit $2";
pub(crate) const SUBJECT_POSITIONS: &str = "select position\nfrom subjects\n\
    where subject = $1 and position > $2 and position < $3\norder by position\nlimit $4";
pub(crate) const SUBJECT_POSITIONS_BACK: &str = "select position\nfrom subjects\n\
    where subject = $1 and position > $2 and position < $3\norder by position desc\nlimit $4";
