-- Which site this is the log of: vault and root key carry the same id. A start compares them, so that no other site's
-- vault is taken for this one's.
create table site (
    id integer primary key not null check (id = 1),
    site blob not null check (length(site) = 16),
    -- How far the vault had come when it last said so: one that says less is an older copy.
    vault_epoch integer not null default 0,
    vault_position integer not null default 0
) strict;
