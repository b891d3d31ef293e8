"""The one way to call a vendor: deadline, pace, retry, breaker, call ledger, spend."""
