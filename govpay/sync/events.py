"""Processes one webhook event: reads the object that the event names from the platform and stores that document.

The payload is only a hint (assumption A21). The object is looked up in the account that received the delivery, so
a wrong payload can at worst cause a read. The order of deliveries does not matter: each read returns the current state.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django.db.models import Q

from govpay.client.pages import uid_of
from govpay.connection import get_endpoints
from govpay.exceptions import GovPayError, NotFound
from govpay.models import Customer, HostedSession, Payment, SavedPaymentMethod, Transaction, WebhookEvent
from govpay.models.base import Mirror
from govpay.models.choices import EventState, EventType, SessionStatus, Source, TransactionType
from govpay.security.tracebacks import scrub_traceback
from govpay.sync import contract, inbox, mapping, sessions, unreachable
from govpay.sync.mapping import Mapper, Unmappable
from govpay.sync.related import fetch_related, fetch_transaction
from govpay.sync.transactions import RowsChangedMeanwhile, in_transaction
from govpay.sync.upsert import Known, Saved, read_known, save_documents

logger = logging.getLogger("govpay.webhooks")

#: Maximum number of reads of one event when another writer keeps changing the rows concurrently.
OVERTAKEN = 5

#: Maximum number of other events that one read closes.
MAX_CLOSED_TOGETHER = 100

#: The uids that the previous attempt received.
SeenUids = frozenset[str]


class Overtaken(GovPayError):
    """Another writer changed the rows during every attempt to store them. The event is retried later."""


class Unusable(GovPayError):
    """The payload does not name the object of its event."""


@dataclass
class Found:
    """The documents that were read for one event, before they are stored."""

    readings: list[Reading] = field(default_factory=list)  # in the order in which they are stored
    payment_uid: str | None = None
    #: Further work for the same transaction.
    also: list[Callable[[], None]] = field(default_factory=list)
    #: Lists of the account to sync, because the object was not named or not found.
    lists: tuple[str, ...] = ()


@dataclass
class Reading:
    """Documents of one kind, and the local state of their rows before the request."""

    mapper: Mapper
    documents: Sequence[Mapping[str, Any]]
    extra: dict[str, Any]
    known: Known
    #: The uid that the event names. Other documents may fail and are then only logged. If empty, none may fail.
    wanted: str = ""
    #: Whether the documents are rows of a list, which may be out of date.
    may_lag: bool = False


@dataclass(frozen=True)
class EventOutcome:
    """The final state of an event, and the follow-up work."""

    state: str
    error: str = ""
    #: Lists of the account to sync soon.
    lists: tuple[str, ...] = ()
    #: Whether a refund was written. Our operations may then need an update.
    refunds: bool = False
    #: Whether the event must be processed again with ``patient``, where it holds up no other account.
    slow: bool = False


@scrub_traceback
def work_on(event: WebhookEvent, *, patient: bool = False) -> EventOutcome:
    """Read the object that a claimed ``event`` names, store it and close the event.

    A ``GovPayError`` is recorded in the event and not raised; the event is then retried or marked as failed. If the
    account is silent, nothing is read and the event is put off. If it is slow, only a ``patient`` caller reads.
    """
    read = HANDLERS.get(event.event_type)
    if read is None:
        in_transaction(partial(inbox.close, event, EventState.IGNORED, note="An event type that is not known here."))
        contract.note_event_type(event.event_type, Source.WEBHOOK)
        return EventOutcome(EventState.IGNORED)
    state = unreachable.state_of(str(event.account_id))
    if state == unreachable.SILENT:
        inbox.put_off(event, unreachable.WAITING, unreachable.REMEMBERED_FOR)
        return EventOutcome(EventState.RECEIVED)
    try:
        if state == unreachable.SLOW and not patient:
            raise unreachable.TooSlow
        return _carried_out(event, read, patient)
    except unreachable.TooSlow:
        inbox.hand_over(event)
        return EventOutcome(EventState.RECEIVED, slow=True)
    except (Unusable, Unmappable) as error:
        inbox.fail(event, str(error), for_good=True)
        return EventOutcome(EventState.FAILED, str(error))
    except GovPayError as error:
        inbox.fail(event, error.record)
        return EventOutcome(EventState.RECEIVED, error.record)


def _carried_out(event: WebhookEvent, read: Callable[[WebhookEvent, SeenUids], Found], patient: bool) -> EventOutcome:
    seen: SeenUids = frozenset()
    for _ in range(OVERTAKEN):
        same = _same_object(event, read)  # before the read, so that it is newer than each of them
        with unreachable.event_read(str(event.account_id), patient=patient):
            found = read(event, seen)
        found.also.append(partial(_close_all, same, found))
        try:
            saved = in_transaction(partial(_store, event, found))
        except Overtaken:
            # The documents may be older than the rows now, and may name rows that were not looked up.
            seen = frozenset(uid for each in found.readings for uid in map(uid_of, each.documents) if uid)
            continue
        refunds = any(row.get("type") == TransactionType.REFUND for each in saved for row in each.written.values())
        return EventOutcome(EventState.PROCESSED, lists=found.lists, refunds=refunds)
    raise Overtaken("Another writer changed the rows during each attempt.")


def _store(event: WebhookEvent, found: Found) -> list[Saved]:
    saved = []
    for reading in found.readings:
        options: dict[str, Any] = {"extra": reading.extra, "known": dict(reading.known), "may_lag": reading.may_lag}
        try:
            each = save_documents(reading.mapper, reading.documents, source=Source.WEBHOOK, **options)
        except RowsChangedMeanwhile:
            raise Overtaken from None
        for uid, why in each.rejected:
            if not reading.wanted or uid in ("", reading.wanted):
                raise Unmappable(why)
            logger.warning("%s, read for event %s, cannot be stored: %s", uid, event.webhook_id, why)
        saved.append(each)
    for work in found.also:
        work()
    inbox.close(event, EventState.PROCESSED, payment_uid=found.payment_uid)
    return saved


def _same_object(event: WebhookEvent, read: Callable[[WebhookEvent, SeenUids], Found]) -> list[WebhookEvent]:
    """Return the other waiting events that the same read of a payment or transaction also covers."""
    uid = _hint(event, "payment_uid")
    if not uid or read not in (_payment, _movement):
        return []
    waiting = inbox.claimable().filter(account=event.account_id, payload__data__payment_uid=uid).exclude(pk=event.pk)
    return [
        each
        for each in waiting.order_by("pk")[:MAX_CLOSED_TOGETHER]
        if (handler := HANDLERS.get(each.event_type)) is _payment
        or (handler is read and _hint(each, "transaction_uid") == _hint(event, "transaction_uid"))
    ]


def _close_all(events: Sequence[WebhookEvent], found: Found) -> None:
    for each in events:
        inbox.close(each, EventState.PROCESSED, payment_uid=found.payment_uid)


# -- one function per kind of event: reads its documents -----------------------------------------------------


def _payment(event: WebhookEvent, seen: SeenUids) -> Found:
    """Read only the payment: its status shows a capture or a failure."""
    found = Found()
    _read_payment(event, _uid(event, "payment_uid", "uid"), found)
    return found


def _movement(event: WebhookEvent, seen: SeenUids) -> Found:
    """Read the payment and its transaction: a refund, a dispute, a return or a reversal."""
    found = Found()
    payment_uid, transaction_uid = _hint(event, "payment_uid", "uid"), _hint(event, "transaction_uid")
    if not payment_uid and not transaction_uid:
        raise Unusable("The payload has no payment_uid.")
    account = str(event.account_id)
    known = _known(Transaction, account, Q(uid=transaction_uid) | Q(payment=payment_uid) | Q(uid__in=seen))
    # Read the transaction first, so that the amounts of the payment are at least as new.
    documents = fetch_transaction(account, transaction_uid) if transaction_uid else []
    if not payment_uid:
        if not documents:
            raise NotFound("The transaction does not exist, and the payload has no payment_uid.")
        payment_uid = str(documents[0].get("payment_uid") or "") or _uid(event, "payment_uid")
    listed = not documents
    if listed:
        documents = fetch_related("list_transactions", account, "payment_uid", payment_uid)
    if documents:
        extra = {"account_id": account}
        found.readings.append(Reading(mapping.TRANSACTION, documents, extra, known, transaction_uid, may_lag=listed))
    else:
        found.lists = ("transactions",)
    _read_payment(event, payment_uid, found)
    return found


def _elsewhere(event: WebhookEvent, seen: SeenUids) -> Found:
    """Read a payment made by telephone or through a bank. If the payload names none, two lists are synced."""
    uid = _hint(event, "payment_uid", "uid")
    if not uid:
        return Found(lists=("payments", "transactions"))
    return _payment(event, seen)


def _method(event: WebhookEvent, seen: SeenUids) -> Found:
    """Read all saved methods of the customer, because the API cannot read a single one."""
    account = str(event.account_id)
    uid, customer = _hint(event, "saved_payment_method_uid", "uid", "id"), _hint(event, "customer_uid")
    if uid:
        row = SavedPaymentMethod.objects.filter(uid=uid, account=account).values_list("customer_id", flat=True).first()
        customer = str(row or customer)
    if not customer:
        if not uid:
            raise Unusable("The payload has no saved_payment_method_uid.")
        return Found(lists=("customers", "methods"))  # the customer is not known here
    known = _known(SavedPaymentMethod, account, Q(customer=customer) | Q(uid__in=seen))
    page = get_endpoints().list_saved_payment_methods(account, customer)
    extra = {"account_id": account, "customer_id": customer}
    reading = Reading(mapping.SAVED_METHOD, list(page.items), extra, known, uid or "any")
    # A method that the list lacks is gone. The sync of this customer marks it as deleted.
    if not uid or any(uid_of(item) == uid for item in page.items):
        return Found([reading])
    return Found([reading], also=[partial(_read_methods_again, account, customer)])


def _session(event: WebhookEvent, seen: SeenUids) -> Found:
    """Read the session if its credential is stored here (assumption A29). Read its payment if it was completed."""
    account, uid = str(event.account_id), _uid(event, "session_id")
    completed = event.event_type == EventType.SESSION_COMPLETED
    found = Found()
    row = HostedSession.objects.filter(uid=uid, account=account).first()
    if row is not None:
        told = SessionStatus.COMPLETED if completed else SessionStatus.EXPIRED
        document = sessions.read_or_believe(row, told)
        found.also.append(partial(_save_session, uid, account, document))
    if completed:
        known = _known(Payment, account, Q(session=uid) | Q(uid__in=seen))
        documents = fetch_related("list_payments", account, "session_id", uid)
        if documents:
            found.readings.append(Reading(mapping.PAYMENT, documents, {"account_id": account}, known, may_lag=True))
            found.payment_uid = uid_of(documents[0]) or ""
        else:
            found.lists = ("payments", "transactions")
    return found


HANDLERS: dict[str, Callable[[WebhookEvent, SeenUids], Found]] = {
    EventType.PAYMENT_COMPLETED: _payment,
    EventType.PAYMENT_FAILED: _payment,
    EventType.PAYMENT_REFUNDED: _movement,
    EventType.CHARGEBACK: _movement,
    EventType.NSF: _movement,
    EventType.REVERSAL: _movement,
    EventType.NOC: _method,
    EventType.SESSION_COMPLETED: _session,
    EventType.SESSION_EXPIRED: _session,
    EventType.BANK_BILL_PAY: _elsewhere,
    EventType.IVR_COMPLETED: _elsewhere,
}


# -- reading -------------------------------------------------------------------------------------------------


def _read_payment(event: WebhookEvent, uid: str, found: Found) -> None:
    account = str(event.account_id)
    known = _known(Payment, account, Q(uid=uid))
    document = dict(get_endpoints().get_payment(account, uid).raw)
    # The payment is stored first, so that flags of its transactions find the row.
    found.readings.insert(0, Reading(mapping.PAYMENT, [document], {"account_id": account}, known))
    found.payment_uid = uid


def _known(model: type[Mirror], account_uid: str, where: Q) -> Known:
    """Return the local state of the rows before the request. If a row changes after that, the event is read again.

    Rows of other accounts are left out, so an event cannot take over a row of another account.
    """
    return read_known(model._default_manager.filter(where, account=account_uid).order_by())


def _hint(event: WebhookEvent, *names: str) -> str:
    data = event.payload.get("data") if isinstance(event.payload, dict) else None
    for name in names:
        value = data.get(name) if isinstance(data, dict) else None
        if isinstance(value, str) and value:
            return value
    return ""


def _uid(event: WebhookEvent, *names: str) -> str:
    found = _hint(event, *names)
    if not found:
        raise Unusable(f"The payload has no {names[0]}.")
    return found


def _save_session(uid: str, account: str, document: Mapping[str, Any] | None) -> None:
    sessions.save_session(uid, document, extra={"account_id": account}, source=Source.WEBHOOK)


def _read_methods_again(account: str, customer: str) -> None:
    Customer.objects.filter(uid=customer, account=account).update(methods_stale=True)


__all__ = ["HANDLERS", "EventOutcome", "Overtaken", "work_on"]
