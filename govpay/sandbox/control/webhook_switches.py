"""`WebhookSwitches`: the part of `Sandbox` that sends webhooks, delays them and makes them faulty."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from govpay.sandbox.api import events, refunds, wallets
from govpay.sandbox.control import direct
from govpay.sandbox.control.due import run_due
from govpay.sandbox.platform import Platform
from govpay.sandbox.shapes import Doc
from govpay.sandbox.webhooks import outbox
from govpay.sandbox.webhooks.courier import Courier
from govpay.sandbox.webhooks.faults import WebhookFault


class WebhookSwitches:
    """Webhooks are sent while the platform is served; earlier ones are sent at the start.

    Webhooks are stored for accounts with a `callback_url`, `webhook_enabled` and a subscription to the event. They are
    sent while the platform is served; older ones are sent at the start. They are posted only to addresses on this
    machine; any other address counts as not answering.
    """

    platform: Platform
    _courier: Courier | None

    def subscribe(self, account_uid: str, callback_url: str, event_types: Iterable[str] | None = None) -> Doc:
        """Set the callback URL, switch webhooks on and subscribe to exactly `event_types` (None: all)."""
        with self.platform.store.transaction():
            account = direct.the_row(self.platform, "account", account_uid)
            return events.subscribe(self.platform, account, callback_url, event_types).doc

    def follow_base(self, base: str) -> list[str]:
        """Subscribe accounts without a callback URL to all events at `<base>/<account uid>/`. Returns their uids."""
        return events.follow_base(self.platform, base)

    def webhook_secret(self, account_uid: str) -> str:
        return str(direct.the_row(self.platform, "account", account_uid).private["webhook_secret"])

    def rotate_secret(self, account_uid: str) -> str:
        """Replace the secret. All later deliveries are signed with the new one, also retries."""
        with self.platform.store.transaction():
            return events.rotate_secret(self.platform, direct.the_row(self.platform, "account", account_uid))

    # Deliveries.

    def deliveries(self, account_uid: str | None = None) -> list[Doc]:
        """Return the deliveries in order: webhook_id, event_type, account_uid, payload, attempts, status, done.

        `status` is that of the last answer. `done` is True once a delivery was answered with 2xx or given up.
        """
        return [delivery.shown() for delivery in outbox.every(self.platform, account_uid)]

    def send_webhook(
        self,
        account_uid: str,
        event_type: str,
        data: Doc,
        *,
        webhook_id: str | None = None,
        timestamp: int | None = None,
    ) -> Doc:
        """Send any event, also without a subscription. Raises ValueError if the account has no callback URL."""
        with self.platform.store.transaction():
            return events.send(self.platform, account_uid, event_type, data, webhook_id, timestamp).shown()

    def wait_for_webhooks(self, timeout: float = 10) -> bool:
        """Wait until no delivery is due, and return whether that was reached. Later retries do not count."""
        run_due(self.platform)
        end = time.monotonic() + timeout
        while outbox.due_count(self.platform):
            if self._courier is None or time.monotonic() > end:
                return False
            self._courier.rest(0.05)
        return True

    # Faults.

    def hold_webhooks(self) -> None:
        """Hold all webhooks back until `release_webhooks`."""
        self.platform.webhook_faults.held = True

    def release_webhooks(self, shuffle: bool = False, seed: int = 0) -> None:
        """Send the held webhooks, in order or shuffled by `seed`."""
        if shuffle:
            outbox.shuffle(self.platform, seed)
        self.platform.webhook_faults.held = False
        self.platform.wake()

    def webhook_fault(self, kind: str, times: int | None = None, share: float = 1.0) -> WebhookFault:
        """Add a fault: `duplicate`, `reorder`, `stale` or `bad_signature`. See `WebhookFault`."""
        return self.platform.webhook_faults.add(WebhookFault(kind, times, share))

    # Changes outside this platform that cause webhooks.

    def update_method(self, saved_payment_method_uid: str, **changes: Any) -> Doc:
        """Update a saved method as the card network does, such as `exp_year=2044`. Its customer is updated too."""
        with self.platform.store.transaction():
            row = direct.the_row(self.platform, "method", saved_payment_method_uid)
            return wallets.update_method(self.platform, row, changes).doc

    def reverse_chargeback(self, payment_uid: str) -> Doc:
        """Reverse a chargeback, because the merchant won; returns the transaction."""
        with self.platform.store.transaction():
            payment = direct.the_row(self.platform, "payment", payment_uid)
            return refunds.reverse_chargeback(self.platform, payment).doc

    def pay_elsewhere(self, account_uid: str, event_type: str, **given: Any) -> Doc:
        """Add a captured payment that came by the payer's bank (`provider.bankbillpay`) or telephone (`ivr.completed`).

        `given` as for `add_payment`. This event is its only webhook.
        """
        with self.platform.store.transaction():
            return direct.pay_elsewhere(self.platform, account_uid, event_type, given).doc
