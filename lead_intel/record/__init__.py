"""The system of record: migrations, one repository module per table family, frames, bucket, channel, evidence."""
