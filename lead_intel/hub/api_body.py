"""The body of `POST /v1/leads` -> rows of text: JSON array or NDJSON, read block by block with bounded memory.

Pure. Strict: UTF-8, no NaN, no key twice, every size capped; the whole body or nothing. Numbers keep their written
digits. Whether a row is a good lead is intake's business: only what a list could not hold is refused here.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from lead_intel.policy import PostingLimits

JSON = "application/json"
NDJSON = "application/x-ndjson"

_BLOCK_BYTES = 1 << 16
_NAME_CHARACTERS = 100
_VALUE_BEGINS = '{["-0123456789tfn'
_SPACE = re.compile(r"[ \t\n\r]*")
# No text list holds them; a file with some of them is taken for binary data, whole.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
# A name that could be taken for several columns once it stands in a header.
_NOT_A_NAME = re.compile(r"[\x00-\x1f\x7f-\x9f,;|\"]")


class RefusedBody(Exception):
    """Why a body is not taken: HTTP status, stable code, one sentence without any value of the body."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail


class _Number(str):
    """A number as it was written."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Body:
    """A whole body: `cells` is a JSON array of rows, each an array of texts in the order of `columns` (or shorter)."""

    columns: tuple[str, ...]
    cells: bytes
    rows: int
    digest: bytes


class BodyReader:
    """Feed it the body's blocks, then ask for the rows."""

    def __init__(self, media_type: str, limits: PostingLimits) -> None:
        self._limits = limits
        self._lines = media_type == NDJSON
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._decode = json.JSONDecoder(
            object_pairs_hook=_unique, parse_float=_Number, parse_int=_Number, parse_constant=_refuse_constant
        ).raw_decode
        self._digest = hashlib.sha256(media_type.encode() + b"\n")
        self._bytes = 0
        self._pending = bytearray()
        self._text = ""
        self._waits_for = "["
        self._columns: dict[str, int] = {}
        self._names: tuple[str, ...] = ()
        self._places: list[int] | None = None
        self._block: list[list[str]] = []
        self._encoded: list[bytes] = []
        self._rows = 0

    def feed(self, data: bytes) -> None:
        """Take the next bytes. Raises RefusedBody."""
        self._bytes += len(data)
        refuse_size(self._bytes, self._limits)
        self._digest.update(data)
        self._pending += data
        if len(self._pending) >= _BLOCK_BYTES:
            self._parse(final=False)

    def end(self) -> Body:
        """The rows of the whole body. Raises RefusedBody."""
        self._parse(final=True)
        if not self._rows:
            raise RefusedBody(422, "no_rows", "The request holds no row.")
        cells = b"[" + b",".join(self._encoded) + b"]"
        return Body(tuple(self._columns), cells, self._rows, self._digest.digest())

    def _parse(self, *, final: bool) -> None:
        try:
            self._text += self._decoder.decode(self._pending, final)
        except UnicodeDecodeError:
            raise RefusedBody(400, "not_utf8", "The body is not UTF-8.") from None
        self._pending.clear()
        rest = self._parse_lines(final=final) if self._lines else self._parse_array(final=final)
        self._text = self._text[rest:]
        if len(self._text) > self._limits.row_characters:
            raise self._row_too_large()
        self._encode()

    def _parse_lines(self, *, final: bool) -> int:
        """Take every whole line; returns where the rest begins."""
        text, start = self._text, 0
        while True:
            end = text.find("\n", start)
            if end < 0 and not final:
                return start
            end = len(text) if end < 0 else end
            at = _skip_space(text, start)
            if at < end:
                after = self._take(text, at)
                if after is None or after > end or _skip_space(text, after) < end:
                    raise self._not_json()
            start = end + 1
            if start >= len(text):
                return len(text)

    def _parse_array(self, *, final: bool) -> int:
        """Take every whole element; returns where the rest begins."""
        text, at = self._text, 0
        while True:
            at = _skip_space(text, at)
            if at == len(text):
                break
            if self._waits_for == "row":
                after = self._take(text, at)
                if after is None:
                    break
                at, self._waits_for = after, ",]"
                continue
            at = self._take_mark(text, at)
        if final and (self._waits_for != "" or at < len(text)):
            raise self._not_json()
        return at

    def _take_mark(self, text: str, at: int) -> int:
        """Take one of the marks between rows."""
        mark = text[at]
        if self._waits_for == "[" and mark == "[":
            self._waits_for = "row or ]"
        elif self._waits_for == "row or ]" and mark != "]":
            self._waits_for = "row"
            return at
        elif mark == "]" and self._waits_for in (",]", "row or ]"):
            self._waits_for = ""
        elif mark == "," and self._waits_for == ",]":
            self._waits_for = "row"
        else:
            raise self._not_json()
        return at + 1

    def _take(self, text: str, at: int) -> int | None:
        """Take the row that begins at `at`; returns its end, None when it may go on in the next block."""
        if text[at] not in _VALUE_BEGINS:
            raise self._not_json()
        if text[at] != "{":
            raise RefusedBody(422, "row_not_object", f"Row {self._rows + 1} is not an object.")
        try:
            row, end = self._decode(text, at)
        except json.JSONDecodeError:
            return None
        except RecursionError:
            raise self._too_deep() from None
        except _NotStrict as error:
            raise RefusedBody(400, "json_not_strict", f"Row {self._rows + 1}: {error}.") from None
        if end - at > self._limits.row_characters:
            raise self._row_too_large()
        self._add(row)
        return int(end)

    def _add(self, row: dict[str, Any]) -> None:
        self._rows += 1
        if self._rows > self._limits.rows_per_request:
            raise RefusedBody(413, "too_many_rows", f"A request holds at most {self._limits.rows_per_request:,} rows.")
        names = tuple(row)
        if names != self._names:
            self._places = self._placed(names)
            self._names = names
        values = [value if type(value) is str else self._text_of(value) for value in row.values()]
        if not any(map(str.strip, values)):
            raise RefusedBody(422, "row_blank", f"Row {self._rows} holds no value.")
        if self._places is not None:
            cells = [""] * (max(self._places) + 1)
            for place, value in zip(self._places, values, strict=True):
                cells[place] = value
            values = cells
        self._block.append(values)

    def _placed(self, names: tuple[str, ...]) -> list[int] | None:
        """Where values under `names` stand among the columns; None when just so."""
        if len(names) > self._limits.fields_per_row:
            raise RefusedBody(
                422,
                "too_many_fields",
                f"Row {self._rows} has {len(names)} fields; {self._limits.fields_per_row} are taken at most.",
            )
        for name in names:
            if name not in self._columns:
                self._refuse_name(name)
                self._columns[name] = len(self._columns)
        if len(self._columns) > self._limits.columns_per_upload:
            raise RefusedBody(422, "too_many_columns", "The rows have too many different field names.")
        places = [self._columns[name] for name in names]
        return None if places == list(range(len(names))) else places

    def _refuse_name(self, name: str) -> None:
        good = name.strip() and len(name) <= _NAME_CHARACTERS and not _NOT_A_NAME.search(name) and _is_unicode(name)
        if not good:
            raise RefusedBody(
                422,
                "field_name",
                f"Row {self._rows} has a field name that is blank, longer than {_NAME_CHARACTERS} characters, or "
                "holds a comma, semicolon, bar, quotation mark or control character.",
            )

    def _text_of(self, value: Any) -> str:
        match value:
            case None:
                return ""
            case True:
                return "true"
            case False:
                return "false"
            case str():
                return str.__str__(value)
            case _:
                return "".join(self._compact(value, self._limits.nested_depth))

    def _compact(self, value: Any, depth: int) -> list[str]:
        """Compact JSON of a nested value, its numbers as they were written."""
        if isinstance(value, (dict, list)) and depth == 0:
            raise self._too_deep()
        match value:
            case dict():
                parts = [
                    [json.dumps(key, ensure_ascii=False), ":", *self._compact(item, depth - 1)]
                    for key, item in value.items()
                ]
                return ["{", *_joined(parts), "}"]
            case list():
                return ["[", *_joined([self._compact(item, depth - 1) for item in value]), "]"]
            case _Number():
                return [str.__str__(value)]
            case _:
                return [json.dumps(value, ensure_ascii=False)]

    def _encode(self) -> None:
        """Turn the rows taken so far into bytes: as objects they would need several times the memory."""
        if not self._block:
            return
        everything = "\n".join(chain.from_iterable(self._block))
        if _CONTROL.search(everything) or not _is_unicode(everything):
            first = self._rows - len(self._block) + 1
            bad = next(
                number
                for number, row in enumerate(self._block, first)
                if any(_CONTROL.search(cell) or not _is_unicode(cell) for cell in row)
            )
            raise RefusedBody(
                422, "control_character", f"Row {bad} holds a control character or half of a surrogate pair."
            )
        encoded = json.dumps(self._block, ensure_ascii=False, separators=(",", ":"))
        self._encoded.append(encoded[1:-1].encode())
        self._block = []

    def _not_json(self) -> RefusedBody:
        kind = "one JSON object a line" if self._lines else "one JSON array of objects"
        return RefusedBody(400, "json_invalid", f"The body is not {kind}; the fault is after row {self._rows}.")

    def _row_too_large(self) -> RefusedBody:
        return RefusedBody(
            413,
            "row_too_large",
            f"Row {self._rows + 1} is not a whole object within {self._limits.row_characters:,} characters.",
        )

    def _too_deep(self) -> RefusedBody:
        return RefusedBody(
            422,
            "nested_too_deep",
            f"A field is nested more than {self._limits.nested_depth} levels, near row {max(self._rows, 1)}.",
        )


class _NotStrict(ValueError):
    """JSON that two readers could take for different things."""


def refuse_size(size: int, limits: PostingLimits) -> None:
    """Raise RefusedBody for a body of `size` bytes, or more, when that is too many."""
    if size > limits.body_bytes:
        raise RefusedBody(413, "body_too_large", f"A request holds at most {limits.body_bytes:,} bytes.")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise _NotStrict("a key occurs twice")
    return value


def _refuse_constant(_name: str) -> Any:
    raise _NotStrict("NaN and Infinity are not JSON")


def _skip_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return at if found is None else found.end()


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _joined(parts: Sequence[list[str]]) -> list[str]:
    return [text for number, part in enumerate(parts) for text in ([",", *part] if number else part)]
