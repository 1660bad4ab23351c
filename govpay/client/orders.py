"""Reads a list in the first of several ways that the platform serves: orders and filters are assumed (A2, A3)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from govpay.client.links import PagingFault, Repeats
from govpay.client.pages import NoKeyset
from govpay.exceptions import APIError, InvalidAnswer, InvalidRequest

logger = logging.getLogger("govpay.client")

T = TypeVar("T")
W = TypeVar("W")


class NotServed(InvalidAnswer):
    """The platform serves the list to its end in none of the ways that were tried."""


def first_served(
    operation: str,
    ways: Iterable[W],
    read: Callable[[W, list[APIError]], Iterator[T]],
    *,
    fault: type[PagingFault] = Repeats,
) -> Iterator[T]:
    """Yield what ``read(way, errors)`` yields, for the first of ``ways`` that it can finish.

    The next way is tried when the platform refuses the options (400), when the rows have no keyset, and after
    ``fault``. ``errors`` are those of the ways before. What such a way yielded before its error stays valid, so that an
    object may come twice.

    Raises ``NotServed`` after the last way, and any other error of ``read`` at once.
    """
    errors: list[APIError] = []
    for way in ways:
        try:
            yield from read(way, errors)
            return
        except (InvalidRequest, NoKeyset, fault) as error:
            if isinstance(error, InvalidRequest) and error.status != 400:
                raise
            logger.info("%s: tried in another way: %s", operation, error)  # without ``way``: filters hold values
            errors.append(error)
    raise NotServed(f"{operation} cannot be read to its end: {errors[-1]}") from errors[-1]
