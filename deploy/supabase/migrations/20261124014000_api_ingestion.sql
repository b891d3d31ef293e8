-- Leads that suppliers post: their keys, the one open upload of each, what was posted, and the traffic per minute.

alter table lead_intel.lead_ingestions
    add column source     text not null default 'file' check (source in ('file', 'api')),
    add column collecting boolean not null default false;
comment on column lead_intel.lead_ingestions.collecting is
    'rows still come in, or are not yet an object of the bucket: nothing may screen this upload';

create table lead_intel.api_keys (
    key_id     text primary key check (key_id ~ '^[0-9a-z]{10}$'),
    supplier   text not null,
    name       text not null default '',
    digest     bytea not null check (length(digest) = 32),
    created_by text not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    revoked_at timestamptz
);
comment on column lead_intel.api_keys.digest is 'SHA-256 of the whole key, which is 256 random bits and is kept nowhere';

create table lead_intel.api_uploads (
    upload       text primary key references lead_intel.lead_ingestions deferrable initially deferred,
    supplier     text not null,
    rows         bigint not null default 0,
    bytes        bigint not null default 0,
    columns      text[] not null,
    opened_at    timestamptz not null default now(),
    closes_at    timestamptz not null,
    closed_at    timestamptz,
    close_reason text check (close_reason in ('rows', 'bytes', 'time')),
    stored_at    timestamptz check (stored_at is null or closed_at is not null),
    check ((closed_at is null) = (close_reason is null))
);
comment on column lead_intel.api_uploads.closed_at is 'no row joins after this; never taken back';
comment on column lead_intel.api_uploads.stored_at is 'from then on the rows are the object in the bucket';
-- One open upload a supplier, whoever posts at the same moment.
create unique index api_uploads_open on lead_intel.api_uploads (supplier) where closed_at is null;
create index api_uploads_unstored on lead_intel.api_uploads (closed_at) where stored_at is null;

create table lead_intel.api_batches (
    batch       text primary key check (batch ~ '^bat_[0-9]{8}_[0-9a-z]{16}$'),
    supplier    text not null,
    upload      text not null references lead_intel.api_uploads,
    key_id      text not null references lead_intel.api_keys,
    idempotency bytea check (length(idempotency) = 32),
    fingerprint bytea not null,
    first_row   bigint not null check (first_row > 0),
    rows        integer not null check (rows > 0),
    columns     text[] not null,
    cells       bytea,
    accepted_at timestamptz not null default now(),
    unique (upload, first_row)
);
comment on column lead_intel.api_batches.cells is 'JSON array of rows, each an array of texts; null once the rows lie in the bucket';
comment on column lead_intel.api_batches.idempotency is 'SHA-256 of the Idempotency-Key: clients put anything into it';
create unique index api_batches_idempotency on lead_intel.api_batches (supplier, idempotency)
    where idempotency is not null;
create index api_batches_accepted on lead_intel.api_batches (accepted_at);

-- Requests per minute, outcome and duration (bucket of a geometric scale): what the hub shows, cheap to read.
create table lead_intel.api_minutes (
    supplier text not null,
    minute   timestamptz not null,
    outcome  text not null,
    bucket   smallint not null,
    requests bigint not null,
    rows     bigint not null,
    last_at  timestamptz not null,
    primary key (supplier, minute, outcome, bucket)
);

do $$
declare
    name text;
begin
    for name in select tablename from pg_tables where schemaname = 'lead_intel' loop
        execute format('alter table lead_intel.%I enable row level security', name);
    end loop;
end $$;
