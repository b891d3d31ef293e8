-- What a person says of a list's columns, and the layouts in which each supplier has delivered.

-- Said of one upload; confirmed for its supplier and layout once a screening has used it.
create table if not exists lead_intel.column_choices (
    upload     text primary key references lead_intel.lead_ingestions,
    columns    jsonb not null default '{}',
    header_row integer check (header_row >= 0),
    chosen_by  text not null,
    chosen_at  timestamptz not null default now(),
    applied_at timestamptz
);
comment on column lead_intel.column_choices.columns is 'our column -> its header in the list, #3 for the third column, or blank for none';
comment on column lead_intel.column_choices.header_row is 'line of the header in the list, 0 for a list without one; null: the first row with text';

alter table lead_intel.column_mappings add column if not exists headers text[];
alter table lead_intel.column_mappings add column if not exists first_upload text;
alter table lead_intel.column_mappings add column if not exists last_seen_at timestamptz;
comment on column lead_intel.column_mappings.headers is 'the layout: headers as written, in order';

-- How the layout of an upload differs from its supplier's list before, and which columns may be meant.
create table if not exists lead_intel.upload_layouts (
    upload      text primary key references lead_intel.lead_ingestions,
    mapping     jsonb not null,
    suggestions jsonb not null default '{}',
    changed     jsonb,
    judged_at   timestamptz not null default now()
);
comment on column lead_intel.upload_layouts.changed is 'null: a layout in which this supplier has delivered before, or its first list';

do $$
declare
    name text;
begin
    for name in select tablename from pg_tables where schemaname = 'lead_intel' loop
        execute format('alter table lead_intel.%I enable row level security', name);
    end loop;
end $$;
