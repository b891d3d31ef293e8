-- Quarantine as a state: what people did about rows that were not accepted, and rows counted apart from the reader.
-- Nothing here is deleted by a later screening: it is what a person said, not what a stage found.

alter table lead_intel.upload_files add column rows bigint check (rows >= 0);
comment on column lead_intel.upload_files.rows is 'rows with text below the header, counted apart from the reader; null: never counted';

-- The same corrected file resubmitted is the same file.
create unique index upload_files_correction on lead_intel.upload_files (upload, sha256) where kind = 'correction';

-- The list's columns in their order; the keys of quarantined_rows.original have none.
create table lead_intel.quarantine_layouts (
    upload  text primary key references lead_intel.lead_ingestions,
    columns jsonb not null
);
comment on column lead_intel.quarantine_layouts.columns is 'array of {name, label}: column of the raw frame, key in quarantined_rows.original';

create table lead_intel.corrections (
    upload         text not null,
    file_no        integer not null,
    columns        jsonb not null,
    resubmitted_by text not null,
    resubmitted_at timestamptz not null default now(),
    screened_at    timestamptz,
    primary key (upload, file_no),
    foreign key (upload, file_no) references lead_intel.upload_files
);
comment on column lead_intel.corrections.columns is 'array: for each column of the file the raw frame''s, null for those that only explain';
comment on column lead_intel.corrections.screened_at is 'null: the upload was not screened with this file yet';

-- What each row of a correction is: settled once, when it is resubmitted, so that no later rule moves it.
create table lead_intel.correction_rows (
    upload     text not null,
    file_no    integer not null,
    line       bigint not null,
    outcome    text not null check (outcome in ('corrects', 'unchanged', 'correction_unknown', 'correction_repeated',
                                                'correction_closed')),
    of_file_no integer,
    of_line    bigint,
    content    bytea not null,
    primary key (upload, file_no, line),
    foreign key (upload, file_no) references lead_intel.corrections,
    check (outcome <> 'corrects' or (of_file_no is not null and of_line is not null))
);
comment on column lead_intel.correction_rows.content is 'SHA-256 of the row''s cells: a row said again changes nothing';
-- One row has one correction; the correction may have its own.
create unique index correction_rows_of on lead_intel.correction_rows (upload, of_file_no, of_line)
    where outcome = 'corrects';

create table lead_intel.quarantine_releases (
    upload      text not null references lead_intel.lead_ingestions,
    file_no     integer not null,
    line        bigint not null,
    codes       text[] not null check (cardinality(codes) > 0),
    released_by text not null check (released_by <> ''),
    why         text not null check (why <> ''),
    released_at timestamptz not null default now(),
    screened_at timestamptz,
    primary key (upload, file_no, line)
);
comment on column lead_intel.quarantine_releases.codes is 'what the person vouched for; a code that the row gets later is not among them';

do $$
declare
    name text;
begin
    for name in select tablename from pg_tables where schemaname = 'lead_intel' loop
        execute format('alter table lead_intel.%I enable row level security', name);
    end loop;
end $$;
