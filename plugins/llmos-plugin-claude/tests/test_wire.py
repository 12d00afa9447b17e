"""Errors as the Messages API writes them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos_plugin_claude.models.wire import error_body, error_message


@given(st.integers(400, 599), st.text())
def test_a_message_survives_the_body(status: int, message: str) -> None:
    assert error_message(error_body(status, message)) == message


@given(st.binary(max_size=2_000))
def test_any_body_has_a_message(body: bytes) -> None:
    assert len(error_message(body)) <= 300


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error": {"message": "plain"}}', "plain"),
        (b'{"error": "text"}', '{"error": "text"}'),
        (b'{"error": {"message": 3}}', '{"error": {"message": 3}}'),
        (b"[1]", "[1]"),
        (b" <html>\n", "<html>"),
        (b"[" * 60_000, "[" * 300),
        (b"", ""),
    ],
)
def test_other_forms_are_shown_as_they_are(body: bytes, message: str) -> None:
    assert error_message(body) == message


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, "invalid_request_error"), (401, "authentication_error"), (402, "billing_error"), (502, "api_error")],
)
def test_the_kind_follows_the_status(status: int, kind: str) -> None:
    assert json.loads(error_body(status, "x")) == {"type": "error", "error": {"type": kind, "message": "x"}}
