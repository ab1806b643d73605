-- When a token last let somebody in, to the minute. Bookkeeping beside the log: no event tells of it, so no rebuild
-- makes it, and it may be lost. Nothing but the time: not from where, not what for.
create table token_uses (
    -- Of a row of the read model `tokens`; it goes when that row goes, or when its member is erased.
    digest bytea primary key check (length(digest) = 32),
    -- Microseconds since 1970, whole minutes.
    used_at bigint not null
)
with (fillfactor = 80);
