"""E-mails: email-validator is the judge; the column's answers equal its answers."""

from __future__ import annotations

import pyarrow as pa
import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import given, settings
from hypothesis import strategies as st

from lead_intel.intake import emails


@pytest.mark.parametrize(
    ("text", "address", "code"),
    [
        ("", "", ""),
        (" \u00a0", "", ""),
        (" Ann.Lee+x@EXAMPLE.com ", "Ann.Lee+x@example.com", ""),
        ("josé@bücher.example.org", "josé@bücher.example.org", ""),
        ("a@xn--bcher-kva.de", "a@bücher.de", ""),
        ("a@example", "", "email_invalid"),
        ("a@foo.test", "", "email_invalid"),
        ("a@foo.local", "", "email_invalid"),
        ("a@b.co, c@d.co", "", "email_invalid"),
        ("mailto:a@b.co", "", "email_invalid"),
        ("a@b.co\r\nBcc: x@y.co", "", "email_invalid"),
        ("n/a", "", "email_invalid"),
        ("a" * 250 + "@b.co", "", "email_invalid"),
    ],
)
def test_the_rule(text: str, address: str, code: str) -> None:
    assert emails.judge(text) == (address, code)


def test_role_and_disposable_addresses_are_flagged_not_dropped() -> None:
    found = emails.normalised(
        pa.array(["Info@example.com", "ann@Mailinator.com", "sales@mailinator.com", "ann@b.co", ""])
    )

    assert found.flags.to_pylist() == ["role", "disposable", "role|disposable", "", ""]
    assert not found.invalid.any()
    assert found.keys.to_pylist()[0] == "info@example.com"


_LOCAL = st.text(st.sampled_from("abcXYZ019._%+-'!#/={}|~ü\"@ "), min_size=0, max_size=10)
_DOMAIN = st.sampled_from(
    ["example.com", "EXAMPLE.org", "gmail", "b-.co", "-b.co", "a..b.co", "ab--c.com", "xn--bcher-kva.de", "xn--a.com",
     "bücher.de", "foo.test", "x.local", "192.168.1.1", "[1.2.3.4]", "b.c", "b.co.", "b_c.co", "ﬃ.com",
     "a" * 64 + ".com"]
) | st.text(st.sampled_from("abz09.-_é"), max_size=12)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.builds("{}{}{}".format, _LOCAL, st.sampled_from(["@", "@", "@@", ""]), _DOMAIN) | st.text(max_size=12))
)
def test_a_column_equals_the_rule(texts: list[str]) -> None:
    found = emails.normalised(pa.array(texts, pa.string()))

    for text, address, invalid in zip(texts, found.addresses.to_pylist(), found.invalid, strict=True):
        try:
            expected = validate_email(text.strip(), check_deliverability=False).normalized if text.strip() else ""
        except EmailNotValidError:
            expected = None
        assert (None if invalid else address) == expected, repr(text)
