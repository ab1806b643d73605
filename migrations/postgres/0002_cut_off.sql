-- Rows of read models that were over before this instant are dead for good and leave in small batches. It is
-- moved forward before they go and never back, so that whoever builds a read model anew leaves out the same rows.
create table cut_off (
    id bigint primary key check (id = 1),
    -- Microseconds since 1970.
    instant bigint not null
);

insert into cut_off (id, instant) values (1, 0);

-- Old outcomes leave by their age.
create index outcomes_by_age on outcomes (recorded_at);
