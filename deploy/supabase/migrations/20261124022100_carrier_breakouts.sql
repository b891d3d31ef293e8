-- Carrier breakouts are a sum of the carrier cells, so they are read from them: no second copy that could differ.
drop table lead_intel.carrier_breakouts;
create view lead_intel.carrier_breakouts with (security_invoker = true) as
select upload, carrier, line_type, sum(numbers)::bigint as numbers,
       sum(numbers)::float8 / sum(sum(numbers)) over (partition by upload)::float8 as share
from lead_intel.carrier_cells
group by upload, carrier, line_type;
