-- At which percent a supplier's lead was first drawn: there it stays in every sample of that percent or a larger one,
-- though its stratum or its list has changed since.
create table if not exists lead_intel.sample_draws (
    supplier    text not null,
    key_version text not null,
    lead_id     uuid not null,
    percent     numeric(5, 2) not null check (percent > 0 and percent <= 100),
    primary key (supplier, key_version, lead_id)
);
comment on column lead_intel.sample_draws.percent is 'the smallest at which it was drawn';
alter table lead_intel.sample_draws enable row level security;
