"""The command line of the sandbox, shared by `manage.py govpay_sandbox` and `python -m govpay.sandbox`."""

from __future__ import annotations

import argparse
import signal
import threading
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from govpay.sandbox.control.faults import OPTIONS, parse_fault
from govpay.sandbox.platform import Settings
from govpay.sandbox.sandbox import Sandbox
from govpay.sandbox.webhooks.faults import parse_webhook_fault

DEFAULT_PORT = 8801


def _size(text: str) -> str | int:
    if text in ("demo", "empty"):
        return text
    if text.isdigit():
        return int(text)
    raise argparse.ArgumentTypeError("must be demo, empty or a number of payments")


def _spec(text: str) -> str:
    try:
        parse_fault(text)
    except (ValueError, TypeError) as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _webhook_spec(text: str) -> str:
    try:
        parse_webhook_fault(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _base(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise argparse.ArgumentTypeError("must be an http or https address")
    return text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--port", type=int, default=DEFAULT_PORT, help="port on 127.0.0.1 (0: any free one)")
    add("--state", metavar="FILE", help="keep the state in this file; it is seeded only when empty")
    add("--seed", type=int, default=1, help="seed of the random data; the same seed creates the same city")
    add(
        "--size",
        type=_size,
        default="demo",
        metavar="demo|empty|N",
        help="create the demo city, no data, or N payments",
    )
    add("--envelope", choices=("array", "odata", "items"), default="array", help="envelope of the lists")
    add(
        "--fault",
        action="append",
        type=_spec,
        default=[],
        metavar="SPEC",
        help="inject a fault, such as 'GET /api/payments status=500 times=2'; repeatable. Options: "
        + ", ".join(OPTIONS),
    )
    add("--webhook-delay", type=float, default=0.0, metavar="SECONDS", help="delay of each webhook")
    add(
        "--webhook-fault",
        action="append",
        type=_webhook_spec,
        default=[],
        metavar="KIND[:SHARE]",
        help="spoil a share of the webhooks: duplicate, reorder, stale or bad_signature; repeatable",
    )
    add(
        "--callback-base",
        type=_base,
        metavar="URL",
        help="send all webhooks of accounts that have no callback URL to URL/<account uid>/",
    )
    add("--page-cap", type=int, metavar="N", help="maximum rows of a list page, whatever $top says")
    add("--token-lifetime", type=int, default=3600, metavar="SECONDS", help="lifetime of an access token")
    add(
        "--settle-after",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="time until a pending bank refund succeeds",
    )
    add("--client-id", default=Settings.client_id)
    add("--client-secret", default=Settings.client_secret)


def serve(options: Mapping[str, Any], say: Callable[[str], object]) -> None:
    """Serve until SIGINT or SIGTERM. `say` is called with one line when the server is ready.

    Raises `PortBusy`, and `ValueError` for invalid options.
    """
    stopped = threading.Event()
    previous = {number: signal.signal(number, lambda *_: stopped.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with Sandbox(
            state=options["state"],
            seed=options["seed"],
            size=options["size"],
            envelope=options["envelope"],
            token_lifetime=options["token_lifetime"],
            page_cap=options["page_cap"],
            settle_after=options["settle_after"],
            webhook_delay=options["webhook_delay"],
            client_id=options["client_id"],
            client_secret=options["client_secret"],
        ) as sandbox:
            for spec in options["fault"]:
                sandbox.fault(spec)
            for spec in options["webhook_fault"]:
                sandbox.platform.webhook_faults.add(parse_webhook_fault(spec))
            if options["callback_base"]:
                sandbox.follow_base(options["callback_base"])
            with sandbox.serve(options["port"]) as address:
                # The default secret is public. A secret that the user chose is not printed.
                secret = "(as given)" if address.client_secret != Settings.client_secret else Settings.client_secret
                say(
                    f"govpay sandbox ready: api_url={address.api_url} token_url={address.token_url}"
                    f" client_id={address.client_id} client_secret={secret}"
                )
                stopped.wait()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
