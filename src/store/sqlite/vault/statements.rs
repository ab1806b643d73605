//! What the vault says to `SQLite`.

pub const PUT_DATA_KEY: &str = "
insert into data_keys (id, subject, wrapped, created_at)
values ($1, $2, $3, $4)";

pub const DATA_KEY: &str = "
select wrapped
from data_keys
where id = $1
and wrapped <> zeroblob(length(wrapped))";

/// `PostgreSQL` takes a list as an array instead.
pub const DATA_KEYS_AMONG: &str = "
select id
from data_keys
where id in (select unhex(value) from json_each($1))
and wrapped <> zeroblob(length(wrapped))";

pub const SITE_KEY: &str = "
select id, wrapped
from data_keys
where subject = 'site'";

pub const AGED_DATA_KEYS: &str = "
select id, subject
from data_keys
where id > $1
and created_at < $2
and created_at >= $4
and subject <> 'site'
and wrapped <> zeroblob(length(wrapped))
order by id
limit $3";

/// A destroyed key is overwritten where it lies, and its row stays. Were rows deleted, pages would be merged, and a
/// stale copy of a key that moved would outlive the key: nothing in this table ever moves.
pub const REMOVE_DATA_KEY: &str = "
update data_keys
set wrapped = zeroblob(length(wrapped))
where id = $1
and subject = $2";

pub const PUT_VERIFIER: &str = "
insert into verifiers (id, user_id, verifier, created_at)
values ($1, $2, $3, $4)";

pub const VERIFIER: &str = "
select verifier
from verifiers
where id = $1";

pub const AGED_VERIFIERS: &str = "
select id, user_id
from verifiers
where id > $1
and created_at < $2
and created_at >= $4
order by id
limit $3";

pub const REMOVE_VERIFIER: &str = "
delete from verifiers
where id = $1
and user_id = $2";

pub const DESTROY_VERIFIERS: &str = "
delete from verifiers
where user_id = $1
and id <> $2";

pub const DESTROY_VERIFIERS_OF: &str = "
delete from verifiers
where user_id = $1";

pub const HOLD: &str = "
insert into held_secrets (id, sealed, created_at, padding)
values ($1, $2, $3, zeroblob(4096))";

pub const HELD: &str = "
select sealed
from held_secrets
where id = $1";

pub const HELD_IDS: &str = "
select id, created_at
from held_secrets
where id > $1
order by id
limit $2";

pub const DESTROY_HELD: &str = "
delete from held_secrets
where id = $1";

pub const PUT_OUTCOME: &str = "
insert into outcomes (scope, id, sealed, expires_at)
values ($1, $2, $3, $4)";

pub const OUTCOME: &str = "
select sealed
from outcomes
where scope = $1
and id = $2";

pub const DROP_OUTCOME: &str = "
delete from outcomes
where scope = $1
and id = $2";

pub const PUT_SESSION: &str = "
insert into sessions (digest, user_id, verifier, created_at, authenticated_at, expires_at)
values ($1, $2, $3, $4, $5, $6)";

pub const SESSION: &str = "
select user_id, verifier, created_at, authenticated_at, expires_at
from sessions
where digest = $1";

pub const END_SESSION: &str = "
delete from sessions
where digest = $1";

/// `$2` is null when none is kept.
pub const END_SESSIONS_OF: &str = "
delete from sessions
where user_id = $1
and digest is not $2";

pub const END_LINKS_OF: &str = "
delete from links
where user_id = $1";

pub const END_SET_UP_LINK: &str = "
delete from links
where user_id is null";

pub const PUT_LINK: &str = "
insert into links (digest, user_id, verifier, expires_at)
values ($1, $2, $3, $4)";

pub const LINK: &str = "
select user_id, verifier
from links
where digest = $1
and expires_at > $2";

pub const END_LINK: &str = "
delete from links
where digest = $1";

/// One batch of each kind of row whose time is over.
pub const SWEEP: [&str; 3] = [
    "
delete from sessions
where rowid in (
    select rowid
    from sessions
    where expires_at <= $1
    limit $2
)",
    "
delete from links
where rowid in (
    select rowid
    from links
    where expires_at <= $1
    limit $2
)",
    "
delete from outcomes
where rowid in (
    select rowid
    from outcomes
    where expires_at <= $1
    limit $2
)",
];

/// Answers one row: busy, frames in the write-ahead log, frames moved.
pub const TRUNCATE: &str = "
pragma wal_checkpoint(truncate)";

pub const SYNCHRONOUS: &str = "
pragma synchronous";

pub const JOURNAL_MODE: &str = "
pragma journal_mode";

pub const SECURE_DELETE: &str = "
pragma secure_delete";

pub const PING: &str = "
select count(*)
from (
    select 1
    from data_keys
    limit 1
)";
