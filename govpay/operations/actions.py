"""What an action is: rules, one call, and how its outcome is told from what the platform says."""

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
    """What a confirmation page showed, checked again before the action: a difference refuses it (faults M7)."""

    status: str
    #: What was left to refund, in minor units; ``None`` where that does not matter.
    refundable: int | None = None
    #: The payment's total in minor units, and its currency; ``None`` and empty where they were not shown.
    total: int | None = None
    currency: str = ""


@dataclass(frozen=True)
class ActionResult:
    """What the platform says about an action: the document of the row it made or changed."""

    mapper: Mapper
    document: Mapping[str, Any]
    request_id: str = ""
    #: Why the action certainly did not happen, although the platform knows its object.
    error: APIError | None = None
    #: Columns of ours that belong to the row: what the document told and no document may keep.
    local: Mapping[str, Any] = field(default_factory=dict, repr=False)


class Action(ABC):
    """One thing that can be asked of the platform. Subclasses say what; ``engine.execute`` says in which order.

    What needs no more than the journal row is static, so that reconciliation can do it long after the
    caller is gone.
    """

    #: One of ``OperationAction``; ``models.permissions`` has its permission.
    action: ClassVar[str]
    #: The kind of row that it makes or changes.
    model: ClassVar[type[Mirror]]
    #: Whether ``look_up`` reads the changed object itself, so that two reads without a trace are enough. A list
    #: may lag for minutes: what is looked up in one needs ``ABSENT_AFTER`` without any sign.
    reads_object: ClassVar[bool] = False
    #: Whether the same key sends it again after it was not executed.
    can_retry: ClassVar[bool] = True
    #: Statuses that the answer may have, if it has one at all: with any other the platform is read instead.
    statuses: ClassVar[frozenset[str]] = frozenset()
    #: Prefix of the reference that is made from the operation's key; empty: the caller gives the reference, if any.
    reference_prefix: ClassVar[str] = ""

    @abstractmethod
    def arguments(self) -> Mapping[str, Any]:
        """What the caller asked for, so that one key cannot stand for two actions."""

    @abstractmethod
    def entry(self) -> dict[str, Any]:
        """The columns of the journal row."""

    def known(self) -> Mirror | None:
        """The row that the action would make, where it is there already and nothing needs to be sent."""
        return None

    @classmethod
    def again(cls, operation: Operation, seen: Snapshot | None) -> Action:
        """The same request made from the journal alone, for *Try again*.

        Raises ``OperationRefused`` where the journal does not hold all of it: repeat the call with its key then.
        """
        raise OperationRefused(_("This cannot be tried again from here: start it again where it was started."))

    @abstractmethod
    def check(self, operation: Operation) -> None:
        """Our own rules, on rows that are fresh and locked; completes the journal row and the request.

        Runs after the row was inserted, which claims the payment: whatever another action changed is
        visible by now. Raises ``OperationRefused``, which takes the row back.
        """

    @abstractmethod
    def send(self, operation: Operation) -> Resource:
        """The API call and nothing else: whatever it raises is taken for the outcome of the call."""

    def judge_answer(self, operation: Operation, found: Any) -> ActionResult | None:
        """``judge`` for the answer to the call itself, of which more may be demanded than of a read."""
        if self.statuses and found.status not in self.statuses:
            raise InvalidAnswer("the answer has no status that is known")
        return self.judge(operation, found)

    @staticmethod
    @abstractmethod
    def judge(operation: Operation, found: Any) -> ActionResult | None:
        """What ``found`` says about the action; ``None``: it has not happened.

        Raises ``InvalidAnswer`` or another ``ValueError`` or ``APIError`` when ``found`` does not tell.
        """

    @classmethod
    @abstractmethod
    def look_up(cls, operation: Operation) -> ActionResult | None:
        """Read the platform for the outcome; ``None``: there is no sign of it in any place. Only reads.

        Raises ``EffectSeen`` when a place shows a sign that is no proof, and another ``APIError`` or
        ``ValueError`` when it cannot be told now: that proves nothing.
        """

    @staticmethod
    def address(operation: Operation) -> dict[str, Any]:
        """The columns that the document's address tells, the same as a sync gives them."""
        return {"account_id": operation.account_id}

    @staticmethod
    def stored(operation: Operation, row: Mirror) -> None:
        """What else belongs into the transaction that closes the journal row; ``row`` is the action's own."""
        return

    @staticmethod
    def read_again(operation: Operation, *, refused: bool) -> None:
        """Once the journal row is closed: bring up to date what else the action may have changed.

        ``refused``: the platform said no and told nothing of the object, so that is what differs from ours.
        """
        return


def completed(found: R, known: Mapping[str, Any]) -> R:
    """``found`` with those properties of ``known`` that the platform left out of its answer.

    Of the answers to writes little is documented (/platform/payments/ names four properties), and an
    answer that says less must not empty the columns that it does not speak of.
    """
    missing = {name: value for name, value in known.items() if value is not None and found.raw.get(name) is None}
    return type(found)({**found.raw, **missing}, found.request_id) if missing else found
