"""Flags on payments: texts about a dispute, a return or a reversal, and the button *Mark as dealt with*."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.contrib import messages
from django.db import router, transaction
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from govpay.admin.confirmation_views import PostView
from govpay.admin.formatting import TONES, Button, clip, label_of, moment, payment_badge
from govpay.admin.messages import Alert
from govpay.finance.notes import note_if_given
from govpay.models import Payment
from govpay.models.choices import PaymentFlag
from govpay.models.people import kept
from govpay.models.permissions import ADD_NOTE, REFUND_PAYMENT
from govpay.review import flagged

#: For each flag, a title that says what happened, and a text about the money.
WORDS: dict[str, tuple[Any, Any]] = {
    PaymentFlag.CHARGEBACK: (
        gettext_lazy("Disputed by the cardholder on %(when)s"),
        gettext_lazy(
            "The cardholder's bank takes the money back while the dispute is open. Do not refund this payment "
            "meanwhile: the payer could get the money twice."
        ),
    ),
    PaymentFlag.RETURN: (
        gettext_lazy("Returned by the bank on %(when)s"),
        gettext_lazy(
            "The payer's bank did not honour the debit, so the money is not here and the amount is owed again."
        ),
    ),
    PaymentFlag.REVERSAL: (
        gettext_lazy("The dispute was reversed on %(when)s"),
        gettext_lazy(
            "An earlier dispute was decided the other way. The transactions below show what was given back to you."
        ),
    ),
}

#: For each flag, the warning before an action that gives money back. It does not forbid the action.
AT_STAKE: dict[str, Any] = {
    PaymentFlag.CHARGEBACK: gettext_lazy(
        "Disputed (%(when)s): the bank takes the money back by itself. With a refund the payer gets it twice."
    ),
    PaymentFlag.RETURN: gettext_lazy(
        "Returned by the bank (%(when)s): the money did not stay here. A refund gives the payer money that was "
        "never paid."
    ),
}

#: For each flag, one word for a badge.
SHORT: dict[str, Any] = {
    PaymentFlag.CHARGEBACK: gettext_lazy("Disputed"),
    PaymentFlag.RETURN: gettext_lazy("Returned"),
    PaymentFlag.REVERSAL: gettext_lazy("Reversed"),
}


def may_clear(user: Any) -> bool:
    """Return whether the user may clear a flag. Users who may refund payments also handle disputes and returns."""
    return bool(user.has_perm(REFUND_PAYMENT))


def badges(payment: Payment) -> str | None:
    """Return badges for the payment's status and its flag. They are short, because a list column is narrow."""
    return _with_flag(payment, payment.flag)


def badges_at_stake(payment: Payment) -> str | None:
    """Return the badges of ``badges``. The flag is shown even if the dispute or return was marked as dealt with."""
    return _with_flag(payment, payment.taken_back or payment.flag)


def _with_flag(payment: Payment, raised: str) -> str | None:
    status = payment_badge(payment)
    if not raised:
        return status
    flag = format_html(
        '<span class="govpay-badge govpay-{}">⚑ {}</span>',
        TONES.get(raised, "alarm"),
        SHORT.get(raised) or clip(raised),
    )
    return format_html("{} {}", status, flag) if status else flag


def at_stake(payment: Payment) -> str:
    """Return the warning not to give money back to the payer, or an empty string. Needs ``flag_movement`` joined."""
    text = AT_STAKE.get(payment.taken_back)
    return str(text) % {"when": _when(payment)} if text else ""


def _when(payment: Payment) -> str:
    """Return the time of the newest movement on the platform, or the time when the flag was raised here."""
    movement = payment.newest_movement
    at = movement.remote_created_at if movement else None
    return moment(at or payment.flagged_at) or _("an unknown day")


def flag_alert(payment: Payment, user: Any) -> Alert | None:
    """Return the alert for a flagged payment's page, with the button for users who may clear the flag, or ``None``.

    Read ``payment`` with ``flag_movement`` joined and with the annotations of ``with_refunds_before``.
    """
    if not payment.flag:
        return None
    title, meaning = WORDS.get(payment.flag, (_("Flagged on %(when)s"), label_of(payment.flag, PaymentFlag)))
    title = title % {"when": _when(payment)}
    lines = (meaning, *flagged.known(payment), *flagged.advice(payment))
    if not may_clear(user):
        return Alert(title, (*lines, _("Users who may refund payments can mark this as dealt with.")))
    # The button sends the flag that was shown, so that a newer flag is not cleared unseen.
    shown = (("flag", payment.flag), ("flagged_at", _written(payment.flagged_at)))
    address = reverse("admin:govpay_payment_clear_flag", args=[payment.pk])
    return Alert(
        title, lines, button=Button(_("Mark as dealt with"), address, shown, takes_note=user.has_perm(ADD_NOTE))
    )


class ClearFlagView(PostView):
    """Clear the flag that was shown, and record in the row's history who did it."""

    permission = REFUND_PAYMENT
    back = PostView.page_or_index

    def execute(self) -> tuple[int, str]:
        payment, flag, given = self.row, self.request.POST.get("flag", ""), self.request.POST.get("flagged_at", "")
        at = read_moment(given)
        if not flag or "\x00" in flag or (given and at is None):
            return messages.ERROR, _("This form does not come from here, so nothing was changed.")
        with transaction.atomic(using=router.db_for_write(Payment)):
            if Payment.objects.filter(pk=payment.pk, flag=flag, flagged_at=at).update(
                flag="", flag_cleared_at=timezone.now(), **kept("flag_cleared_by", self.request.user)
            ):
                words = {"flag": label_of(flag, PaymentFlag), "when": moment(at) or "—"}
                text = _("Marked as dealt with: %(flag)s, %(when)s.") % words
                self.admin.log_change(self.request, payment, text)
                note_if_given(given_note(self.request), row=payment, actor=self.request.user)
                return messages.SUCCESS, text
        if not payment.flag:
            return messages.INFO, _("Somebody else has marked it as dealt with already.")
        text = _("Something newer has happened to this payment since the page was shown. Look again.")
        return messages.WARNING, text


def given_note(request: HttpRequest) -> str:
    """Return the text of the note in the form, or an empty string if this user may not write notes."""
    return request.POST.get("note", "") if request.user.has_perm(ADD_NOTE) else ""


def _written(at: dt.datetime | None) -> str:
    return at.isoformat() if at else ""


def read_moment(text: str) -> dt.datetime | None:
    """Parse the time that a button sends. Return ``None`` if the text is empty or invalid."""
    try:
        return parse_datetime(text)
    except ValueError:
        return None
