"""Business days: time zones by their names, and days that begin at other hours or last 23 or 25 of them."""

from __future__ import annotations

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from govpay.models import Client, PaymentAccount
from govpay.models.zones import zone_named
from govpay.reports import business_day, day_bounds, zone_of
from govpay.reports.days import zones_of
from tests.reports.rows import account

pytestmark = pytest.mark.django_db

DENVER = ZoneInfo("America/Denver")
SPRING, AUTUMN = dt.date(2026, 3, 8), dt.date(2026, 11, 1)  # clocks change in Denver


def at(text: str, fold: int = 0) -> dt.datetime:
    """A moment by the wall clock of Denver."""
    return dt.datetime.fromisoformat(text).replace(tzinfo=DENVER, fold=fold).astimezone(dt.UTC)


@pytest.mark.parametrize(
    ("name", "zone"),
    [
        ("Mountain Standard Time", "America/Denver"),
        ("US Mountain Standard Time", "America/Phoenix"),
        ("W. Europe Standard Time", "Europe/Berlin"),
        (" America/Denver ", "America/Denver"),
        ("UTC", "UTC"),
        *[(name, None) for name in ("", "Mars", "mountain", "../etc/passwd", "/etc/localtime", "America", "x" * 5000)],
        *[(name, None) for name in ("a\x00b", "America/Denver\n/x", "ü")],
    ],
)
def test_zone_has_an_iana_or_a_windows_name(name: str, zone: str | None) -> None:
    found = zone_named(name)
    assert (found and found.key) == zone


@pytest.mark.parametrize(
    ("given", "client", "zone"),
    [
        ({}, "Mountain Standard Time", "America/Denver"),
        ({}, "", "Asia/Tokyo"),
        ({}, "Mars", "Asia/Tokyo"),
        ({"*": "Europe/Paris"}, "Mountain Standard Time", "Europe/Paris"),
        ({"*": "Europe/Paris", "client_acc_1": "Europe/Rome"}, "", "Europe/Rome"),
        ({"client_acc_1": "Europe/Rome", "acc_1": "Eastern Standard Time"}, "", "America/New_York"),
        ({"acc_1": "Mars"}, "Mountain Standard Time", "America/Denver"),
        ({"acc_1": None, "acc_2": "Europe/Rome"}, "Mountain Standard Time", "America/Denver"),
    ],
)
def test_zone_of_an_account(settings: Any, given: dict[str, Any], client: str, zone: str) -> None:
    settings.TIME_ZONE = "Asia/Tokyo"
    settings.GOVPAY = {**settings.GOVPAY, "TIME_ZONES": given}
    row = account(timezone=client)
    assert zone_of(row).key == zone
    assert zones_of([row]) == zones_of(PaymentAccount.objects.all()) == {"acc_1": zone_of(row)}


def test_account_whose_client_has_not_arrived(settings: Any) -> None:
    settings.TIME_ZONE = "Asia/Tokyo"
    row = account()
    Client.objects.all().delete()
    row = PaymentAccount.objects.get(pk=row.pk)
    assert zone_of(row).key == zones_of([row])["acc_1"].key == "Asia/Tokyo"


@pytest.mark.parametrize(
    ("ends", "moment", "day"),
    [
        ("00:00", at("2026-06-10 00:00"), 10),
        ("00:00", at("2026-06-10 23:59:59.999999"), 10),
        ("02:00", at("2026-06-11 01:59:59"), 10),
        ("02:00", at("2026-06-11 02:00"), 11),
        ("11:59", at("2026-06-11 11:58"), 10),
        ("12:00", at("2026-06-10 11:59"), 10),
        ("12:00", at("2026-06-10 12:00"), 11),
        ("17:00", at("2026-06-10 16:59:59"), 10),
        ("17:00", at("2026-06-10 17:00"), 11),
        ("17:00", dt.datetime(2026, 6, 11, 1, tzinfo=dt.UTC), 11),
    ],
)
def test_day_ends_at(settings: Any, ends: str, moment: dt.datetime, day: int) -> None:
    settings.GOVPAY = {**settings.GOVPAY, "DAY_ENDS_AT": ends}
    row = account()
    assert business_day(row, moment) == dt.date(2026, 6, day)
    start, end = day_bounds(row, dt.date(2026, 6, day))
    assert start <= moment < end


@pytest.mark.parametrize("ends", ["00:00", "01:30", "02:00", "02:30", "03:00", "12:00", "17:00", "23:59"])
@pytest.mark.parametrize(
    "zone", ["America/Denver", "America/Santiago", "America/Havana", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"]
)
def test_each_moment_is_in_exactly_one_day(settings: Any, ends: str, zone: str) -> None:
    """Over the year's changes of clocks: days follow each other, last about a day, and contain their moments."""
    settings.GOVPAY = {**settings.GOVPAY, "DAY_ENDS_AT": ends}
    row = account(timezone=zone)
    moment = dt.datetime(2026, 1, 1, 5, 17, tzinfo=dt.UTC)
    while moment.year == 2026:
        day = business_day(row, moment)
        start, end = day_bounds(row, day)
        assert start <= moment < end
        assert end == day_bounds(row, day + dt.timedelta(days=1))[0]
        assert dt.timedelta(hours=23) <= end - start <= dt.timedelta(hours=25)
        moment += dt.timedelta(hours=11)


@pytest.mark.parametrize(("day", "hours"), [(SPRING, 23), (AUTUMN, 25), (dt.date(2026, 6, 10), 24)])
def test_days_of_23_and_25_hours(day: dt.date, hours: int) -> None:
    start, end = day_bounds(account(), day)
    assert end - start == dt.timedelta(hours=hours)
    assert start.astimezone(DENVER).replace(tzinfo=None) == dt.datetime.combine(day, dt.time())


def test_end_at_a_time_that_clocks_skip_or_repeat(settings: Any) -> None:
    """02:30 does not exist in spring, and 01:30 comes twice in autumn. The first moment not before it counts."""
    row = account()
    settings.GOVPAY = {**settings.GOVPAY, "DAY_ENDS_AT": "02:30"}
    assert day_bounds(row, SPRING)[0] == at("2026-03-08 03:00")
    assert business_day(row, at("2026-03-08 01:59")) == SPRING - dt.timedelta(days=1)
    settings.GOVPAY = {**settings.GOVPAY, "DAY_ENDS_AT": "01:30"}
    assert day_bounds(row, AUTUMN)[0] == at("2026-11-01 01:30")
    assert business_day(row, at("2026-11-01 01:10", fold=1)) == AUTUMN
