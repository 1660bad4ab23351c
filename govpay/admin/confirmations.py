"""Confirmation and result pages of an action on payments: GET shows the effect, POST executes it once."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Sequence
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from govpay import operations
from govpay.admin import confirmation_tables
from govpay.admin.actions import ConfirmationRow, StaffAction, assess
from govpay.admin.changelist import joined
from govpay.admin.confirmation_tokens import ShownPayment
from govpay.admin.confirmation_views import ConfirmationView
from govpay.admin.formatting import clip, list_of, moment, page_of
from govpay.admin.messages import StaffOutcome, outcome_of_error
from govpay.admin.rendering import render
from govpay.decorators import own_view, retry_read
from govpay.exceptions import GovPayError
from govpay.models import Operation, Payment
from govpay.models.money import format_money
from govpay.models.people import name_of
from govpay.review.items import action_in_words
from govpay.security.headers import secure_view

logger = logging.getLogger("govpay.admin")

#: Maximum number of rows on a confirmation page.
MAX_ROWS = 100
#: Seconds after which no further row is begun, because web servers stop slow requests. The rest is offered again.
SUBMIT_TIMEOUT = 20.0


def own_url(admin: Any, route: str, name: str, view: Callable[..., Any]) -> URLPattern:
    """Return a URL pattern of the admin whose view runs outside any transaction, also with ``ATOMIC_REQUESTS``.

    Operations commit their journal row before they call the platform. An open transaction could roll it back. A GET
    only reads, also on the platform, so it is repeated when the database has ended the connection.
    """
    return path(route, own_view(retry_read(secure_view(admin.admin_site.admin_view(view)))), name=name)


def chosen_ids(request: HttpRequest) -> list[int]:
    """Return the keys in ``?ids=3,5``, without repeats. The list is empty if any part is not a primary key."""
    given = request.GET.getlist("ids") or request.POST.getlist("ids")
    parts = [part.strip() for part in ",".join(given).split(",")]
    if not all(re.fullmatch(r"[0-9]{1,18}", part) for part in parts):
        return []
    return list(dict.fromkeys(int(part) for part in parts))


def earlier_attempt(row: ConfirmationRow) -> list[tuple[Any, Any]]:
    """Return a note about the operation that was not executed and that staff are about to try again."""
    earlier = row.earlier
    if earlier is None:
        return []
    text = _(
        "%(what)s, started %(when)s by %(who)s, was not carried out, as far as is known. If you confirm, it is sent "
        "again with the same reference. If the earlier attempt arrives late, the platform refuses one of the two."
    )
    parts = {
        "what": action_in_words(earlier),
        "when": moment(earlier.attempted_at or earlier.created_at),
        "who": clip(name_of(earlier, earlier.asked_by)) or _("a program"),
    }
    return [(_("Earlier attempt"), text % parts)]


def earlier_attempts(rows: Sequence[ConfirmationRow]) -> list[tuple[Any, Any]]:
    """Return a note with the number of payments for which an earlier operation is tried again."""
    count = sum(row.earlier is not None for row in rows)
    text = ngettext(
        "For %(count)d of these payments, an earlier operation that was not carried out is sent again with the same "
        "reference.",
        "For %(count)d of these payments, earlier operations that were not carried out are sent again with the same "
        "references.",
        count,
    )
    return [(_("Earlier attempts"), text % {"count": count})] if count else []


class PaymentConfirmationView(ConfirmationView):
    """Confirm and execute an action on one or many payments.

    Use it as ``as_view(admin=model_admin, action=staff_action)``.
    """

    action: StaffAction = None  # type: ignore[assignment]  # as_view needs a value here
    ids: list[int]
    payments: dict[int, Payment]

    def setup(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().setup(request, *args, **kwargs)
        self.ids, self.payments = [], {}
        self.signed_action = self.action.name
        self.consequence = self.action.consequence

    def is_allowed(self) -> bool:
        return self.action.is_allowed(self.request.user)

    def load(self) -> HttpResponse | None:
        self.ids = chosen_ids(self.request)
        most = 1 if self.action.one_only else MAX_ROWS
        if len(self.ids) > most:
            return self.turn_back(_("Choose at most %(most)d payments at once.") % {"most": most})
        visible = Payment.objects.visible_to(self.request.user).filter(pk__in=self.ids)
        annotated = visible.with_pending_refunds().with_fee_preview()
        rows = joined(annotated, ("account", "customer", "saved_method", "flag_movement"))
        found = {row.pk: row for row in rows}
        self.payments = {pk: found[pk] for pk in self.ids if pk in found}
        return None if found else self.turn_back(_("Choose the payments in the list first."))

    def turn_back(self, text: str) -> HttpResponse:
        messages.error(self.request, text)
        return HttpResponseRedirect(self.back())

    def back(self) -> str:
        """Return the URL of the page of a single payment that the user may see, otherwise of the list."""
        if self.single and self.payments and self.admin.has_view_permission(self.request):
            return page_of(next(iter(self.payments.values())))
        return list_of(Payment)

    @property
    def single(self) -> bool:
        return len(self.ids) == 1

    def token_ids(self) -> list[int]:
        return self.ids

    # GET

    def context(self) -> dict[str, Any]:
        """Return the context with the current state of the rows. Also sets ``shown`` to their snapshots."""
        rows = assess(self.action, list(self.payments.values()))
        for row in rows:
            if not self.single:
                row.reason = row.reason or self.action.why_not_in_bulk(row)
                continue
            if self.request.GET.get("operation"):
                self.choose(row)
            if self.action.asks_amount and row.amount and row.earlier is not None and row.earlier.amount:
                row.amount = min(row.amount, row.earlier.amount)
        doable = [row for row in rows if not row.reason]
        self.shown = {row.payment.pk: ShownPayment.of(row.payment, row.earlier) for row in doable}
        if not doable:
            self.form = None
        title = self.action.title_one if self.single else self.action.title_many
        if self.single and doable and doable[0].earlier is not None:
            title = _("Try again: %(what)s?") % {"what": action_in_words(doable[0].earlier)}
        return {
            "title": title,
            "tables": confirmation_tables.before(self.action, rows),
            "doable": bool(doable),
            "missing": len(self.ids) - len(rows),
            "button": confirmation_tables.button(self.action, doable, self.single),
            "notes": self.notes(doable),
            "warning": confirmation_tables.warning(doable),
        }

    def choose(self, row: ConfirmationRow) -> None:
        """Choose the operation in ``?operation=`` to be tried again, or set the reason why it cannot be."""
        given = self.request.GET["operation"]
        named = None
        if re.fullmatch(r"[0-9]{1,18}", given):
            rows = Operation.objects.visible_to(self.request.user).select_related("actor", "retried_by")
            mine = rows.filter(pk=given, payment=row.payment.uid, action=self.action.action)
            named = mine.defer("validated_method").first()
        why = _("There is no such operation here.") if named is None else operations.why_not_retry(named)
        row.earlier, row.reason = named, row.reason or why

    def notes(self, rows: Sequence[ConfirmationRow]) -> list[tuple[Any, Any]]:
        if not self.single:
            return earlier_attempts(rows)
        return [each for row in rows for each in (*self.action.notes(row.payment), *earlier_attempt(row))]

    def make_form(self, data: Any) -> forms.Form | None:
        """Return the form. Submitted data is checked against the snapshots in the token, not the current rows."""
        shown = self.shown if data is None else self.token.shown
        if not shown:
            return None
        if not self.single:
            return self.action.form(None, None, data)
        return self.action.form(next(iter(self.payments.values())), next(iter(shown.values())), data)

    # POST

    def run(self) -> HttpResponse:
        rows = self.execute_each(self.form.cleaned_data)
        if self.single and self.admin.has_view_permission(self.request):
            return self.tell(rows[0])
        return self.report(rows)

    def execute_each(self, data: dict[str, Any]) -> list[ConfirmationRow]:
        """Execute the action row by row. A failure stops the others only if they would all fail in the same way."""
        end = time.monotonic() + SUBMIT_TIMEOUT
        rows: list[ConfirmationRow] = []
        halted = False
        for pk, shown in self.token.shown.items():
            payment = self.payments.get(pk)
            if payment is None:
                continue
            row = ConfirmationRow(payment, amount=data.get("amount", self.action.amount_shown(shown)))
            if halted or time.monotonic() > end:
                row.outcome = StaffOutcome("left", _("Not begun"), _("Nothing was sent for this one."))
            else:
                row.outcome = self.do(payment, shown, data)
                halted = row.outcome.halts
            rows.append(row)
        return rows

    def do(self, payment: Payment, shown: ShownPayment, data: dict[str, Any]) -> StaffOutcome:
        key = self.token.key_for(payment)
        try:
            return self.action.perform(payment, shown, data, actor=self.request.user, key=key)
        except GovPayError as error:
            return outcome_of_error(error)
        except Exception:
            # The rows before this one are done, and staff must see that. After an error page they might start
            # all rows again. The traceback is in the log.
            logger.exception("%s of payment %s", self.action.name, payment.uid)
            text = _("This site failed; look at the payment's operations before you do anything else.")
            return StaffOutcome("unknown", _("Outcome not known"), text)

    def tell(self, row: ConfirmationRow) -> HttpResponse:
        """Redirect to the page of the single payment, with a message about the outcome."""
        assert row.outcome is not None  # noqa: S101
        parts = {
            "title": row.outcome.title,
            "amount": format_money(row.amount, row.payment.currency),
            "payment": row.payment,
        }
        text = _("%(title)s: %(amount)s, payment %(payment)s.") % parts
        said = row.outcome.after(f"{text} {row.outcome.text}".strip())
        messages.add_message(self.request, row.outcome.level, said)
        return HttpResponseRedirect(page_of(row.payment))

    def report(self, rows: list[ConfirmationRow]) -> HttpResponse:
        """Show one line for each payment. A reload sends the same form, so it does not execute the action again."""
        left = [str(row.payment.pk) for row in rows if row.outcome and row.outcome.kind in ("left", "not sent")]
        again = f"{self.request.path}?ids={','.join(left)}" if left else ""
        context = {
            "title": _("Result"),
            "tables": confirmation_tables.after(rows),
            "left": len(left),
            "again": again,
            "back": self.back(),
        }
        return render(self.admin, self.request, "govpay/admin/result.html", context)
