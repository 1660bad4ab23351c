"""Rate limits per user, lower for actions, counted in the shared cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import time_machine

from govpay.conf import parse_rate
from tests.rest.conftest import Program, problem

pytestmark = pytest.mark.django_db


def limit(settings: Any, **rates: str) -> None:
    settings.GOVPAY = {**settings.GOVPAY, **rates}


def test_a_user_is_held_up_and_another_is_not(
    finance_program: Program, support: Any, program: Callable[[Any], Program], settings: Any
) -> None:
    limit(settings, REST_RATE="3/min")
    with time_machine.travel("2026-03-01T12:00:20Z", tick=False) as clock:
        assert [finance_program.get("payments").status_code for _ in range(4)] == [200, 200, 200, 429]
        answer = finance_program.get("clients")
        problem(answer, 429, "throttled")
        assert answer["Retry-After"] == "40"
        assert program(support).get("payments").status_code == 200
        clock.shift(41)
        assert finance_program.get("payments").status_code == 200


def test_acts_have_a_limit_of_their_own(finance_program: Program, settings: Any) -> None:
    limit(settings, REST_RATE="5/min", REST_ACT_RATE="2/min")
    with time_machine.travel("2026-03-01T12:00:20Z", tick=False):
        assert [finance_program.act("payments/quote").status_code for _ in range(3)] == [400, 400, 429]
        assert [finance_program.get("payments").status_code for _ in range(3)] == [200, 200, 429]


def test_without_a_rate_nobody_is_held_up(finance_program: Program, settings: Any) -> None:
    limit(settings, REST_RATE="", REST_ACT_RATE="")
    assert {finance_program.get("payments").status_code for _ in range(20)} == {200}


def test_a_cache_that_is_down_holds_nobody_up(finance_program: Program, settings: Any) -> None:
    limit(settings, REST_RATE="1/min")
    settings.CACHES = {
        "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1:9"}
    }
    assert [finance_program.get("payments").status_code for _ in range(3)] == [200] * 3


@pytest.mark.parametrize(
    ("text", "rate"), [("600/min", (600, 60)), ("1/s", (1, 1)), ("5/hour", (5, 3600)), ("9/d", (9, 86400))]
)
def test_rates(text: str, rate: tuple[int, int]) -> None:
    assert parse_rate(text) == rate
