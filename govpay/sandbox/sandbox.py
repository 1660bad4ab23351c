"""`Sandbox`: the sandbox for use inside a Python process. Tests read and change its objects directly."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from govpay.sandbox.api import refunds, tenants, terminals, tokens, wallets
from govpay.sandbox.app import Application
from govpay.sandbox.browser import challenges, checkout
from govpay.sandbox.control import bulk, city, direct, late, payers
from govpay.sandbox.control import routes as control_routes
from govpay.sandbox.control.due import carry_out_due, run_due
from govpay.sandbox.control.faults import Fault, fault_from, parse_fault
from govpay.sandbox.control.webhook_switches import WebhookSwitches
from govpay.sandbox.kinds import kind_named
from govpay.sandbox.platform import Platform, Settings
from govpay.sandbox.server import HOST, Server
from govpay.sandbox.shapes import Doc
from govpay.sandbox.store import StoredRow
from govpay.sandbox.webhooks.courier import Courier


@dataclass(frozen=True)
class Address:
    """The addresses of a served sandbox, and the credentials of its clients."""

    api_url: str
    token_url: str
    client_id: str
    client_secret: str
    port: int


class Sandbox(WebhookSwitches):
    """A local platform. Its state is in the file `state`, which survives kill -9, or in memory.

    `size` is `empty`, `demo` (the demo city) or a number of payments. A state that is not empty is not seeded again.
    The other keywords are those of `Settings` (times in seconds).
    """

    def __init__(
        self,
        state: str | Path | None = None,
        seed: int = 1,
        size: str | int = "empty",
        envelope: str = "array",
        token_lifetime: int = 3600,
        page_cap: int | None = None,
        **settings: Any,
    ) -> None:
        chosen = Settings(envelope=envelope, token_lifetime=token_lifetime, page_cap=page_cap, **settings)
        self.platform = Platform.open(chosen, state)
        self._server: Server | None = None
        self._courier = None
        # The address at which it was last served.
        self.address: Address | None = None
        try:
            city.prepare(self.platform, size, seed)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def start(self, port: int = 0) -> Address:
        """Serve on 127.0.0.1 from a background thread. Raises PortBusy if the port is in use."""
        if self._server is not None:
            raise RuntimeError("the sandbox is being served already")
        self._server = Server(Application(self.platform), port)
        self._server.start()
        self._courier = Courier(self.platform, carry_out_due)
        self._courier.start()
        url = f"http://{HOST}:{self._server.port}"
        settings = self.platform.settings
        self.address = Address(
            url, f"{url}/oauth2/token", settings.client_id, settings.client_secret, self._server.port
        )
        return self.address

    def stop(self) -> None:
        """Stop serving and sending webhooks, and close open connections. The state stays readable."""
        if self._server is not None:
            self._server.stop()
            self._server = None
        if self._courier is not None:
            self._courier.stop()
            self._courier = None

    @contextmanager
    def serve(self, port: int = 0) -> Iterator[Address]:
        address = self.start(port)
        try:
            yield address
        finally:
            self.stop()

    def close(self) -> None:
        """Stop serving, and close the state file."""
        self.stop()
        self.platform.store.close()

    # Records of past activity.

    def ledger(self) -> list[Doc]:
        """Return every movement of money in order; amounts in cents.

        `kind`: capture, refund, refund_settled, refund_failed, void, chargeback, chargeback_reversal,
        ach_return. A bank refund is one `refund` when accepted and one `refund_settled` or
        `refund_failed` later; a card refund is one `refund`.
        """
        run_due(self.platform)
        return self.platform.store.ledger()

    def late_requests(self) -> list[Doc]:
        """Return the requests of `act_after`: method, path, due_at, and resulting status and code (None: not yet)."""
        run_due(self.platform)
        return late.every(self.platform)

    def requests(self) -> list[Doc]:
        """Return the last 10 000 requests: method, path, query, account, status (or None), at, idempotency_key."""
        return [dict(record) for record in list(self.platform.requests)]

    @property
    def token_requests(self) -> int:
        return self.platform.token_requests

    def stats(self) -> Doc:
        return control_routes.stats(self.platform)

    # Faults and time.

    def fault(self, route: str, **options: Any) -> Fault:
        """Add a fault: `fault("GET /api/payments", status=500, times=2)`, or the same as one text (`parse_fault`)."""
        if not options and len(route.split()) > 2:
            return self.platform.faults.add(parse_fault(route))
        return self.platform.faults.add(fault_from(route, options))

    def clear_faults(self) -> None:
        """Clear the faults of requests and of webhooks."""
        self.platform.faults.clear()
        self.platform.webhook_faults.clear()

    def revoke_tokens(self) -> int:
        return tokens.revoke_all(self.platform)

    def advance(self, seconds: float) -> None:
        """Move the platform's clock on, and carry out what becomes due."""
        self.platform.clock.advance(seconds)
        run_due(self.platform)

    def set_clock(self, seconds: float) -> None:
        """Set the platform's clock, its `Date` included, to so many seconds after the real time (0: right again)."""
        self.platform.clock.set_offset(seconds)
        run_due(self.platform)

    def back_up(self) -> dict[str, list[StoredRow]]:
        """Return a backup of every object, for `restore`."""
        return self.platform.store.dump()

    def restore(self, backup: dict[str, list[StoredRow]]) -> None:
        """Restore the platform from a backup: objects are as they were, later ones are gone. The ledger stays."""
        self.platform.store.load(backup)

    def settle(self, fail: Iterable[str] = ()) -> list[str]:
        """Settle all pending refunds now, and return their uids. Those in `fail` (uid or reference_id) fail."""
        return refunds.settle_pending(self.platform, fail)

    # Objects that are created or changed on the platform's own side.

    def add_client(self, **given: Any) -> Doc:
        with self.platform.store.transaction():
            return tenants.make_client(self.platform, **{"name": "City of Example", **given}).doc

    def add_account(self, client_uid: str | None = None, **given: Any) -> Doc:
        """Create a payment account. Without `client_uid` a client is created for it."""
        with self.platform.store.transaction():
            client_id = client_uid or given.pop("client_id", None) or self.add_client()["uid"]
            defaults = {"client_id": client_id, "name": "Utilities", "processor": "zift"}
            return tenants.make_account(self.platform, **{**defaults, **given}).doc

    def add_customer(self, account_uid: str, **given: Any) -> Doc:
        with self.platform.store.transaction():
            return direct.add_customer(self.platform, account_uid, given).doc

    def add_method(self, customer_uid: str, kind: str = "credit", default: bool = False, **details: Any) -> Doc:
        """Return a saved card (`credit`: by default a Visa 1111) or bank account (`ach`)."""
        with self.platform.store.transaction():
            return direct.add_method(self.platform, customer_uid, kind, default, details).doc

    def add_payment(self, account_uid: str, status: str = "validated", **given: Any) -> Doc:
        """Create a payment and bring it to `status` by the platform's own rules. See `direct.add_payment`."""
        with self.platform.store.transaction():
            return direct.add_payment(self.platform, account_uid, status, **given).doc

    def add_payments(self, account_uid: str, n: int, transactions: bool = True) -> list[str]:
        """Add `n` captured card payments by SQL; returns their uids."""
        return bulk.add_payments(self.platform, account_uid, n, transactions=transactions)

    def add_terminal(self, account_uid: str, **given: Any) -> Doc:
        with self.platform.store.transaction():
            return terminals.make_terminal(self.platform, account_uid, **{"name": "Front desk", **given}).doc

    # Hosted sessions: actions of the merchant's server and of the payer.

    @staticmethod
    def component_integrity() -> str:
        """Return the subresource integrity hash of `/component/govifi.js`."""
        return checkout.component_integrity()

    def add_session(self, account_uid: str, **given: Any) -> Doc:
        """Create a session and return the answer with its `client_secret`. `given` is the request."""
        origin = self.address.api_url if self.address else f"http://{HOST}"
        with self.platform.store.transaction():
            return payers.add_session(self.platform, account_uid, origin, given)

    def confirm_session(self, session_id: str, card: str = "4111111111111111", *, key: str = "", **more: Any) -> Doc:
        """Pay as a payer does: by `card`, with `method="ach"`, or with a saved method's uid as `processor_token`.

        Raises `Refusal` if the payment is declined; its `code` and `status` are those of the response.
        """
        run_due(self.platform)
        with self.platform.store.transaction():
            return payers.confirm_session(self.platform, session_id, card, key, more)

    def expire_session(self, session_id: str) -> Doc:
        with self.platform.store.transaction():
            return payers.expire_session(self.platform, session_id)

    def session(self, session_id: str) -> Doc:
        """Return the session with its `payment_uid`, its `ach_authorization` and the `request` that created it."""
        run_due(self.platform)
        return payers.session_seen(self.platform, session_id)

    def challenge_session(self, session_id: str, kind: str = "sms") -> None:
        """Require a challenge of this session's payer; `challenges` has the answers that pass."""
        with self.platform.store.transaction():
            challenges.require(self.platform, direct.the_row(self.platform, "session", session_id), kind)

    def refund(self, payment_uid: str, amount: int, reference_id: str, reason: str | None = None) -> Doc:
        """Make a refund (cents) outside our site; the platform's rules apply."""
        with self.platform.store.transaction():
            payment = direct.the_row(self.platform, "payment", payment_uid)
            return refunds.refund(self.platform, payment, amount, reference_id, reason).doc

    def charge_back(self, payment_uid: str, reason_code: str = "4853", amount: int | None = None) -> Doc:
        """Dispute `amount` cents (default: the amount that was not refunded, or else the whole total)."""
        with self.platform.store.transaction():
            payment = direct.the_row(self.platform, "payment", payment_uid)
            return refunds.charge_back(self.platform, payment, reason_code, amount).doc

    def return_payment(self, payment_uid: str, reason_code: str = "R01") -> Doc:
        """Make an ACH return of the whole total, also after refunds."""
        with self.platform.store.transaction():
            payment = direct.the_row(self.platform, "payment", payment_uid)
            return refunds.return_payment(self.platform, payment, reason_code).doc

    def touch(self, kind: str, uid: str, **changes: Any) -> Doc:
        """Change an object on the platform's side: write `changes` into the document, and move `updated_at` on."""
        with self.platform.store.transaction():
            return direct.touch(self.platform, kind_named(kind).name, uid, changes).doc

    def remove(self, kind: str, uid: str) -> None:
        """Remove an object: reads answer 404."""
        direct.remove(self.platform, kind_named(kind).name, uid)

    def get(self, kind: str, uid: str) -> Doc | None:
        """Return the document as it is served now, or None."""
        run_due(self.platform)
        row = self.platform.store.get(kind_named(kind).name, uid)
        return row.doc if row else None

    def all(self, kind: str, account_uid: str | None = None) -> list[Doc]:
        """Return every document of a kind, sorted by uid."""
        run_due(self.platform)
        where, params = ("account_uid = ?", (account_uid,)) if account_uid else ("1", ())
        return [row.doc for row in self.platform.store.find(kind_named(kind).name, where, params)]

    def methods(self, customer_uid: str) -> list[Doc]:
        customer = direct.the_row(self.platform, "customer", customer_uid)
        return [row.doc for row in wallets.methods_of(self.platform, customer)]
