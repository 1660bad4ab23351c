"""Check the options of clients and payment accounts before anything is sent. Each error names its option."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any
from urllib.parse import SplitResult, urlsplit

from django.conf import settings

from govpay import conf
from govpay.client.shapes import is_cents
from govpay.exceptions import OperationRefused

#: Maximum characters of a text, because our columns for the platform's texts are that long.
MAX_TEXT_LENGTH = 255

LOOPBACK = ("127.0.0.1", "localhost", "::1")

#: Endings of host names that only servers in the same network can resolve.
PRIVATE = (".localhost", ".local", ".internal", ".intranet", ".lan", ".home.arpa")


def check_length(**texts: Any) -> None:
    for name, text in texts.items():
        if isinstance(text, str) and len(text) > MAX_TEXT_LENGTH:
            raise OperationRefused(f"{name} must have at most {MAX_TEXT_LENGTH} characters.")


def dollars(name: str, cents: int | None) -> float | None:
    """Convert cents to the platform's decimal dollars (A27). In JSON the float is written as the exact amount."""
    if cents is None:
        return None
    is_cents(name, cents)
    return cents / 100


def check_limits(least: float | None, most: float | None) -> None:
    if least is not None and most is not None and least > most:
        raise OperationRefused("minimum_payment_amount must not exceed maximum_payment_amount.")


def check_callback(name: str, address: Any) -> None:
    """Check that the platform can send webhooks to the address. Raises ``OperationRefused`` with the reason."""
    parts = _parts(name, address)
    if parts.query or parts.fragment:
        raise OperationRefused(f"{name} must have neither a query nor a fragment.")
    _check_way(name, parts)
    if not _is_own_machine(parts) and not _is_public(parts.hostname or ""):
        raise OperationRefused(f"{name} must be an address that the platform can reach from outside.")


def check_site(name: str, address: Any) -> None:
    """Check the address from which callback URLs are made: scheme and host only. Raises ``OperationRefused``."""
    check_callback(name, address)
    if urlsplit(address).path not in ("", "/"):
        raise OperationRefused(f"{name} must be scheme and host only, such as https://pay.example.gov.")


def check_origins(name: str, origins: Any) -> None:
    if isinstance(origins, str) or not isinstance(origins, Sequence):
        raise OperationRefused(f"{name} must be a list of origins.")
    for origin in origins:
        check_origin(name, origin)
    if len(set(origins)) != len(origins):
        raise OperationRefused(f"{name} names an origin twice.")


def check_origin(name: str, origin: Any) -> None:
    """Check an origin: scheme and host, as in a browser's ``Origin`` header (/getting-started/credentials/)."""
    parts = _parts(name, origin)
    if parts.path or parts.query or parts.fragment:
        raise OperationRefused(f"{name}: an origin is scheme and host only, without a path: {_origin_of(parts)}.")
    _check_way(name, parts)


def _parts(name: str, address: Any) -> SplitResult:
    if not isinstance(address, str):
        raise OperationRefused(f"{name} must be a text.")
    try:
        parts = urlsplit(address)
        usable = bool(parts.hostname) and parts.port != 0 and "@" not in parts.netloc
    except ValueError:
        usable = False
    if not usable or address != address.strip() or not address.isascii() or not address.isprintable():
        raise OperationRefused(f"{name} must be an address such as https://pay.example.gov.")
    return parts


def _origin_of(parts: SplitResult) -> str:
    return f"{parts.scheme}://{parts.netloc}"


def _check_way(name: str, parts: SplitResult) -> None:
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_own_machine(parts)):
        raise OperationRefused(f"{name} must be https.")


def _is_own_machine(parts: SplitResult) -> bool:
    """Return whether the host is this machine and is allowed: only in DEBUG, or with a sandbox on this machine."""
    is_local = settings.DEBUG or urlsplit(str(conf.get("API_URL"))).hostname in LOOPBACK
    return is_local and parts.hostname in LOOPBACK


def _is_public(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return "." in host.rstrip(".") and not host.rstrip(".").endswith(PRIVATE)
