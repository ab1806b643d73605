-- The log's database: events, the head, what came of commands, which read models were built.
-- Tables of read models are not here: the server makes them from their declarations, in schemas of its own.

-- The log. Rows are added and never touched again.
create table events (
    -- 1, 2, 3 ... without a gap: assigned under the lock of the head, so their order is that of the commits.
    position bigint primary key,
    event_id bytea not null unique check (length(event_id) = 16),
    stream text collate "C" not null,
    version bigint not null,
    type text collate "C" not null,
    type_version bigint not null,
    -- Microseconds since 1970, by this server's clock under the lock of the head.
    recorded_at bigint not null,
    actor text collate "C" not null,
    on_behalf_of text collate "C",
    -- 16 bytes of the key's id and the sealed address; empty when its key was gone before it was sealed.
    client_address bytea,
    request_id text collate "C",
    command_id text collate "C",
    causation bytea,
    -- JSON, exactly as written: text, never json, which would be written anew.
    payload text collate "C" not null,
    -- Its index loads a stream in order, finds a stream's version in one step, and decides races.
    unique (stream, version)
)
-- No row ever changes, so pages are filled to the brim. Inserts alone make statistics and visibility stale.
with (
    fillfactor = 100,
    autovacuum_vacuum_insert_scale_factor = 0.02,
    autovacuum_analyze_scale_factor = 0.02,
    autovacuum_freeze_min_age = 1000000
);

create function events_are_append_only() returns trigger language plpgsql as $$
begin
    raise exception 'events are append-only' using errcode = 'restrict_violation';
end;
$$;

create trigger events_are_not_updated
before update or delete or truncate on events
for each statement execute function events_are_append_only();

-- What is added follows without a gap on what is there; what exists already is refused by the table's keys. The table is
-- named with its schema: whoever inserts may have another of the same name first in their search path.
create function events_leave_no_gap() returns trigger language plpgsql as $$
declare
    first bigint;
    last bigint;
    added bigint;
begin
    select min(position), max(position), count(*) into first, last, added from new_events;
    if added > 0 and (
        last - first + 1 <> added
        or first <> 1 and not exists (select from countersign.events where position = first - 1)
    ) then
        raise exception 'events are append-only' using errcode = 'restrict_violation';
    end if;
    return null;
end;
$$;

create trigger events_are_not_put_beyond_a_gap
after insert on events
referencing new table as new_events
for each statement execute function events_leave_no_gap();

-- The end of the log: one row, locked first and moved last in every append.
create table head (
    id bigint primary key check (id = 1),
    epoch bigint not null,
    position bigint not null,
    recorded_at bigint not null
)
-- One row that changes with every commit: room for its next versions on its page.
with (fillfactor = 10, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);

insert into head (id, epoch, position, recorded_at) values (1, 1, 0, 0);

-- Where epochs began: a restore or a promotion may have cut the log.
create table epochs (
    epoch bigint primary key,
    began_after bigint not null,
    recorded_at bigint not null,
    -- The server's timeline, as in the names of its write-ahead log: a promoted standby begins another.
    timeline text collate "C" not null
);

insert into epochs (epoch, began_after, recorded_at, timeline)
values (1, 0, 0, substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8));

-- What came of commands, for whoever repeats one.
create table outcomes (
    scope text collate "C" not null,
    command_id text collate "C" not null,
    body_digest bytea not null check (length(body_digest) = 32),
    answer text collate "C" not null,
    position bigint not null,
    recorded_at bigint not null,
    primary key (scope, command_id)
);

-- Which revision of an inline read model was built; no row while it is being built.
create table inline_models (
    name text collate "C" primary key,
    revision bigint not null
);

-- Which generation of a trailing read model is read. By revision: nodes of two releases each read their own.
create table generations (
    name text collate "C" not null,
    revision bigint not null,
    generation bigint not null,
    primary key (name, revision)
);

-- How far each generation came; rows of it and this one change in one transaction.
create table cursors (
    name text collate "C" not null,
    generation bigint not null,
    epoch bigint not null,
    position bigint not null,
    primary key (name, generation)
)
with (fillfactor = 50);

-- Events that a generation does not show.
create table parked (
    name text collate "C" not null,
    generation bigint not null,
    position bigint not null,
    stream text collate "C" not null,
    error text collate "C",
    primary key (name, generation, position)
);

-- Which node does what only one may do, until when. Its number rises with each holder, so that one who wakes from a
-- pause can be told from the one who took over.
create table leases (
    name text collate "C" primary key,
    holder bytea not null,
    number bigint not null,
    until bigint not null
)
with (fillfactor = 50);

-- The oldest program that still works with these tables, by the last step that it knows. A step that only adds leaves
-- it, so that two releases run side by side; one that takes away raises it.
create table compatibility (
    id bigint primary key check (id = 1),
    oldest bigint not null
);

insert into compatibility (id, oldest) values (1, 1);
