-- The system of record of Lead Intel. Runs on PostgreSQL 15 to 18, on Supabase and on a plain server.
-- Row-level security is on for every table and no policy grants anything: only the owner reads and writes.
-- Phones are E.164 digits as bigint; money is numeric in US dollars; every clock is the database's.

create schema if not exists lead_intel;
revoke all on schema lead_intel from public;

-- Uploads ------------------------------------------------------------------------------------------

create table lead_intel.lead_ingestions (
    upload           text primary key check (upload ~ '^upl_[0-9]{8}_[0-9a-z]{10}$'),
    supplier         text not null,
    profile          text not null default 'strict' check (profile in ('strict', 'lenient')),
    profile_screened text check (profile_screened in ('strict', 'lenient')),
    sha256           text not null,
    state            text not null default 'received' check (state in (
                         'received', 'screening', 'screened', 'enriching', 'planned', 'awaiting_approval',
                         'activating', 'activated', 'paused', 'stopped', 'rejected', 'failed')),
    state_reason     text,
    state_message    text,
    state_remedy     text,
    stage            text check (stage in ('validation', 'lookup', 'dnc', 'enrichment', 'activation')),
    stage_done       bigint,
    stage_total      bigint,
    stage_seconds    jsonb not null default '{}',
    mapping          jsonb,
    sample_percent   numeric(5, 2) check (sample_percent between 0 and 100),
    sample_by        text,
    activation_ready boolean not null default false,
    rows_file        bigint,
    rows_accepted    bigint,
    rows_quarantined bigint,
    rows_duplicate   bigint,
    stop_requested   boolean not null default false,
    run_id           text,
    heartbeat_at     timestamptz,
    created_at       timestamptz not null default now(),
    updated_at       timestamptz not null default now(),
    -- The same bytes from the same supplier are the same upload.
    unique (supplier, sha256)
);
comment on column lead_intel.lead_ingestions.sample_percent is 'chosen by a person; null until then';
comment on column lead_intel.lead_ingestions.sample_by is 'who chose it; may not approve where policy wants a second person';
comment on column lead_intel.lead_ingestions.profile_screened is 'the profile under which the present verdicts were given';
comment on column lead_intel.lead_ingestions.run_id is 'the Dagster run that holds this upload; its heartbeat is heartbeat_at';

create table lead_intel.upload_files (
    upload         text not null references lead_intel.lead_ingestions,
    file_no        integer not null check (file_no > 0),
    kind           text not null default 'list' check (kind in ('list', 'correction', 'api')),
    bucket         text not null,
    object_path    text not null,
    object_version text not null,
    file_name      text not null,
    bytes          bigint not null,
    sha256         text not null,
    format         text,
    encoding       text,
    delimiter      text,
    sheet          text,
    created_at     timestamptz not null default now(),
    primary key (upload, file_no)
);

-- Every object version that was looked at, so that each is handled once whoever sees it first.
create table lead_intel.bucket_objects (
    bucket         text not null,
    object_path    text not null,
    object_version text not null,
    upload         text references lead_intel.lead_ingestions,
    -- As listed by the bucket: lets a sweep skip what it knows without asking for each object's version.
    listed_at      timestamptz,
    seen_at        timestamptz not null default now(),
    primary key (bucket, object_path, object_version)
);

create table lead_intel.column_mappings (
    supplier           text not null,
    header_fingerprint text not null,
    mapping            jsonb not null,
    confirmed_by       text,
    updated_at         timestamptz not null default now(),
    primary key (supplier, header_fingerprint)
);

create table lead_intel.leads (
    lead_id      uuid primary key,
    phone        bigint not null,
    email        text,
    first_upload text not null,
    created_at   timestamptz not null default now()
);
create index leads_phone on lead_intel.leads (phone);

-- One row per occurrence of a lead in an upload: the row, its evidence of consent, its further columns.
create table lead_intel.upload_leads (
    upload       text not null,
    file_no      integer not null,
    line         bigint not null,
    lead_id      uuid not null,
    duplicate    boolean not null,
    known        boolean not null,
    shared_phone boolean not null,
    consent      jsonb not null,
    attributes   jsonb not null,
    primary key (upload, file_no, line)
);
create index upload_leads_lead on lead_intel.upload_leads (lead_id);

create table lead_intel.quarantined_rows (
    upload   text not null,
    file_no  integer not null,
    line     bigint not null,
    codes    text[] not null check (cardinality(codes) > 0),
    original jsonb not null,
    state    text not null default 'open' check (state in ('open', 'released', 'corrected')),
    primary key (upload, file_no, line)
);

-- Paid answers -------------------------------------------------------------------------------------

create table lead_intel.spend_budgets (
    scope    text not null check (scope in ('day', 'upload', 'vendor')),
    key      text not null,
    cap      numeric(14, 6) not null check (cap >= 0),
    reserved numeric(14, 6) not null default 0 check (reserved >= 0),
    settled  numeric(14, 6) not null default 0 check (settled >= 0),
    primary key (scope, key),
    constraint spend_within_budget check (reserved + settled <= cap)
);

create table lead_intel.vendor_calls (
    call_id      bigint generated always as identity primary key,
    vendor       text not null,
    package      text not null,
    subject      text not null,
    upload       text not null,
    supplier     text not null,
    price        numeric(12, 6) not null,
    outcome      text check (outcome in ('ok', 'no_match', 'partial', 'invalid', 'vendor_error', 'rate_limited',
                                         'quota', 'auth', 'timeout', 'indeterminate')),
    billed       text check (billed in ('yes', 'no', 'unknown')),
    answer       jsonb,
    seconds      double precision,
    intended_at  timestamptz not null default now(),
    answered_at  timestamptz,
    check ((outcome is null) = (answered_at is null))
);
create index vendor_calls_subject on lead_intel.vendor_calls (vendor, package, subject);
create index vendor_calls_open on lead_intel.vendor_calls (upload) where outcome is null;
-- Guardrails look at a vendor's newest outcomes, and at one upload's calls.
create index vendor_calls_recent on lead_intel.vendor_calls (vendor, answered_at);
create index vendor_calls_upload on lead_intel.vendor_calls (upload, vendor);
-- An open intent is a claim: two uploads that share a subject pay once, the second waits for the first.
create unique index vendor_calls_claim on lead_intel.vendor_calls (vendor, package, subject) where outcome is null;
comment on column lead_intel.vendor_calls.subject is 'the key of the answer: E.164 digits, a lead id or an e-mail; never logged';
comment on column lead_intel.vendor_calls.outcome is 'null: intent committed, no result yet';

-- Who calls a vendor's account right now; each round divides the account's pace by the rounds it sees here.
create unlogged table lead_intel.vendor_rounds (
    round_id uuid primary key,
    vendor   text not null,
    seen_at  timestamptz not null default clock_timestamp()
);

create table lead_intel.spend_entries (
    entry_id bigint generated always as identity primary key,
    call_id  bigint not null references lead_intel.vendor_calls,
    kind     text not null check (kind in ('reserve', 'settle', 'refund')),
    amount   numeric(12, 6) not null,
    at       timestamptz not null default now()
);
create index spend_entries_call on lead_intel.spend_entries (call_id);

create table lead_intel.phone_lookups (
    phone        bigint not null,
    package      text not null,
    outcome      text not null,
    valid        boolean,
    line_type    text,
    carrier_name text,
    mobile_country_code text,
    mobile_network_code text,
    country_code text,
    error_code   integer,
    call_id      bigint,
    answered_at  timestamptz not null default now(),
    primary key (phone, package)
);
create index phone_lookups_recent on lead_intel.phone_lookups (answered_at);

create table lead_intel.carrier_breakouts (
    upload    text not null,
    carrier   text not null,
    line_type text not null,
    numbers   bigint not null,
    share     double precision not null,
    primary key (upload, carrier, line_type)
);

create table lead_intel.enrichments (
    lead_id     uuid not null,
    vendor      text not null,
    outcome     text not null,
    fields      jsonb not null default '{}',
    call_id     bigint,
    answered_at timestamptz not null default now(),
    primary key (lead_id, vendor)
);

-- Compliance ---------------------------------------------------------------------------------------

create table lead_intel.dnc_snapshots (
    digest       text primary key,
    source       text not null,
    jurisdiction text not null,
    version_date date not null,
    numbers      bigint not null,
    area_codes   integer[] not null,
    path         text not null,
    imported_at  timestamptz not null default now()
);

create table lead_intel.dnc_verdicts (
    upload      text not null,
    lead_id     uuid not null,
    profile     text not null check (profile in ('strict', 'lenient')),
    verdict     text not null check (verdict in ('send', 'hold', 'block')),
    reasons     text[] not null,
    snapshot    text,
    screened_at timestamptz not null default now(),
    fresh_until timestamptz not null,
    primary key (upload, lead_id)
);

-- Answers of the DNC vendor, reused while fresh.
create table lead_intel.dnc_answers (
    phone       bigint not null,
    vendor      text not null,
    result_code text not null,
    reason      text not null,
    call_id     bigint,
    answered_at timestamptz not null default now(),
    primary key (phone, vendor)
);

-- Keyed digests only; never expire (47 CFR 64.1200(d)(6); Virginia SB 1339).
create table lead_intel.suppressions (
    kind       text not null check (kind in ('phone', 'email')),
    digest     bytea not null,
    reason     text not null,
    channel    text not null,
    created_at timestamptz not null default now(),
    primary key (kind, digest)
);

-- Sample, audiences, pushes ------------------------------------------------------------------------

create table lead_intel.lead_samples (
    upload   text not null,
    lead_id  uuid not null,
    stratum  text not null,
    position bigint not null,
    primary key (upload, lead_id)
);

create table lead_intel.personas (
    persona    text not null,
    version    text not null,
    definition jsonb not null,
    first_used timestamptz not null default now(),
    primary key (persona, version)
);

-- Who belongs to which persona of an upload, and why the plan leaves a member out.
create table lead_intel.persona_members (
    upload   text not null,
    persona  text not null,
    lead_id  uuid not null,
    version  text not null,
    score    double precision not null,
    excluded text,
    primary key (upload, persona, lead_id)
);
comment on column lead_intel.persona_members.excluded is 'null: wanted in the audience';

create table lead_intel.activation_plans (
    plan          text primary key check (plan ~ '^plan_[0-9a-z]{12}$'),
    upload        text not null references lead_intel.lead_ingestions,
    kind          text not null default 'difference' check (kind in ('difference', 'exits')),
    sample_percent numeric(5, 2) not null,
    profile       text not null,
    policy        text not null,
    facts         text not null,
    messages      text not null,
    state         text not null default 'draft' check (state in ('draft', 'approved', 'activated', 'superseded')),
    additions     bigint not null,
    changes       bigint not null,
    removals      bigint not null,
    personas      jsonb not null,
    created_at    timestamptz not null default now(),
    approved_by   text,
    approved_at   timestamptz
);
create index activation_plans_upload on lead_intel.activation_plans (upload);
comment on column lead_intel.activation_plans.facts is 'digest of what the plan was made from; a changed fact needs a new plan';
comment on column lead_intel.activation_plans.messages is 'digest of the plan''s message ids';
comment on column lead_intel.activation_plans.kind is 'exits: removals that need no approval; they never stand in the way of a difference';
comment on column lead_intel.activation_plans.policy is 'digest of the persona and activation policy that the plan was made under';

create table lead_intel.activation_outbox (
    message_id text primary key check (length(message_id) <= 100),
    plan       text not null references lead_intel.activation_plans,
    upload     text not null,
    lead_id    uuid not null,
    persona    text not null,
    action     text not null check (action in ('add', 'change', 'remove')),
    version    text not null,
    payload    jsonb not null,
    state      text not null default 'pending' check (state in ('pending', 'sent', 'failed', 'withheld')),
    attempts   integer not null default 0,
    reason     text,
    created_at timestamptz not null default now(),
    attempted_at timestamptz,
    sent_at    timestamptz
);
comment on column lead_intel.activation_outbox.attempted_at is 'when it was last handed to the wire; Segment drops a resend for 24 hours';
create index activation_outbox_upload on lead_intel.activation_outbox (upload, state);
create index activation_outbox_plan on lead_intel.activation_outbox (plan, message_id);
create index activation_outbox_member on lead_intel.activation_outbox (lead_id, persona);

-- What each audience holds by our own account: the base of every difference.
create table lead_intel.audience_members (
    persona    text not null,
    lead_id    uuid not null,
    upload     text not null,
    version    text not null,
    message_id text not null,
    since      timestamptz not null default now(),
    primary key (persona, lead_id)
);
create index audience_members_upload on lead_intel.audience_members (upload);

create table lead_intel.engage_templates (
    template         text primary key,
    space_id         text not null,
    audience_id      text not null,
    audience_key     text not null,
    last_seen_status text,
    last_seen_at     timestamptz
);

-- Guardrails and evidence --------------------------------------------------------------------------

create table lead_intel.guardrail_results (
    result_id    bigint generated always as identity primary key,
    upload       text,
    number       integer not null check (number between 1 and 10),
    state        text not null check (state in ('passed', 'failed', 'unverifiable', 'not_applicable')),
    seen         text not null,
    figures      jsonb not null default '{}',
    blocks       text not null,
    remedy       text not null,
    rule_version text not null,
    since        timestamptz not null,
    at           timestamptz not null default now()
);
create index guardrail_results_latest on lead_intel.guardrail_results (number, upload, at desc);

-- Replication lag (guardrail 10) is measured from the newest row that the replica shows.
create table lead_intel.replication_heartbeats (
    beat timestamptz primary key default now()
);

create table lead_intel.evidence (
    seq           bigint generated always as identity primary key,
    upload        text not null,
    stage         text not null,
    body          jsonb not null,
    merkle_root   text not null,
    previous_hash text not null,
    hash          text not null unique,
    at            timestamptz not null default now()
);

create function lead_intel.refuse_change() returns trigger language plpgsql set search_path = '' as $$
begin
    raise exception 'evidence is append-only';
end $$;
create trigger evidence_append_only before update or delete or truncate on lead_intel.evidence
    for each statement execute function lead_intel.refuse_change();

do $$
declare
    name text;
begin
    for name in select tablename from pg_tables where schemaname = 'lead_intel' loop
        execute format('alter table lead_intel.%I enable row level security', name);
    end loop;
end $$;
