-- What time it was, as far as this site was certain: stored each minute, so that no start with a wrong clock takes the
-- site back, or lets it destroy what is not over. No row before the first round of housekeeping.
create table clock (
    id bigint primary key check (id = 1),
    -- Microseconds since 1970: at which things are recorded and expire.
    judged bigint not null,
    -- At which whatever ends, forgets, purges or sweeps runs; never later.
    destroying bigint not null,
    -- The same without what it jumped while nobody watched the clock: what is kept for hours or days is forgotten by it.
    watched bigint not null
);
