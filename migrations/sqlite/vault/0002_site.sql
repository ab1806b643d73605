-- Which site this is the vault of, and the newest event that it has seen in the log: a log that lacks it is an older
-- copy, or another site's.
create table site (
    id integer primary key not null check (id = 1),
    site blob not null check (length(site) = 16),
    epoch integer not null default 0,
    position integer not null default 0,
    event_id blob check (length(event_id) = 16)
) strict;
