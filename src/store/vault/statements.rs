//! What the vault says to its database. Text that is equal in both is a constant of its own; the few that differ stand
//! side by side.

/// What each database has to be told in its own words.
#[derive(Debug, Clone, Copy)]
pub struct Texts {
    /// A data key, unless it was destroyed.
    pub data_key: &'static str,
    /// Which of these data keys are there.
    pub data_keys_among: &'static str,
    /// Which of these verifiers are there.
    pub verifiers_among: &'static str,
    /// A batch of members' data keys by their age.
    pub aged_data_keys: &'static str,
    /// Destroys a data key.
    pub remove_data_key: &'static str,
    /// Keeps a held secret.
    pub hold: &'static str,
}

/// A destroyed key is overwritten where it lies, and its row stays. Were rows deleted, pages would be merged, and a
/// stale copy of a key that moved would outlive the key: nothing in this table ever moves.
pub const SQLITE: Texts = Texts {
    data_key: "
select wrapped
from data_keys
where id = $1
and wrapped <> zeroblob(length(wrapped))",
    data_keys_among: "
select id
from data_keys
where id in (select unhex(value) from json_each($1))
and wrapped <> zeroblob(length(wrapped))",
    verifiers_among: "
select id
from verifiers
where id in (select unhex(value) from json_each($1))",
    aged_data_keys: "
select id, subject
from data_keys
where id > $1
and created_at < $2
and created_at >= $4
and subject <> 'site'
and wrapped <> zeroblob(length(wrapped))
order by id
limit $3",
    remove_data_key: "
update data_keys
set wrapped = zeroblob(length(wrapped))
where id = $1
and subject = $2",
    hold: "
insert into held_secrets (id, sealed, created_at, padding)
values ($1, $2, $3, zeroblob(4096))",
};

/// Where a row lay, `PostgreSQL` keeps its bytes until they are vacuumed, overwritten or not: a destroyed key goes.
pub const POSTGRES: Texts = Texts {
    data_key: "
select wrapped
from data_keys
where id = $1",
    data_keys_among: "
select id
from data_keys
where id = any($1)",
    verifiers_among: "
select id
from verifiers
where id = any($1)",
    aged_data_keys: "
select id, subject
from data_keys
where id > $1
and created_at < $2
and created_at >= $4
and subject <> 'site'
order by id
limit $3",
    remove_data_key: "
delete from data_keys
where id = $1
and subject = $2",
    hold: "
insert into held_secrets (id, sealed, created_at)
values ($1, $2, $3)",
};

pub const PUT_DATA_KEY: &str = "
insert into data_keys (id, subject, wrapped, created_at)
values ($1, $2, $3, $4)";

pub const SITE_KEY: &str = "
select id, wrapped
from data_keys
where subject = 'site'";

pub const SITE: &str = "
select site, epoch, position, event_id
from site
where id = 1";

pub const SET_SITE: &str = "
insert into site (id, site)
values (1, $1)
on conflict (id) do nothing";

pub const NOTE_SEEN: &str = "
update site
set epoch = $1, position = $2, event_id = $3
where id = 1
and (epoch, position) < ($1, $2)";

pub const LOWER_SEEN: &str = "
update site
set epoch = $1, position = $2, event_id = $3
where id = 1";

/// Whether it holds anything of anybody.
pub const HOLDS: &str = "
select 1 as found
from data_keys
where subject <> 'site'
union all
select 1
from verifiers
union all
select 1
from held_secrets
limit 1";

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

pub const DESTROY_VERIFIERS_OF: &str = "
delete from verifiers
where user_id = $1";

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
and digest is distinct from $2";

pub const END_SESSIONS_UNDER: &str = "
delete from sessions
where user_id = $1
and verifier = $2";

pub const END_LINKS_OF: &str = "
delete from links
where user_id = $1";

pub const END_LINKS_UNDER: &str = "
delete from links
where user_id = $1
and verifier = $2";

pub const END_SET_UP_LINK: &str = "
delete from links
where user_id is null";

pub const PUT_LINK: &str = "
insert into links (digest, user_id, verifier, expires_at)
values ($1, $2, $3, $4)";

pub const LINK: &str = "
select user_id, verifier, expires_at
from links
where digest = $1";

pub const END_LINK: &str = "
delete from links
where digest = $1";

/// One batch of each kind of row whose time is over.
pub const SWEEP: [&str; 3] = [
    "
delete from sessions
where digest in (
    select digest
    from sessions
    where expires_at <= $1
    limit $2
)",
    "
delete from links
where digest in (
    select digest
    from links
    where expires_at <= $1
    limit $2
)",
    "
delete from outcomes
where (scope, id) in (
    select scope, id
    from outcomes
    where expires_at <= $1
    limit $2
)",
];

pub const PING: &str = "
select count(*)
from (
    select 1
    from data_keys
    limit 1
) as found";
