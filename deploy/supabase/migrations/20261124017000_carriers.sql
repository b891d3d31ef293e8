-- Lookup's further packages, and carrier breakouts for analysts.

alter table lead_intel.phone_lookups add column fields jsonb not null default '{}';
comment on column lead_intel.phone_lookups.fields is
    'what the answer says beside the columns: fields of a further package, why a number is invalid';

-- Numbers of an upload by day of the answer, place, line type, brand and carrier; replaced whole with each screening.
create table lead_intel.carrier_cells (
    upload      text not null,
    answered_on date,
    place       text not null,
    line_type   text not null,
    brand       text not null,
    carrier     text not null,
    numbers     bigint not null check (numbers > 0),
    unique nulls not distinct (upload, answered_on, place, line_type, brand, carrier)
);
comment on column lead_intel.carrier_cells.answered_on is 'UTC; null: the number has no answer';
comment on column lead_intel.carrier_cells.numbers is 'distinct numbers of the upload; a number in two uploads counts in both';
alter table lead_intel.carrier_cells enable row level security;

-- Wilson's score interval (95 %) of `part` in `whole`: what such a list may hold beyond the numbers at hand.
create function lead_intel.wilson(part numeric, whole numeric) returns double precision[]
    language sql immutable parallel safe set search_path = '' as $$
    select case when whole > 0 then array[
        greatest(0, (2 * part + 3.8414588 - 1.9599640 * sqrt(3.8414588 + 4 * part * (whole - part) / whole))
                    / (2 * (whole + 3.8414588))),
        least(1, (2 * part + 3.8414588 + 1.9599640 * sqrt(3.8414588 + 4 * part * (whole - part) / whole))
                 / (2 * (whole + 3.8414588)))]::double precision[] end
$$;

create view lead_intel.carrier_numbers with (security_invoker = true) as
    select cell.upload, ingestion.supplier, coalesce(to_char(cell.answered_on, 'YYYY-MM-DD'), 'unanswered') as day,
           coalesce(to_char(cell.answered_on, 'IYYY-"W"IW'), 'unanswered') as week,
           cell.place as state, cell.line_type, cell.brand, cell.carrier, cell.numbers
    from lead_intel.carrier_cells cell join lead_intel.lead_ingestions ingestion using (upload);

-- One view for each way to cut, over all uploads: numbers, share, and the share of unknown line types.
do $$
declare
    dimension text;
begin
    foreach dimension in array array['upload', 'supplier', 'day', 'week', 'state', 'line_type', 'brand', 'carrier'] loop
        execute format(
            'create view lead_intel.carriers_by_%1$s with (security_invoker = true) as '
            'select %1$I, sum(numbers)::bigint as numbers, sum(numbers)::float8 / sum(sum(numbers)) over () as share, '
            'coalesce(sum(numbers) filter (where line_type = ''unknown''), 0)::bigint as unknown, '
            'coalesce(sum(numbers) filter (where line_type = ''unknown''), 0)::float8 / sum(numbers) as unknown_share, '
            '(lead_intel.wilson(coalesce(sum(numbers) filter (where line_type = ''unknown''), 0), sum(numbers)))[1] '
            'as unknown_low, '
            '(lead_intel.wilson(coalesce(sum(numbers) filter (where line_type = ''unknown''), 0), sum(numbers)))[2] '
            'as unknown_high from lead_intel.carrier_numbers group by %1$I', dimension);
    end loop;
end $$;
