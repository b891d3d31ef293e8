-- When a round may make its first call to a vendor: rounds that begin together, on whatever machine, take turns.
create unlogged table if not exists lead_intel.vendor_turns (
    vendor  text primary key,
    next_at timestamptz not null
);
comment on table lead_intel.vendor_turns is 'unlogged: after a crash of the database nobody is waiting';
alter table lead_intel.vendor_turns enable row level security;
