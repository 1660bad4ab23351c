"""Checks of the platform: token, network, clock, payment accounts and their webhooks."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from django.urls import NoReverseMatch
from django.utils import timezone
from django.utils.translation import gettext as _

from govpay import conf
from govpay.addresses import public_path, public_url
from govpay.client.odata import Query
from govpay.client.resources import SubscriptionResource
from govpay.connection import get_authorizer, get_endpoints
from govpay.doctor.findings import CheckContext, Finding, Level, listed, span
from govpay.doctor.site import answers_to, is_rehearsal
from govpay.exceptions import APIError, AuthenticationError, EncryptionError, NotFound, RateLimited
from govpay.models import PaymentAccount, WebhookSubscription
from govpay.models.choices import EventType
from govpay.models.fields import Sealed
from govpay.sync.events import HANDLERS

#: Difference between the clocks in seconds. Tokens and signatures depend on the time.
SKEW_WARNING, SKEW_ERROR = 60.0, 240.0

#: Maximum number of accounts whose subscriptions are read from the platform in one run.
MAX_ACCOUNTS_READ = 25

#: A webhook secret older than this should be replaced.
MAX_SECRET_AGE = dt.timedelta(days=365)

#: Event types that this package handles but that many sites do not use. Not reported as missing.
OPTIONAL_EVENTS = {EventType.BANK_BILL_PAY.value, EventType.IVR_COMPLETED.value}

# --- Token, network and clock ------------------------------------------------------------------


def check_token(context: CheckContext) -> Iterator[Finding]:
    """Check that there is an access token, and that the last attempt to renew it succeeded. Reports the token's age."""
    authorizer = get_authorizer()
    try:
        authorizer.token(context.call_timeout)
    except AuthenticationError as error:
        hint = _("Check CLIENT_ID, CLIENT_SECRET and SCOPE, and that the client was not revoked.")
        yield Finding("token", Level.ERROR, error.record, hint)
        return
    except APIError as error:
        hint = _("Check TOKEN_URL, and that this machine reaches it.")
        yield Finding("token", Level.ERROR, error.record, hint)
        return
    known = authorizer.status()
    words = _("There is a token: %(age)s old, valid for another %(left)s.")
    what = words % {"age": span(known.get("age", 0)), "left": span(known.get("expires_in", 0))}
    if known["blocked"]:
        what += " " + _("The last attempt to renew it failed. %(error)s") % {"error": known["error"]}
        yield Finding("token", Level.WARNING, what.strip(), _("It is tried again every 30 seconds; see TOKEN_URL."))
    else:
        yield Finding("token", Level.OK, what)


def check_reachability(context: CheckContext) -> Iterator[Finding]:
    """Check that the platform answers one small read."""
    try:
        get_endpoints().list_clients(Query(top=1), within=context.call_timeout)
    except RateLimited as error:
        context.reachable = True
        yield Finding("reachability", Level.WARNING, error.record, _("Wait: the pause is kept by all processes."))
    except APIError as error:
        yield Finding("reachability", Level.ERROR, error.record, _hint_for(error))
    else:
        context.reachable = True
        what = _("%(address)s answers.") % {"address": conf.get("API_URL")}
        yield Finding("reachability", Level.OK, what)


def _hint_for(error: APIError) -> str:
    if isinstance(error, AuthenticationError):
        return _("Check SCOPE and API_URL: the API does not accept the token that the token endpoint issued.")
    if isinstance(error, NotFound):
        return _("Check API_URL: something answers there, but not this API.")
    return _("Check API_URL, the network of this machine, and whether the platform is up.")


def check_clock(context: CheckContext) -> Iterator[Finding]:
    """Check the difference between this machine's clock and the ``Date`` of the platform's last answer."""
    skew = get_endpoints().transport.skew
    if skew is None:
        what = _("The platform's clock is not known: no answer of it had a date.")
        yield Finding("clock", Level.WARNING, what, _("See whether it is reachable."))
        return
    size = abs(skew)
    words = (
        _("This machine's clock is %(size)s ahead of the platform's.")
        if skew > 0
        else _("This machine's clock is %(size)s behind the platform's.")
    )
    what = words % {"size": span(size)}
    hint = _("Let this machine's clock be set from the network (NTP).")
    if size > SKEW_ERROR:
        yield Finding("clock", Level.ERROR, what, hint)
    elif size > SKEW_WARNING:
        yield Finding("clock", Level.WARNING, what, hint)
    else:
        yield Finding("clock", Level.OK, what)


# --- Payment accounts and their webhooks -------------------------------------------------------


def _accounts(**which: Any) -> Any:
    return PaymentAccount.objects.filter(deleted_at=None, **which).order_by("uid")


def _active(**which: Any) -> Any:
    """Return the accounts that are not known to be inactive. The platform may leave the property out."""
    return _accounts(**which).exclude(active=False)


def _with_webhooks() -> Any:
    """Return the active accounts whose webhooks are switched on."""
    return _active(webhook_enabled=True)


def check_accounts(context: CheckContext) -> Iterator[Finding]:
    """Check that there is an active payment account."""
    count, active = _accounts().count(), _active().count()
    told = {"active": active, "count": count}
    if not count:
        hint = _("Run govpay_provision, or govpay_sync accounts if there are some on the platform.")
        yield Finding("accounts", Level.WARNING, _("No payment account is known here."), hint)
    elif not active:
        what = _("None of the %(count)d payment accounts is active: nothing can be paid.") % told
        yield Finding("accounts", Level.ERROR, what, _("Activate one; see govpay_provision."))
    else:
        what = _("%(active)d of %(count)d payment accounts are active.") % told
        yield Finding("accounts", Level.OK, what)


def check_webhooks(context: CheckContext) -> Iterator[Finding]:
    """Check that every active account has its webhooks switched on."""
    without = _active().exclude(webhook_enabled=True)
    fine = True
    for uid in without.values_list("uid", flat=True):
        fine = False
        what = _("Webhooks are switched off: changes arrive with the next sync only.")
        yield Finding("webhooks", Level.WARNING, what, _("Switch them on; see govpay_provision."), uid)
    if fine:
        yield Finding("webhooks", Level.OK, _("Webhooks are switched on for all active payment accounts."))


def check_callbacks(context: CheckContext) -> Iterator[Finding]:
    """Check that each callback URL is an address of this site that the platform can reach."""
    fine = True
    for uid, address in _with_webhooks().values_list("uid", "callback_url"):
        fault = _callback_fault(uid, address)
        if fault:
            fine = False
            hint = _("Set the callback to this site's own address; see site in govpay_provision.")
            yield Finding("callback", Level.ERROR, fault, hint, uid)
    if fine:
        yield Finding("callback", Level.OK, _("Every callback is an address of this site."))


def _callback_fault(uid: str, address: str) -> str:
    """Return the fault of the callback URL ``address``; an empty string if there is none."""
    try:
        path = public_path("govpay:webhook", uid)
    except NoReverseMatch:
        return _("This site takes no webhooks: govpay.urls is not in its ROOT_URLCONF.")
    try:
        parts = urlsplit(address)
    except ValueError:
        return _("There is no callback address.")
    # A URL may contain a password, so only its host and path are shown.
    told = {"host": parts.hostname or "", "path": parts.path, "own": path}
    if not parts.hostname:
        return _("There is no callback address.")
    if parts.scheme != "https" and not is_rehearsal():
        return _("The callback at %(host)s is not https.") % told
    if not answers_to(parts.hostname):
        return _("The callback's host %(host)s is not in ALLOWED_HOSTS: Django answers it with 400.") % told
    if not _is_public(parts.hostname) and not is_rehearsal():
        return _("The callback's host %(host)s cannot be reached from outside.") % told
    if (site := public_url()) and f"{parts.scheme}://{parts.netloc}".lower() != site.lower():
        return _("The callback's host is %(host)s, and PUBLIC_URL is %(site)s.") % {**told, "site": site}
    if parts.path != path:
        return _("The callback's path is %(path)s, and this site takes webhooks at %(own)s.") % told
    return ""


def _is_public(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return "." in host and not host.endswith((".localhost", ".local", ".internal", ".test"))


def check_test_event(context: CheckContext) -> Iterator[Finding]:
    """Report that webhooks cannot be checked with a test event: the platform documents no way to request one."""
    yield Finding("test-event", Level.OK, _("A signed test delivery is not offered by this API."))


def check_subscriptions(context: CheckContext) -> Iterator[Finding]:
    """Compare the subscriptions on the platform with the rows here and with the events handled here."""
    if not context.reachable:
        return
    uids = list(_with_webhooks().values_list("uid", flat=True))
    here = _subscribed_here(uids)
    fine, asked = True, 0
    for uid in uids[:MAX_ACCOUNTS_READ]:
        if not context.call_timeout:
            break
        asked += 1
        try:
            page = get_endpoints().list_subscriptions(uid, within=context.call_timeout)
            there = {each.event_type for each in map(SubscriptionResource, page.items) if each.enabled}
        except NotFound:
            what = _("The list of subscriptions is not offered by this API.")
            yield Finding("subscriptions", Level.OK, what, "", uid)
            continue
        except RateLimited as error:  # a limit of this account only
            fine = False
            hint = _("Wait: the pause is kept by all processes.")
            yield Finding("subscriptions", Level.WARNING, error.record, hint, uid)
            continue
        except (APIError, ValueError) as error:
            fine = False
            yield Finding(
                "subscriptions",
                Level.ERROR,
                getattr(error, "record", str(error)),
                _("See what the platform says."),
                uid,
            )
            continue
        for what, hint in _drift(there, here.get(uid, set())):
            fine = False
            yield Finding("subscriptions", Level.WARNING, what, hint, uid)
    if asked < len(uids):
        what = _("%(count)d payment accounts were not checked: time limit reached.") % {"count": len(uids) - asked}
        yield Finding("subscriptions", Level.WARNING, what, _("Run it again; see how fast the platform answers."))
    elif fine:
        yield Finding("subscriptions", Level.OK, _("The subscriptions match the events that this site handles."))


def _subscribed_here(uids: list[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    rows = WebhookSubscription.objects.filter(account__in=uids, enabled=True, deleted_at=None)
    for uid, name in rows.values_list("account_id", "event_type"):
        found.setdefault(str(uid), set()).add(name)
    return found


def _drift(there: set[str], here: set[str]) -> Iterator[tuple[str, str]]:
    """Yield each difference between the subscriptions on the platform and those stored here, with a hint."""
    known = {str(name) for name in HANDLERS}
    if there != here:
        what = _("The subscriptions have changed on the platform: %(events)s.") % {
            "events": listed(sorted(there ^ here))
        }
        yield what, _("Run govpay_sync subscriptions.")
    if known - there - OPTIONAL_EVENTS:
        what = _("These events are not sent: %(events)s.") % {"events": listed(sorted(known - there - OPTIONAL_EVENTS))}
        yield what, _("Subscribe to them; until then their changes arrive with the sync only.")
    if there - known:
        what = _("These events are sent, and nothing here works on them: %(events)s.")
        yield what % {"events": listed(sorted(there - known))}, _("They are stored and ignored; unsubscribe or update.")


def check_secrets(context: CheckContext) -> Iterator[Finding]:
    """Check that each signing secret is stored, can be decrypted and is not too old."""
    fine = True
    columns = ("uid", "webhook_secret", "webhook_secret_fetched_at", "webhook_secret_replaced_at")
    for uid, sealed, fetched, replaced in _with_webhooks().values_list(*columns):
        if sealed is None:
            fine = False
            what = _("The signing secret is not stored yet. It is fetched when the first webhook arrives.")
            yield Finding("secret", Level.WARNING, what, _("Refresh the secret; see govpay_provision."), uid)
            continue
        what, hint = _secret_fault(sealed)
        if what:
            fine = False
            yield Finding("secret", Level.ERROR, what, hint, uid)
            continue
        since = max((moment for moment in (fetched, replaced) if moment), default=None)
        if since is not None and timezone.now() - since > MAX_SECRET_AGE:
            fine = False
            what = _("The signing secret is %(age)s old.")
            what = what % {"age": span((timezone.now() - since).total_seconds())}
            yield Finding("secret", Level.WARNING, what, _("Roll it on the platform, then refresh it here."), uid)
    if fine:
        yield Finding("secret", Level.OK, _("All signing secrets are stored and can be decrypted."))


def _secret_fault(sealed: Sealed) -> tuple[str, str]:
    """Return the reason why the secret cannot be used, and a hint; two empty strings if it can be used."""
    try:
        secret = sealed.reveal()
    except EncryptionError:
        hint = _("Put the lost key back into ENCRYPTION_KEYS, or refresh the secret.")
        return _("The signing secret cannot be read with any key."), hint
    if not secret:
        return _("The stored signing secret is empty."), _("Refresh the secret; see govpay_provision.")
    return "", ""
