"""`lead_id`: UUIDv5 of the normalised identity, so that the same person in another list is the same lead. Pure."""

from __future__ import annotations

import hashlib
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

NAMESPACE = UUID("6f1c2f0e-6a34-5d0b-9c55-2f4f3c1f7a11")
"""Never changes: every stored lead hangs on it."""

_HEX = np.frombuffer("".join(f"{value:02x}" for value in range(256)).encode(), np.uint8).reshape(256, 2)
_TEXT = pa.large_string()
_DASHES = (8, 13, 18, 23)
_TEXT_BYTES = 36
_HEX_PLACES = [place for place in range(_TEXT_BYTES) if place not in _DASHES]


def lead_ids(phones: np.ndarray[Any, np.dtype[np.int64]], email_keys: pa.Array) -> pa.Array:
    """`str(uuid5(NAMESPACE, f"{phone}|{email}"))` of every row; e-mails lower case, '' when blank."""
    names = pc.binary_join_element_wise(
        pc.cast(pa.array(phones, pa.int64()), _TEXT), email_keys.cast(_TEXT), pa.scalar("|", _TEXT)
    )
    prefix, sha1 = NAMESPACE.bytes, hashlib.sha1
    digests = b"".join(
        [sha1(prefix + name, usedforsecurity=False).digest()[:16] for name in names.cast(pa.large_binary()).to_pylist()]
    )
    octets = np.frombuffer(bytearray(digests), np.uint8).reshape(-1, 16)
    octets[:, 6] = (octets[:, 6] & 0x0F) | 0x50  # version 5
    octets[:, 8] = (octets[:, 8] & 0x3F) | 0x80  # RFC 4122 variant
    text = np.full((len(octets), _TEXT_BYTES), ord("-"), np.uint8)
    text[:, _HEX_PLACES] = _HEX[octets].reshape(-1, 32)
    offsets = np.arange(len(octets) + 1, dtype=np.int64) * _TEXT_BYTES
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(text))]
    return pa.Array.from_buffers(_TEXT, len(octets), buffers)
