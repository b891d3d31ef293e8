"""Lead Intel: from a third-party lead list to lawful, proven audiences in Twilio Segment."""
