"""Each payment account: active, its webhooks' switch, address, subscriptions and secret."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from govpay.client.resources import SubscriptionResource
from govpay.connection import get_endpoints
from govpay.doctor.findings import Finding, Level, listed, span
from govpay.doctor.site import answers_to, is_rehearsal
from govpay.doctor.visit import Visit
from govpay.exceptions import APIError, EncryptionError, NotFound, RateLimited
from govpay.models import PaymentAccount, WebhookSubscription
from govpay.models.choices import EventType
from govpay.models.fields import Sealed
from govpay.sync.events import HANDLERS

#: Accounts whose subscriptions are read from the platform in one examination.
ASKED = 25

#: A secret older than this should be rolled.
SECRET_AGE = dt.timedelta(days=365)

#: Types that are worked on but not missed where nobody uses them.
OPTIONAL = {EventType.BANK_BILL_PAY.value, EventType.IVR_COMPLETED.value}


def _accounts(**which: Any) -> Any:
    return PaymentAccount.objects.filter(deleted_at=None, **which).order_by("uid")


def _active(**which: Any) -> Any:
    """Those that are not said to be inactive: the platform may leave the property out."""
    return _accounts(**which).exclude(active=False)


def _hooked() -> Any:
    """The accounts whose webhooks are switched on."""
    return _active(webhook_enabled=True)


def check_accounts(visit: Visit) -> Iterator[Finding]:
    count, active = _accounts().count(), _active().count()
    told = {"active": active, "count": count}
    if not count:
        cure = _("Run govpay_provision, or govpay_sync accounts if there are some on the platform.")
        yield Finding("accounts", Level.WARNING, _("No payment account is known here."), cure)
    elif not active:
        what = _("None of the %(count)d payment accounts is active: nothing can be paid.") % told
        yield Finding("accounts", Level.ERROR, what, _("Activate one; see govpay_provision."))
    else:
        what = _("%(active)d of %(count)d payment accounts are active.") % told
        yield Finding("accounts", Level.OK, what)


def check_webhooks(visit: Visit) -> Iterator[Finding]:
    without = _active().exclude(webhook_enabled=True)
    fine = True
    for uid in without.values_list("uid", flat=True):
        fine = False
        what = _("Webhooks are switched off: changes arrive with the next sync only.")
        yield Finding("webhooks", Level.WARNING, what, _("Switch them on; see govpay_provision."), uid)
    if fine:
        yield Finding("webhooks", Level.OK, _("Webhooks are switched on for all active payment accounts."))


def check_callbacks(visit: Visit) -> Iterator[Finding]:
    """Whether the platform would reach this site at the address that it was given."""
    fine = True
    for uid, address in _hooked().values_list("uid", "callback_url"):
        fault = _fault_of(uid, address)
        if fault:
            fine = False
            cure = _("Set the callback to this site's own address; see site in govpay_provision.")
            yield Finding("callback", Level.ERROR, fault, cure, uid)
    if fine:
        yield Finding("callback", Level.OK, _("Every callback is an address of this site."))


def _fault_of(uid: str, address: str) -> str:
    """What is wrong with the callback, or an empty text."""
    try:
        path = reverse("govpay:webhook", args=[uid])
    except NoReverseMatch:
        return _("This site takes no webhooks: govpay.urls is not in its ROOT_URLCONF.")
    parts = urlsplit(address)
    # An address may carry a password of a proxy: only its parts are shown.
    told = {"host": parts.hostname or "", "path": parts.path, "own": path}
    if not parts.hostname:
        return _("There is no callback address.")
    if parts.scheme != "https" and not is_rehearsal():
        return _("The callback at %(host)s is not https.") % told
    if not answers_to(parts.hostname):
        return _("The callback's host %(host)s is not in ALLOWED_HOSTS: Django answers it with 400.") % told
    if not _is_public(parts.hostname) and not is_rehearsal():
        return _("The callback's host %(host)s cannot be reached from outside.") % told
    if parts.path != path:
        return _("The callback's path is %(path)s, and this site takes webhooks at %(own)s.") % told
    return ""


def _is_public(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return "." in host and not host.endswith((".localhost", ".local", ".internal", ".test"))


def check_test_event(visit: Visit) -> Iterator[Finding]:
    """A signed test event would prove the whole way; the platform documents none."""
    yield Finding("test-event", Level.OK, _("A signed test delivery is not offered by this API."))


def check_subscriptions(visit: Visit) -> Iterator[Finding]:
    """What the platform sends, against what is known of it here and what is worked on."""
    if not visit.reachable:
        return
    uids = list(_hooked().values_list("uid", flat=True))
    here = _here(uids)
    fine, asked = True, 0
    for uid in uids[:ASKED]:
        if not visit.within:
            break
        asked += 1
        try:
            page = get_endpoints().list_subscriptions(uid, within=visit.within)
            there = {each.event_type for each in map(SubscriptionResource, page.items) if each.enabled}
        except NotFound:
            what = _("The list of subscriptions is not offered by this API.")
            yield Finding("subscriptions", Level.OK, what, "", uid)
            continue
        except RateLimited as error:  # the others would be told the same
            cure = _("Wait: the pause is kept by all processes.")
            yield Finding("subscriptions", Level.WARNING, str(error), cure, uid)
            return
        except (APIError, ValueError) as error:
            fine = False
            yield Finding("subscriptions", Level.ERROR, str(error), _("See what the platform says."), uid)
            continue
        for what, cure in _drift(there, here.get(uid, set())):
            fine = False
            yield Finding("subscriptions", Level.WARNING, what, cure, uid)
    if asked < len(uids):
        what = _("%(count)d payment accounts were not asked for, to end in time.") % {"count": len(uids) - asked}
        yield Finding("subscriptions", Level.WARNING, what, _("Run it again; see how fast the platform answers."))
    elif fine:
        yield Finding("subscriptions", Level.OK, _("The platform sends what is worked on here."))


def _here(uids: list[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    rows = WebhookSubscription.objects.filter(account__in=uids, enabled=True, deleted_at=None)
    for uid, name in rows.values_list("account_id", "event_type"):
        found.setdefault(str(uid), set()).add(name)
    return found


def _drift(there: set[str], here: set[str]) -> Iterator[tuple[str, str]]:
    known = {str(name) for name in HANDLERS}
    if there != here:
        what = _("The subscriptions have changed on the platform: %(events)s.") % {
            "events": listed(sorted(there ^ here))
        }
        yield what, _("Run govpay_sync subscriptions.")
    if known - there - OPTIONAL:
        what = _("These events are not sent: %(events)s.") % {"events": listed(sorted(known - there - OPTIONAL))}
        yield what, _("Subscribe to them; until then their changes arrive with the sync only.")
    if there - known:
        what = _("These events are sent, and nothing here works on them: %(events)s.")
        yield what % {"events": listed(sorted(there - known))}, _("They are stored and ignored; unsubscribe or update.")


def check_secrets(visit: Visit) -> Iterator[Finding]:
    """Signing secrets: there, readable, not too old."""
    fine = True
    columns = ("uid", "webhook_secret", "webhook_secret_fetched_at", "webhook_secret_replaced_at")
    for uid, sealed, fetched, replaced in _hooked().values_list(*columns):
        if sealed is None:
            fine = False
            what = _("The signing secret was not read yet; the first delivery makes up for it.")
            yield Finding("secret", Level.WARNING, what, _("Refresh the secret; see govpay_provision."), uid)
            continue
        what, cure = _flaw_of(sealed)
        if what:
            fine = False
            yield Finding("secret", Level.ERROR, what, cure, uid)
            continue
        since = max((moment for moment in (fetched, replaced) if moment), default=None)
        if since is not None and timezone.now() - since > SECRET_AGE:
            fine = False
            what = _("The signing secret is %(age)s old.")
            what = what % {"age": span((timezone.now() - since).total_seconds())}
            yield Finding("secret", Level.WARNING, what, _("Roll it on the platform, then refresh it here."), uid)
    if fine:
        yield Finding("secret", Level.OK, _("All signing secrets are there and can be read."))


def _flaw_of(sealed: Sealed) -> tuple[str, str]:
    """Why the secret is of no use, and the cure; or empty texts."""
    try:
        secret = sealed.reveal()
    except EncryptionError:
        cure = _("Put the lost key back into ENCRYPTION_KEYS, or refresh the secret.")
        return _("The signing secret cannot be read with any key."), cure
    return (
        ("", "")
        if secret
        else (_("The stored signing secret is empty."), _("Refresh the secret; see govpay_provision."))
    )
