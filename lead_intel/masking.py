"""Masked forms of personal data: the only forms that may enter a log, an error or metadata."""

from __future__ import annotations


def masked_phone(digits: int | str) -> str:
    """`+1******0123` for 12125550123."""
    text = str(digits).lstrip("+")
    return f"+{text[:1]}{'*' * max(len(text) - 5, 0)}{text[-4:]}" if len(text) > 5 else "+*****"


def masked_email(email: str) -> str:
    """`a***@e***` for ann@example.com."""
    local, _, domain = email.partition("@")
    return f"{local[:1]}***@{domain[:1]}***" if domain else "***"
