"""The webhook signature: the vendor's sample, and every kind of wrong signature (faults W1, W2, W5)."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest

from govpay.client.signature import TOLERANCE, compute, verify
from govpay.exceptions import SignatureError

NOW = 1_781_000_000
SECRET = "whsec_1"
BODY = json.dumps({"webhook_id": "evt_1", "event_type": "payment.completed", "timestamp": NOW, "data": {}}).encode()


def sign(body: bytes = BODY, secret: str = SECRET, timestamp: int = NOW) -> str:
    """As the vendor's sample does it, not as our code does."""
    message = str(timestamp).encode() + b"." + body
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def test_the_digest_is_the_documented_one() -> None:
    assert compute(SECRET, NOW, BODY) == sign()


@pytest.mark.parametrize("prefix", ["", "sha256="])
def test_an_authentic_delivery_gives_its_payload(prefix: str) -> None:
    assert verify(prefix + sign(), BODY, [SECRET], now=NOW)["webhook_id"] == "evt_1"


def test_every_configured_secret_is_tried() -> None:
    assert verify(sign(secret="old"), BODY, ["new", "old"], now=NOW)
    with pytest.raises(SignatureError, match="wrong"):
        verify(sign(), BODY, [], now=NOW)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "sha256=",
        "x" * 64,
        sign()[:-1],
        sign()[:-1] + ("0" if sign()[-1] != "0" else "1"),
        sign() + "0",
        sign().upper(),
        "sha512=" + sign(),
        "é" * 64,
        "0" * 64,
    ],
)
def test_a_wrong_signature_is_refused(header: Any) -> None:
    with pytest.raises(SignatureError):
        verify(header, BODY, [SECRET], now=NOW)


def test_one_changed_byte_is_refused() -> None:
    with pytest.raises(SignatureError, match="wrong"):
        verify(sign(), BODY.replace(b"evt_1", b"evt_2"), [SECRET], now=NOW)


def test_the_tolerance_counts_both_ways() -> None:
    assert TOLERANCE == 4 * 3600
    for now in (NOW - TOLERANCE, NOW + TOLERANCE):
        assert verify(sign(), BODY, [SECRET], now=now)
    for now in (NOW - TOLERANCE - 1, NOW + TOLERANCE + 1):
        with pytest.raises(SignatureError, match="too old or from the future"):
            verify(sign(), BODY, [SECRET], now=now)
    with pytest.raises(SignatureError):
        verify(sign(), BODY, [SECRET], now=NOW + 10, tolerance=5)


@pytest.mark.parametrize(
    "body",
    [
        b"5", b"[]", b"null", b"NaN", b"", b"{", b"\xff\xfe", b"[" * 100_000, b"{}", b'{"timestamp": null}',
        b'{"timestamp": true}', b'{"timestamp": "1781000000"}', b'{"timestamp": 1781000000.0}',
        b'{"timestamp": 1e400}', b'{"timestamp": ' + b"9" * 5000 + b"}", b'{"timestamp": -1}',
    ],
)  # fmt: skip
def test_a_body_without_a_usable_time_is_refused_whatever_its_signature(body: bytes) -> None:
    for timestamp in (NOW, 0, 1):
        with pytest.raises(SignatureError):
            verify(sign(body, timestamp=timestamp), body, [SECRET], now=NOW)


@pytest.mark.parametrize("digits", [17, 400])
def test_a_gigantic_time_is_refused_even_when_it_is_signed(digits: int) -> None:
    body = b'{"timestamp": ' + b"9" * digits + b"}"
    with pytest.raises(SignatureError, match="no timestamp"):
        verify(sign(body, timestamp=int(b"9" * digits)), body, [SECRET], now=float(NOW))
