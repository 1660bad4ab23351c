"""Fixtures of the tests of actions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.operations.merchant import Merchant, listening


@pytest.fixture
def merchant(sandbox: Any, transactional_db: None) -> Merchant:
    return Merchant(sandbox)


@pytest.fixture
def heard(merchant: Merchant) -> Iterator[list[tuple[str, str, str]]]:
    """The signals of the test, in order."""
    with listening() as signals:
        yield signals


@pytest.fixture
def impatient(settings: Any) -> None:
    """No retries and short timeouts, for tests in which the platform does not answer."""
    settings.GOVPAY = {**settings.GOVPAY, "MAX_RETRIES": 0, "READ_TIMEOUT": 1, "CALL_TIMEOUT": 2}
