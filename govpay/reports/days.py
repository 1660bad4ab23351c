"""Business days: the time zone of an account, and the moments at which its days begin and end."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from functools import lru_cache
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import QuerySet

from govpay import conf
from govpay.models import Client, PaymentAccount
from govpay.models.zones import zone_named

Accounts = Iterable[PaymentAccount]

ONE_DAY = dt.timedelta(days=1)
ONE_MINUTE = dt.timedelta(minutes=1)
NOON = dt.time(12)


def zone_of(account: PaymentAccount) -> ZoneInfo:
    """Return the time zone of the account's business days.

    It comes from the setting ``TIME_ZONES``, else from the client, else from Django's ``TIME_ZONE``. Unknown names are
    skipped; the doctor reports them. Executes a statement if the account's client is not loaded.
    """
    try:
        client = account.client
    except Client.DoesNotExist:  # not synced yet
        client = None
    return _zone(account.uid, account.client_id, client.timezone if client else "")


def zones_of(accounts: Accounts) -> dict[str, ZoneInfo]:
    """Return the time zones of several accounts by uid, in the order of ``accounts``. Runs at most two statements."""
    if isinstance(accounts, QuerySet):
        keys = list(accounts.values_list("uid", "client_id"))
    else:
        keys = [(account.uid, account.client_id) for account in accounts]
    names = dict(Client.objects.filter(uid__in={client for _, client in keys if client}).values_list("uid", "timezone"))
    return {uid: _zone(uid, client, names.get(client, "")) for uid, client in keys}


def zone_names(account_uid: str, client_uid: str | None, client_timezone: str) -> Iterator[str]:
    """Return the names that are tried one after the other for an account."""
    given = conf.get("TIME_ZONES")
    for key in (account_uid, client_uid, "*"):
        if isinstance(given.get(key), str):
            yield given[key]
    yield client_timezone


def _zone(account_uid: str, client_uid: str | None, client_timezone: str) -> ZoneInfo:
    names = zone_names(account_uid, client_uid, client_timezone)
    zone = next(filter(None, map(zone_named, names)), None)
    return zone or default_zone()


def default_zone() -> ZoneInfo:
    """Return the zone of an account without one: Django's ``TIME_ZONE``."""
    return ZoneInfo(settings.TIME_ZONE)


def business_day(account: PaymentAccount, moment: dt.datetime) -> dt.date:
    """Return the business day of the account to which an aware ``moment`` belongs."""
    return day_in(zone_of(account), moment)


def day_bounds(account: PaymentAccount, day: dt.date) -> tuple[dt.datetime, dt.datetime]:
    """Return the first moment of a business day and the first moment after it, in UTC."""
    zone = zone_of(account)
    return day_start(zone, day), day_start(zone, day + ONE_DAY)


def day_in(zone: ZoneInfo, moment: dt.datetime) -> dt.date:
    """Return the business day of a zone to which an aware ``moment`` belongs."""
    day = moment.astimezone(zone).date()
    while moment < day_start(zone, day):
        day -= ONE_DAY
    while moment >= day_start(zone, day + ONE_DAY):
        day += ONE_DAY
    return day


def day_start(zone: ZoneInfo, day: dt.date) -> dt.datetime:
    """Return the first moment of a business day in UTC.

    ``DAY_ENDS_AT`` before 12:00 extends each day past midnight; from 12:00 on it ends each day early. Raises
    ``ConfigurationError`` if it is no time of day.
    """
    return _day_start(zone, day, conf.time_of("DAY_ENDS_AT"))


@lru_cache(maxsize=4096)
def _day_start(zone: ZoneInfo, day: dt.date, ends_at: dt.time) -> dt.datetime:
    wall = dt.datetime.combine(day if ends_at < NOON else day - ONE_DAY, ends_at)
    moment = wall.replace(tzinfo=zone).astimezone(dt.UTC)
    # When clocks are put forward they skip some times. A day that would begin then begins with the change.
    while (moment - ONE_MINUTE).astimezone(zone).replace(tzinfo=None) >= wall:
        moment -= ONE_MINUTE
    return moment
