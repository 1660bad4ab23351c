"""The base class of actions: the rules, one API call, and how its outcome is read from the platform."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from django.utils.translation import gettext as _

from govpay.client import Resource
from govpay.exceptions import APIError, InvalidAnswer, OperationRefused
from govpay.models import Operation
from govpay.models.base import Mirror
from govpay.sync.mapping import Mapper

R = TypeVar("R", bound=Resource)


@dataclass(frozen=True)
class Snapshot:
    """The values that a confirmation page showed. If the locked row differs, the action is refused (M7)."""

    status: str
    #: The amount that was left to refund, in minor units; ``None`` if the action does not need it.
    refundable: int | None = None
    #: The payment's total in minor units, and its currency; ``None`` and empty where they were not shown.
    total: int | None = None
    currency: str = ""


@dataclass(frozen=True)
class ActionResult:
    """The platform's answer about an action: the document of the row that the action created or changed."""

    mapper: Mapper
    document: Mapping[str, Any]
    request_id: str = ""
    #: Why the action certainly did not happen, although the platform knows its object.
    error: APIError | None = None
    #: Columns of our own for the row: values from the answer that must not be stored in ``raw``.
    local: Mapping[str, Any] = field(default_factory=dict, repr=False)


class Action(ABC):
    """One request to the platform. Subclasses define its parts; ``engine.execute`` calls them in order.

    Methods that need only the journal row are static, so that reconciliation can call them long after the call.
    """

    #: One of ``OperationAction``; ``models.permissions`` has its permission.
    action: ClassVar[str]
    #: The kind of row that it makes or changes.
    model: ClassVar[type[Mirror]]
    #: Whether ``look_up`` reads the changed object itself, so that two reads without a sign are enough. A list
    #: may lag for minutes: an action that is looked up in a list needs ``ABSENT_AFTER`` without any sign.
    reads_object: ClassVar[bool] = False
    #: Whether a call with the same key sends the request again after it was not executed.
    can_retry: ClassVar[bool] = True
    #: Statuses that a successful answer may have. With another status the platform is read instead.
    statuses: ClassVar[frozenset[str]] = frozenset()
    #: Prefix of the reference that is made from the operation's key; empty: the caller gives the reference, if any.
    reference_prefix: ClassVar[str] = ""

    @abstractmethod
    def arguments(self) -> Mapping[str, Any]:
        """Return the caller's arguments. Their fingerprint prevents the use of one key for two requests."""

    @abstractmethod
    def entry(self) -> dict[str, Any]:
        """Return the columns of the journal row."""

    def known(self) -> Mirror | None:
        """Return the row that the action would create, if it exists already. Then nothing is sent."""
        return None

    @classmethod
    def again(cls, operation: Operation, seen: Snapshot | None) -> Action:
        """Build the same request again from the journal row alone, for *Try again*.

        Raises ``OperationRefused`` if the row does not contain the whole request. Then the caller must repeat the call
        with the same key.
        """
        raise OperationRefused(
            _("This cannot be tried again here. Start it again on the page or with the command that started it.")
        )

    @abstractmethod
    def check(self, operation: Operation) -> None:
        """Check our own rules on fresh, locked rows, and complete the journal row and the request.

        Runs after the journal row was inserted. That row claims the payment, so the changes of an earlier action are
        visible now. Raises ``OperationRefused``, which rolls the journal row back.
        """

    @abstractmethod
    def send(self, operation: Operation) -> Resource:
        """Make the API call and nothing else: an exception from here is treated as the outcome of the call."""

    def judge_answer(self, operation: Operation, found: Any) -> ActionResult | None:
        """Judge the answer to the call itself, as ``judge`` does. It must meet more conditions than a read."""
        if self.statuses and found.status not in self.statuses:
            raise InvalidAnswer("the answer has no status that is known")
        return self.judge(operation, found)

    @staticmethod
    @abstractmethod
    def judge(operation: Operation, found: Any) -> ActionResult | None:
        """Return what ``found`` says about the action; ``None`` if it has not happened.

        Raises ``InvalidAnswer`` or another ``ValueError`` or ``APIError`` when ``found`` does not show the outcome.
        """

    @classmethod
    @abstractmethod
    def look_up(cls, operation: Operation) -> ActionResult | None:
        """Read the platform to find the outcome. Returns ``None`` if no place shows a sign of it. Never writes.

        Raises ``EffectSeen`` if there is a sign but no proof. Raises another ``APIError`` or ``ValueError`` if the
        outcome cannot be read now; this proves nothing.
        """

    @staticmethod
    def address(operation: Operation) -> dict[str, Any]:
        """Return the columns that are known from the request's path, with the same values as in a sync."""
        return {"account_id": operation.account_id}

    @staticmethod
    def stored(operation: Operation, row: Mirror) -> None:
        """Make further writes in the transaction that closes the journal row. ``row`` is the row of the action."""
        return

    @staticmethod
    def read_again(operation: Operation, *, refused: bool) -> None:
        """Read again the other objects that the action may have changed. Called after the journal row is closed.

        ``refused``: the platform refused the action without saying why, so our copy of the object may be old.
        """
        return


def completed(found: R, known: Mapping[str, Any]) -> R:
    """Return ``found``, completed with the properties of ``known`` that the platform's answer lacks.

    The answers to writes are hardly documented (/platform/payments/ names four properties). A property that is missing
    in an answer must not clear its column.
    """
    missing = {name: value for name, value in known.items() if value is not None and found.raw.get(name) is None}
    return type(found)({**found.raw, **missing}, found.request_id) if missing else found
