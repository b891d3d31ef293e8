-- Answers that come after the deadline: nobody waits for them, but they are paid, so the next question finds them.

alter table lead_intel.vendor_calls add column if not exists late boolean not null default false;
alter table lead_intel.vendor_calls add column if not exists late_until timestamptz;
comment on column lead_intel.vendor_calls.late is 'the answer came after the deadline; `seconds` is what the caller waited';
comment on column lead_intel.vendor_calls.late_until is 'timed out, and listened to until then: the subject is not asked again before';
