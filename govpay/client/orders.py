"""Reads a list in the first way that works. A way is an order with a filter; each way is assumed (A2, A3)."""

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
    """The list could not be read to its end in any of the ways that were tried."""


def first_served(
    operation: str,
    ways: Iterable[W],
    read: Callable[[W, list[APIError]], Iterator[T]],
    *,
    fault: type[PagingFault] = Repeats,
) -> Iterator[T]:
    """Yield the items of ``read(way, errors)``, for the first of ``ways`` in which the list can be read to its end.

    The next way is tried if the platform refuses the options (400), if the rows have no keyset, and after ``fault``.
    ``errors`` are the errors of the earlier ways. Items that were yielded before an error stay valid, so the same
    object may be yielded twice.

    Raises ``NotServed`` after the last way. Any other error of ``read`` is raised at once.
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
