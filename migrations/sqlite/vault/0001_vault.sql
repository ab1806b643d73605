-- The vault: secrets that never enter the log. Everything in it is sealed, wrapped or digested
-- before it comes here. Ids are the 16 bytes of a UUID, digests 32 bytes, instants microseconds.

create table data_keys (
    id blob not null primary key check (length(id) = 16),
    -- `site`, or the member's id in its hyphenated form
    subject text not null check (subject = 'site' or length(subject) = 36),
    wrapped blob not null,
    created_at integer not null
) strict;

create unique index data_keys_site on data_keys (subject) where subject = 'site';

create table verifiers (
    id blob not null primary key check (length(id) = 16),
    user_id blob not null check (length(user_id) = 16),
    verifier text not null,
    created_at integer not null
) strict;

create index verifiers_user on verifiers (user_id);

-- SQLite overwrites what it deletes (secure_delete), but not the stale copy that a row leaves in a
-- page when the tree is balanced and the row moves. Behind a padding of one page, `sealed` lies in
-- overflow pages of its own: those never move, and deleting overwrites them. A rowid table, because
-- only there a row's own page takes less than the padding. The order of the columns is load-bearing.
create table held (
    id blob not null primary key check (length(id) = 16),
    created_at integer not null,
    padding blob not null check (length(padding) = 4096),
    sealed blob not null
) strict;

create table outcomes (
    scope text not null,
    id text not null,
    sealed blob not null,
    expires_at integer not null,
    primary key (scope, id)
) strict;

create index outcomes_expires_at on outcomes (expires_at);

create table sessions (
    digest blob not null primary key check (length(digest) = 32),
    user_id blob not null check (length(user_id) = 16),
    created_at integer not null,
    authenticated_at integer not null,
    expires_at integer not null
) strict, without rowid;

create index sessions_user on sessions (user_id);
create index sessions_expires_at on sessions (expires_at);

-- A link without a member sets the site up; there is one at most.
create table links (
    digest blob not null primary key check (length(digest) = 32),
    user_id blob check (length(user_id) = 16),
    expires_at integer not null
) strict, without rowid;

create unique index links_set_up on links ((user_id is null)) where user_id is null;
create index links_expires_at on links (expires_at);
