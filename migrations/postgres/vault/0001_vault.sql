-- The vault: secrets that the log must never hold. Instants are microseconds since 1970, ids are 16 bytes.
-- Sealed and wrapped columns open only with the root key, which no database has.

create table data_keys (
    id bytea primary key,
    -- `site`, or the id of the member whose personal fields it opens.
    subject text collate "C" not null,
    wrapped bytea not null,
    created_at bigint not null
);

create unique index data_keys_of_the_site on data_keys (subject) where subject = 'site';

create table verifiers (
    id bytea primary key,
    user_id bytea not null,
    verifier text collate "C" not null,
    created_at bigint not null
);

create index verifiers_by_user on verifiers (user_id);

create table held_secrets (
    id bytea primary key,
    created_at bigint not null,
    sealed bytea not null
);

create table outcomes (
    scope text collate "C" not null,
    id text collate "C" not null,
    sealed bytea not null,
    expires_at bigint not null,
    primary key (scope, id)
);

create index outcomes_by_expiry on outcomes (expires_at);

create table sessions (
    -- Of the cookie, which only the browser has.
    digest bytea primary key,
    user_id bytea not null,
    verifier bytea not null,
    created_at bigint not null,
    authenticated_at bigint not null,
    expires_at bigint not null
);

create index sessions_by_user on sessions (user_id);
create index sessions_by_expiry on sessions (expires_at);

create table links (
    digest bytea primary key,
    -- The member whose password it sets; null for the set-up link.
    user_id bytea,
    verifier bytea,
    expires_at bigint not null
);

create unique index links_one_set_up on links ((user_id is null)) where user_id is null;
create index links_by_expiry on links (expires_at);

-- The oldest program that still works with these tables, by the last step that it knows.
create table compatibility (
    id bigint primary key check (id = 1),
    oldest bigint not null
);

insert into compatibility (id, oldest) values (1, 1);
