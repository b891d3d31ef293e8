"""The upload's partition in Dagster: only its name. Apart from `uploads`, whose readers need no Dagster."""

import dagster as dg

UPLOADS = dg.DynamicPartitionsDefinition(name="uploads")
"""One partition per upload. Keys are those of `uploads.new_upload_key`, and are never deleted."""
