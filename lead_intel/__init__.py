"""Lead Intel: from a third-party lead list to lawful, proven audiences in Twilio Segment."""

import logging

# These libraries log whole URLs or bodies, which hold phones and e-mails. Set here because every process of the
# product, whoever starts it, imports this package first.
for _name in ("httpx", "httpcore", "twilio", "twilio.http_client", "segment", "urllib3", "aiohttp", "hpack"):
    logging.getLogger(_name).setLevel(logging.WARNING)
