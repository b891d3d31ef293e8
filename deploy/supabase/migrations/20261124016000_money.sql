-- What was forecast beside what was spent, what a sample says of its list, and spending as analysts read it.

-- A forecast holds from when it was shown until its sample is enriched to the end, or until the next one.
create table lead_intel.sample_forecasts (
    forecast_id    bigint generated always as identity primary key,
    upload         text not null,
    sample_percent numeric(5, 2) not null check (sample_percent between 0 and 100),
    cost           numeric(14, 6) not null check (cost >= 0),
    by_vendor      jsonb not null,
    shown_at       timestamptz not null default clock_timestamp(),
    ended_at       timestamptz
);
create index sample_forecasts_upload on lead_intel.sample_forecasts (upload, forecast_id desc);
create unique index sample_forecasts_open on lead_intel.sample_forecasts (upload) where ended_at is null;
comment on column lead_intel.sample_forecasts.by_vendor is 'vendor -> calls, cached, cost; counts only, nobody''s data';

create table lead_intel.sample_estimates (
    upload   text primary key,
    estimate jsonb not null,
    made_at  timestamptz not null default clock_timestamp()
);
comment on table lead_intel.sample_estimates is 'what the enriched sample says about the whole list; shares and money only';

-- One row per day (UTC), supplier, upload, vendor, package, outcome and billing. Open calls are not in it.
create view lead_intel.spend_lines with (security_invoker = true) as
select (call.intended_at at time zone 'utc')::date as day, call.supplier, call.upload, call.vendor, call.package,
       call.outcome, call.billed, count(*) as calls,
       coalesce(sum(call.price) filter (where call.billed in ('yes', 'unknown')), 0) as spent
from lead_intel.vendor_calls call
where call.outcome is not null
group by 1, 2, 3, 4, 5, 6, 7;

-- Leads that may be contacted now: a fresh `send` under the upload's present profile.
create view lead_intel.contactable_leads with (security_invoker = true) as
select said.upload, present.supplier, said.lead_id
from lead_intel.dnc_verdicts said join lead_intel.lead_ingestions present using (upload)
where said.verdict = 'send' and said.profile = present.profile and said.fresh_until > clock_timestamp();

do $$
declare
    name text;
begin
    for name in select tablename from pg_tables where schemaname = 'lead_intel' loop
        execute format('alter table lead_intel.%I enable row level security', name);
    end loop;
end $$;
