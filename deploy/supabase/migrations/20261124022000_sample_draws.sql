-- At which percent an upload's lead was first drawn, and in which stratum. There it stays in every sample of that percent
-- or a larger one, though its stratum has changed since.
create table if not exists lead_intel.sample_draws (
    upload      text not null references lead_intel.lead_ingestions,
    key_version text not null,
    lead_id     uuid not null,
    percent     numeric(5, 2) not null check (percent > 0 and percent <= 100),
    stratum     text not null,
    primary key (upload, key_version, lead_id)
);
comment on column lead_intel.sample_draws.percent is 'the smallest at which it was drawn';
create index if not exists sample_draws_by_lead on lead_intel.sample_draws (lead_id);
alter table lead_intel.sample_draws enable row level security;
