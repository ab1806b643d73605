-- The log's database: events, the head, what came of commands, which read models were built.
-- Tables of the inline read models are not here: the server makes them from their declarations.

-- The log. Rows are added and never touched again.
create table events (
    -- 1, 2, 3 ... without a gap. The rowid itself: reading the log in order is a walk along the table.
    position integer primary key not null,
    -- Its unique index refuses the same event twice.
    event_id blob not null unique check (length(event_id) = 16),
    stream text not null,
    version integer not null,
    type text not null,
    type_version integer not null,
    -- Microseconds since 1970.
    recorded_at integer not null,
    actor text not null,
    on_behalf_of text,
    -- 16 bytes of the key's id and the sealed address; empty when its key was gone before it was sealed.
    client_address blob,
    request_id text,
    command_id text,
    causation blob,
    -- JSON, exactly as written.
    payload text not null,
    -- Its index loads a stream in order, finds a stream's version in one step, and decides races.
    unique (stream, version)
) strict;

create trigger events_are_not_updated
before update on events
begin
    select raise(abort, 'events are append-only');
end;

create trigger events_are_not_deleted
before delete on events
begin
    select raise(abort, 'events are append-only');
end;

-- `insert or replace` deletes without telling the trigger above, `insert or ignore` loses an event in
-- silence; both are refused before they look for a conflict. So is a gap: positions are 1, 2, 3 …
create trigger events_are_not_replaced
before insert on events
when new.position is not coalesce((select max(position) from events), 0) + 1
    or exists (select 1 from events where event_id = new.event_id)
    or exists (select 1 from events where stream = new.stream and version = new.version)
begin
    select raise(abort, 'events are append-only');
end;

-- The end of the log: one row, moved last in every append.
create table head (
    id integer primary key not null check (id = 1),
    epoch integer not null,
    position integer not null,
    recorded_at integer not null
) strict;

insert into head (id, epoch, position, recorded_at) values (1, 1, 0, 0);

-- Where epochs began: a restore or a promotion may have cut the log.
create table epochs (
    epoch integer primary key not null,
    began_after integer not null,
    recorded_at integer not null
) strict;

insert into epochs (epoch, began_after, recorded_at) values (1, 0, 0);

-- What came of commands, for whoever repeats one. The primary key is the table itself.
create table outcomes (
    scope text not null,
    command_id text not null,
    body_digest blob not null check (length(body_digest) = 32),
    answer text not null,
    position integer not null,
    recorded_at integer not null,
    primary key (scope, command_id)
) strict, without rowid;

-- Which revision of an inline read model was built; no row while it is being built.
create table inline_models (
    name text primary key not null,
    revision integer not null
) strict, without rowid;

-- Which generation of a trailing read model is read.
create table generations (
    name text primary key not null,
    revision integer not null,
    generation integer not null
) strict, without rowid;
