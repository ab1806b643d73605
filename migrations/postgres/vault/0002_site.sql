-- Which site this is the vault of, and the newest event that it has seen in the log: a log that lacks it is an older
-- copy, or another site's.
create table site (
    id bigint primary key check (id = 1),
    site bytea not null check (length(site) = 16),
    epoch bigint not null default 0,
    position bigint not null default 0,
    event_id bytea check (length(event_id) = 16)
);
