-- What every vendor said about every field of an enriched lead: the value that was taken, and those that lost.
-- Replaced whole by the upload's next merge, as the frame `enriched_leads` is.

create table if not exists lead_intel.enriched_values (
    upload      text not null references lead_intel.lead_ingestions,
    lead_id     uuid not null,
    field       text not null,
    vendor      text not null,
    value       jsonb not null,
    answered_at timestamptz,
    confidence  double precision check (confidence between 0 and 1),
    chosen      boolean not null,
    primary key (upload, lead_id, field, vendor)
);
comment on column lead_intel.enriched_values.confidence is 'the vendor''s own score as a share; null: it gives none';
comment on column lead_intel.enriched_values.chosen is 'true for one vendor of a field: its value is the lead''s';
create unique index if not exists enriched_values_chosen on lead_intel.enriched_values (upload, lead_id, field)
    where chosen;

alter table lead_intel.enriched_values enable row level security;
