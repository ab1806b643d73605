-- The vault: secrets that the log must never hold. Instants are microseconds since 1970, ids are 16 bytes.
-- Sealed and wrapped columns open only with the root key, which lies outside the data directory.

create table data_keys (
    id blob not null primary key,
    -- `site`, or the id of the member whose personal fields it opens.
    subject text not null,
    wrapped blob not null,
    created_at integer not null
) strict;

create unique index data_keys_of_the_site on data_keys (subject) where subject = 'site';

create table verifiers (
    id blob not null primary key,
    user_id blob not null,
    verifier text not null,
    created_at integer not null
) strict;

create index verifiers_by_user on verifiers (user_id);

-- SQLite overwrites what it deletes (secure_delete), but not the stale copy that a row leaves in a
-- page when the tree is balanced and the row moves. Behind a padding of one page, `sealed` lies in
-- overflow pages of its own: those never move, and deleting overwrites them. A rowid table, because
-- only there a row's own page takes less than the padding. The order of the columns is load-bearing.
create table held_secrets (
    id blob not null primary key,
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

create index outcomes_by_expiry on outcomes (expires_at);

create table sessions (
    -- Of the cookie, which only the browser has.
    digest blob not null primary key,
    user_id blob not null,
    verifier blob not null,
    created_at integer not null,
    authenticated_at integer not null,
    expires_at integer not null
) strict;

create index sessions_by_user on sessions (user_id);
create index sessions_by_expiry on sessions (expires_at);

create table links (
    digest blob not null primary key,
    -- The member whose password it sets; null for the set-up link.
    user_id blob,
    verifier blob,
    expires_at integer not null
) strict;

create unique index links_one_set_up on links ((user_id is null)) where user_id is null;
create index links_by_expiry on links (expires_at);
