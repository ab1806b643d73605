-- Which site this is the log of: vault and root key carry the same id. A start compares them, so that no other site's
-- vault is taken for this one's.
create table site (
    id bigint primary key check (id = 1),
    site bytea not null check (length(site) = 16),
    -- How far the vault had come when it last said so: one that says less is an older copy.
    vault_epoch bigint not null default 0,
    vault_position bigint not null default 0
);

-- Which event a cursor is at. A program of the release before moves the cursor and leaves these: then the position
-- differs, and the id says nothing.
alter table cursors add column event_id bytea check (length(event_id) = 16);
alter table cursors add column event_position bigint;
