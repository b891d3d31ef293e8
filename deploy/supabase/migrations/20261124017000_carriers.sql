-- Lookup's further packages, and carrier breakouts for analysts.

alter table lead_intel.phone_lookups add column fields jsonb not null default '{}';
comment on column lead_intel.phone_lookups.fields is
    'what the answer says beside the columns: fields of a further package, why a number is invalid';
