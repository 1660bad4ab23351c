"""An account to sync, pages of a chosen size, and a recorder of the host's signals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.reading import Heard, listening


@pytest.fixture
def account(sandbox: Any) -> str:
    """The uid of an account of the empty platform."""
    return str(sandbox.add_account()["uid"])


@pytest.fixture
def pages_of(settings: Any) -> Callable[[int], None]:
    """``pages_of(10)`` sets the page size of the following requests."""

    def choose(size: int) -> None:
        settings.GOVPAY = {**settings.GOVPAY, "PAGE_SIZE": size}

    return choose


@pytest.fixture
def heard() -> Iterator[Heard]:
    with listening() as found:
        yield found
