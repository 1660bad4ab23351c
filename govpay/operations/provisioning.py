"""Provisioning: compare each step of a file with the platform, and send only what differs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast
from urllib.parse import unquote

from django.db.models import Q
from django.urls import NoReverseMatch
from django.utils import timezone

from govpay.addresses import public_path
from govpay.client import ClientResource, PaymentAccountResource
from govpay.exceptions import EncryptionError, NotFound, OperationRefused
from govpay.models import Client, PaymentAccount, WebhookSubscription
from govpay.models.choices import OperationState
from govpay.operations import events, journal
from govpay.operations.account_settings import CHECKOUT, checkout_as_sent, set_checkout_config, update_payment_account
from govpay.operations.account_values import alike, as_sent
from govpay.operations.actions import completed
from govpay.operations.lookups import find_account, find_client, read_account, readable
from govpay.operations.provision_file import ALL, EXTERNAL, Wanted, WantedAccount
from govpay.operations.provision_steps import FAILED, LEFT, UNCHANGED, Change, Step, Steps
from govpay.operations.reconciliation import TENANT_ACTIONS, reconcile
from govpay.operations.tenants import create_client, create_payment_account, keep
from govpay.sync import mapping

#: Placeholder for the uid of an account that does not exist yet.
NEW = "<uid>"

#: Step of an account -> its key path in the account's table.
STEP_KEYS = {
    "account": "",
    "checkout of": ".checkout",
    "webhooks of": ".webhooks",
    "events of": ".webhooks.events",
    "secret of": ".webhooks",
}


def provision(
    wanted: Wanted, *, actor: Any = None, dry_run: bool = False, tell: Callable[[Step], object] | None = None
) -> list[Step]:
    """Bring the platform to the state ``wanted`` by changing only what differs; return all steps.

    ``tell`` is called with each step when it ends. If the platform refuses a step, only the steps that depend on it are
    skipped. With ``dry_run`` nothing is written, neither on the platform nor here. Raises ``OperationRefused`` before
    the first step, and ``RuntimeError`` inside a transaction.
    """
    journal.demand_commits()
    if any(account.webhooks for account in wanted.accounts):
        callback(wanted.site, NEW)
    if not dry_run:
        _reconcile_open()
    run = _Run(wanted, actor, dry_run, tell or (lambda step: None))
    run.client()
    for account in wanted.accounts:
        _AccountRun(run, account).carry_out()
    return run.steps


def callback(site: str, account_uid: str) -> str:
    """Return the account's callback URL. Raises ``OperationRefused`` if this site has no URL for webhooks."""
    try:
        path = public_path("govpay:webhook", account_uid)
    except NoReverseMatch:
        raise OperationRefused("This site has no URL for webhooks: include govpay.urls in its ROOT_URLCONF.") from None
    return site + (unquote(path) if account_uid == NEW else path)


def _reconcile_open() -> None:
    """Find the outcome of an earlier run's open operations, before anything is compared."""
    over = Q(state=OperationState.UNKNOWN) | Q(state=OperationState.STARTED, deadline_at__lte=timezone.now())
    if journal.entries().filter(over, action__in=[action.action for action in TENANT_ACTIONS]).exists():
        reconcile()


class _Run(Steps):
    def __init__(self, wanted: Wanted, actor: Any, dry_run: bool, tell: Callable[[Step], object]) -> None:
        super().__init__(tell, dry_run=dry_run)
        self.wanted, self.actor = wanted, actor
        self.found: ClientResource | None = None
        self.row: Client | None = None

    @property
    def client_uid(self) -> str:
        return self.found.uid if self.found else NEW

    def client(self) -> None:
        name = self.wanted.client["name"]
        step = Step(f'client "{name}"', "client")

        def differ() -> Iterable[Change]:
            self.found = find_client(name)
            if self.found is None:
                return [Change(key, None, value) for key, value in self.wanted.client.items()]
            for key, value in self.wanted.client.items():
                there = readable(self.found, key)
                if there != value:
                    step.notes.append(f"{key} is {there!r} there, and the platform has no way to change a client.")
            if not self.dry_run:
                self.row = cast(Client, keep(mapping.CLIENT, self.found))
            return []

        def act() -> None:
            self.row = create_client(**self.wanted.client, actor=self.actor)
            self.found = ClientResource(self.row.raw)

        self.carry_out(step, differ, act)
        if step.state == FAILED and not self.halted:
            self.halted = "It needs the client."


class _AccountRun:
    """The steps of one payment account."""

    def __init__(self, run: _Run, wanted: WantedAccount) -> None:
        self.run, self.wanted = run, wanted
        self.found: PaymentAccountResource | None = None
        self.row: PaymentAccount | None = None
        self.catalogue: list[str] = []
        #: Whether the callback URL or its switch was changed, so that the signing secret may have changed too.
        self.hooked_up = False

    def carry_out(self) -> None:
        made = self._do("account", self._account_differs, self._make_account)
        parts: list[tuple[str, Callable[[], Iterable[Change]], Callable[[], object]]] = []
        if self.wanted.checkout:
            parts.append(("checkout of", self._checkout_differs, self._set_checkout))
        if self.wanted.webhooks is not None:
            parts.append(("webhooks of", self._webhooks_differ, self._set_webhooks))
        if self.wanted.events is not None:
            parts.append(("events of", self._events_differ, self._set_events))
        if self.wanted.webhooks:
            parts.append(("secret of", self._secret_lacks, self._fetch_secret))
        for name, differ, act in parts:
            if made.state in (FAILED, LEFT) and self.found is None:
                self.run.tell(self._step(name, LEFT, self.run.halted or "It needs the payment account."))
            else:
                self._do(name, differ, act)

    def _step(self, name: str, state: str = UNCHANGED, why: str = "") -> Step:
        return Step(f'{name} "{self.wanted.name}"', self.wanted.path + STEP_KEYS[name], state, why=why)

    def _do(self, name: str, differ: Callable[[], Iterable[Change]], act: Callable[[], object]) -> Step:
        return self.run.carry_out(self._step(name), differ, act, self._read)

    def _read(self) -> None:
        if self.found is not None:
            self.found = completed(read_account(self.found.uid), {"client_id": self.run.client_uid})

    @property
    def account(self) -> PaymentAccount:
        if self.row is None:
            raise OperationRefused("There is no such payment account.")
        return self.row

    def _take(self, row: PaymentAccount) -> None:
        self.row, self.found = row, PaymentAccountResource(row.raw)
        # An answer without the client leaves the row without it, but the next change has to send it.
        row.client_id = row.client_id or self.run.client_uid

    def _differing(self, wanted: dict[str, Any]) -> list[Change]:
        there = self._there()
        found = [(name, readable(there, name) if there else None, value) for name, value in wanted.items()]
        return [Change(name, before, after) for name, before, after in found if not alike(name, before, after)]

    def _there(self) -> PaymentAccountResource | None:
        """Return the account. A property that the platform does not show has the value that was last sent.

        Otherwise each run would send that property again.
        """
        return self.found and PaymentAccountResource({**as_sent(self.found.uid), **self.found.raw})

    # Pairs of methods: the first returns what differs, the second changes it.

    def _account_differs(self) -> Iterable[Change]:
        if self.found is None:
            ids = {name: self.wanted.options[name] for name in EXTERNAL}
            self.found = find_account({"client_id": self.run.client_uid, **ids})
            if self.found is not None and not self.run.dry_run:
                self.row = cast(PaymentAccount, keep(mapping.ACCOUNT, self.found))
        return self._differing(dict(self.wanted.options))

    def _make_account(self) -> None:
        options = dict(self.wanted.options)
        if self.found is None:
            if self.run.row is None:
                raise OperationRefused("There is no such client.")
            self._take(create_payment_account(client=self.run.row, **options, actor=self.run.actor))
            return
        changed = {change.name: change.after for change in self._account_differs()}
        self._take(update_payment_account(account=self.account, **changed, actor=self.run.actor))

    def _checkout_differs(self) -> Iterable[Change]:
        there: dict[str, Any] = {}
        if self.found is not None:
            raw = self.found.raw
            said = {name: raw[name] for name in CHECKOUT.values() if raw.get(name) is not None}
            there = {**checkout_as_sent(self.found.uid), **said}
        for name, after in self.wanted.checkout.items():
            before = there.get(CHECKOUT[name])
            if not alike(name, before, after):
                yield Change(name, before, after)

    def _set_checkout(self) -> None:
        self._take(set_checkout_config(account=self.account, **self.wanted.checkout, actor=self.run.actor))

    def _webhooks_differ(self) -> Iterable[Change]:
        wanted: dict[str, Any] = {"webhook_enabled": self.wanted.webhooks}
        if self.wanted.webhooks:
            wanted["callback_url"] = callback(self.run.wanted.site, self.found.uid if self.found else NEW)
        elif (there := self._there()) is not None and there.webhook_enabled is None:
            return []  # an account without the property has webhooks switched off
        return self._differing(wanted)

    def _set_webhooks(self) -> None:
        changed = {change.name: change.after for change in self._webhooks_differ()}
        self._take(update_payment_account(account=self.account, **changed, actor=self.run.actor))
        self.hooked_up = True

    def _events_differ(self) -> Iterable[Change]:
        asked = self.wanted.events or ()
        if self.found is None:
            return [Change(name, None, True) for name in asked]
        uid = self.found.uid
        self.catalogue = list(events.catalogue_of(uid))
        if asked != (ALL,):
            events.check_known(asked, self.catalogue)
        try:
            on = events.switched_on(events.read_subscriptions(uid))
        except NotFound:  # the API does not offer the list: use the values accepted last
            here = WebhookSubscription.objects.filter(account=uid, enabled=True, deleted_at=None)
            on = set(here.values_list("event_type", flat=True))
        pairs = [(name, name in on, asked == (ALL,) or name in asked) for name in self.catalogue]
        return [Change(name, before, after) for name, before, after in pairs if before != after]

    def _set_events(self) -> None:
        chosen = self.catalogue if self.wanted.events == (ALL,) else list(self.wanted.events or ())
        events.set_webhook_subscriptions(account=self.account, enabled=chosen, actor=self.run.actor)

    def _secret_lacks(self) -> Iterable[Change]:
        if self.hooked_up or not self._secret_is_kept():
            yield Change("webhook_secret", None, "fetched and stored encrypted")

    def _secret_is_kept(self) -> bool:
        here = PaymentAccount.objects.filter(uid=self.found.uid) if self.found else PaymentAccount.objects.none()
        sealed: Any = here.values_list("webhook_secret", flat=True).first()
        try:
            return sealed is not None and bool(sealed.reveal())
        except EncryptionError:
            return False

    def _fetch_secret(self) -> None:
        events.refresh_webhook_secret(account=self.account, actor=self.run.actor)
