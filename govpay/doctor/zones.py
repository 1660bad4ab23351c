"""Checks of the time zones that business days depend on."""

from __future__ import annotations

from collections.abc import Iterator

from django.utils.translation import gettext as _

from govpay import conf
from govpay.doctor.findings import CheckContext, Finding, Level, listed
from govpay.models import Client, PaymentAccount
from govpay.models.zones import zone_named
from govpay.reports.days import zones_of


def check_zones(context: CheckContext) -> Iterator[Finding]:
    """Check that the names of time zones are known, and that the keys of ``TIME_ZONES`` name something."""
    fine = True
    for subject, what, hint in (*_of_settings(), *_of_clients()):
        fine = False
        yield Finding("zones", Level.WARNING, what, hint, subject)
    if fine:
        used = sorted({zone.key for zone in zones_of(PaymentAccount.objects.all()).values()})
        what = _("The time zones of business days are known: %(zones)s.") % {"zones": listed(used) or "-"}
        yield Finding("zones", Level.OK, what)


def _of_settings() -> Iterator[tuple[str, str, str]]:
    hint = _("Give the name of the IANA, such as America/Denver, or of Windows.")
    given = conf.get("TIME_ZONES")
    named = {f'TIME_ZONES["{key}"]': name for key, name in given.items()}
    for setting, name in {**named, "VOID_DAY_ZONE": conf.get("VOID_DAY_ZONE")}.items():
        if not isinstance(name, str) or zone_named(name) is None:
            what = _("%(setting)s names no known time zone: %(name)s. It is ignored.")
            yield setting, what % {"setting": setting, "name": name}, hint
    keys = {str(key) for key in given} - {"*"}
    for model in (PaymentAccount, Client):
        keys -= set(model._default_manager.filter(uid__in=keys).values_list("uid", flat=True))
    for key in sorted(keys):
        what = _("TIME_ZONES has the key %(key)s, which is no payment account and no client.") % {"key": key}
        yield f'TIME_ZONES["{key}"]', what, _("Correct the uid, or remove the entry.")


def _of_clients() -> Iterator[tuple[str, str, str]]:
    """Clients whose accounts would use a name that is not known."""
    given = conf.get("TIME_ZONES")
    for client in Client.objects.present().exclude(timezone="").only("uid", "name", "timezone"):
        if client.uid not in given and "*" not in given and zone_named(client.timezone) is None:
            what = _("The time zone of the client %(client)s is not known: %(name)s. Django's TIME_ZONE is used.")
            yield (
                client.uid,
                what % {"client": client, "name": client.timezone},
                _("Add the client to TIME_ZONES, or correct its time zone on the platform."),
            )
