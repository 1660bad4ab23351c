"""Turn operations and their errors into messages for staff."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from django.contrib import messages
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from govpay.admin.formatting import Button, clip, moment, page_of
from govpay.exceptions import (
    APIConnectionError,
    APIError,
    AuthenticationError,
    ConfigurationError,
    GovPayError,
    OperationInProgress,
    OperationRefused,
    OperationsHeld,
    OutcomeUnknown,
    PaymentDeclined,
    RateLimited,
)
from govpay.models import Operation
from govpay.models.choices import OperationState
from govpay.models.people import name_of
from govpay.models.reasons import DECLINE, find_reason
from govpay.review.items import action_in_words

#: Shown with each open outcome, because staff fear that the money moves twice.
NOTHING_AGAIN = gettext_lazy("It is being looked up on the platform; nothing is sent again automatically.")


@dataclass(frozen=True)
class StaffOutcome:
    """The outcome of one action on one payment, as staff see it."""

    kind: str
    title: Any
    text: Any = ""
    #: What the platform's support asks for, such as the request id. It is shown on a line of its own.
    detail: str = ""
    #: Whether the next action of the same form would fail in the same way, so that it is not tried.
    halts: bool = False

    def __str__(self) -> str:
        return f"{self.title}. {self.text}".strip()

    def after(self, text: str) -> str:
        """Return ``text`` for Django's messages, with the detail on a second line."""
        return format_html("{}<br>{}", text, self.detail) if self.detail else text

    @property
    def level(self) -> int:
        """Return the level for Django's messages framework."""
        return LEVELS[self.kind][0]

    @property
    def tone(self) -> str:
        """Return the colour of the badge."""
        return LEVELS[self.kind][1]


LEVELS: dict[str, tuple[int, str]] = {
    "done": (messages.SUCCESS, "good"),
    "pending": (messages.SUCCESS, "wait"),
    "declined": (messages.ERROR, "bad"),
    "refused": (messages.ERROR, "bad"),
    "unknown": (messages.WARNING, "alarm"),
    "running": (messages.WARNING, "wait"),
    "not sent": (messages.ERROR, "note"),
    "left": (messages.WARNING, "note"),
}


def outcome_of_error(error: GovPayError) -> StaffOutcome:
    """Return an outcome with the error's own text, and with a title that explains the effect on the money."""
    return replace(_titled(error), detail=_detail(getattr(error, "request_id", ""), getattr(error, "code", "")))


def _detail(request_id: str, code: str = "") -> str:
    """Return one line with the platform's request id, and with its code if that is not explained in words here."""
    parts = []
    if code and find_reason(DECLINE, code) is None:
        parts.append(_("Platform's code: %(code)s") % {"code": code})
    if request_id:
        parts.append(_("Platform's request ID: %(id)s") % {"id": request_id})
    return " · ".join(parts)


def _titled(error: GovPayError) -> StaffOutcome:
    text = str(error)
    match error:
        case OutcomeUnknown():
            return StaffOutcome("unknown", _("Outcome not known"), f"{text} {NOTHING_AGAIN}".strip())
        case OperationInProgress():
            return StaffOutcome("running", _("Under way"), text)
        case OperationsHeld():
            return StaffOutcome("not sent", _("Held, nothing was sent"), text, halts=True)
        case OperationRefused():
            return StaffOutcome("refused", _("Refused, nothing was sent"), text)
        case PaymentDeclined():
            return StaffOutcome("declined", _("Declined"), " ".join(filter(None, (text, *_declined(error, text)))))
        case APIConnectionError():
            return StaffOutcome("not sent", _("Not sent, the platform could not be reached"), text, halts=True)
        case AuthenticationError():
            return StaffOutcome("refused", _("The platform does not accept this site's credentials"), text, halts=True)
        case RateLimited():
            return StaffOutcome("refused", _("The platform asks to wait"), text, halts=True)
        case ConfigurationError():
            return StaffOutcome("not sent", _("Not sent, a setting is wrong"), text, halts=True)
        case APIError():
            return StaffOutcome("refused", _("Refused by the platform"), text)
    return StaffOutcome("refused", _("Not done"), text)


def _declined(error: PaymentDeclined, text: str) -> tuple[str, ...]:
    """Return what the decline code means, unless ``text`` says it, and what to do."""
    reason = find_reason(DECLINE, error.code or "")
    if reason is None:
        return ()
    means = str(reason.means)
    return ("" if means in text else means, str(reason.do))


@dataclass(frozen=True)
class Alert:
    """A box at the top of a page."""

    title: str
    lines: tuple[str, ...]
    link: str = ""
    button: Button | None = None


def open_operation_alert(operation: Operation) -> Alert:
    """Return an alert with the known facts about an open operation. Read the row with ``select_related("actor")``."""
    who = clip(name_of(operation, "actor")) or _("nobody signed in")
    started = _("Started %(when)s by %(who)s.") % {"when": moment(operation.created_at), "who": who}
    link = page_of(operation)
    if operation.state == OperationState.STARTED and not operation.is_overdue:
        return Alert(
            _("%(action)s is under way") % {"action": action_in_words(operation)},
            (started, _("Load this page again in a moment. Until then no other action can start.")),
            link,
        )
    known = operation.error or _("No answer was recorded: the process that asked was probably stopped.")
    looked = (
        _("Last looked up: %(when)s") % {"when": moment(operation.checked_at)}
        if operation.checked_at
        else _("It has not been looked up yet.")
    )
    closed = _("Capture, refund and void stay closed for this payment until the outcome is known.")
    return Alert(
        _("%(action)s: the outcome is not known yet") % {"action": action_in_words(operation)},
        tuple(
            filter(
                None,
                (f"{started} {known}", f"{NOTHING_AGAIN} {closed}", looked, _detail(operation.remote_request_id)),
            )
        ),
        link,
    )


def open_operation_reason(operation: Operation) -> str:
    """Return one line that says why another action has to wait for this operation."""
    if operation.state == OperationState.STARTED and not operation.is_overdue:
        return _("%(action)s is under way.") % {"action": action_in_words(operation)}
    return _("Waits for the outcome of an earlier action: %(action)s.") % {"action": action_in_words(operation)}
