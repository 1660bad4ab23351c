"""The review queue: its page, *Resolve by hand*, and *Mark as dealt with*."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.options import ModelAdmin
from django.core.exceptions import PermissionDenied
from django.db import router, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from govpay import operations
from govpay.admin.confirmation_views import ConfirmationView, PostView
from govpay.admin.flags import SHORT, given_note, read_moment
from govpay.admin.formatting import TONES, Button, Table, clip, label_of, link_to, list_of, moment, relative
from govpay.admin.messages import Alert
from govpay.admin.rendering import render
from govpay.exceptions import GovPayError
from govpay.finance.notes import note_if_given
from govpay.models import Operation, Payment
from govpay.models.choices import OperationAttention, OperationState
from govpay.models.people import kept, name_of
from govpay.models.permissions import ADD_NOTE, RESOLVE_OPERATION
from govpay.review import Group, Item, count_items, find_items
from govpay.review.items import ITEMS_PER_KIND_LIMIT, ended_item, unknown_item

#: Labels of the kinds of review items, in one or two words.
KINDS: dict[str, Any] = {
    "unknown": gettext_lazy("Outcome unknown"),
    OperationAttention.LATE_FAILURE: gettext_lazy("Refund failed"),
    **{each: each.label for each in OperationAttention if each != OperationAttention.LATE_FAILURE},
    **SHORT,
}

#: Titles of the alert on the operation's page.
TITLES: dict[str, Any] = {
    OperationAttention.LATE_FAILURE: gettext_lazy("It was accepted, and failed on %(when)s"),
    OperationAttention.NOT_EXECUTED: gettext_lazy("It was not carried out, as the platform showed on %(when)s"),
    OperationAttention.CONTRADICTED: gettext_lazy("It turned out otherwise on %(when)s"),
    OperationAttention.MISMATCH: gettext_lazy("The platform's record does not match what was sent (%(when)s)"),
    OperationAttention.DIVERGED: gettext_lazy("The platform no longer shows it, as seen on %(when)s"),
    OperationAttention.UNRECORDED: gettext_lazy("Found on the platform on %(when)s, after a restore"),
}


def may_resolve(user: Any) -> bool:
    return bool(user.has_perm(RESOLVE_OPERATION))


def may_see(request: HttpRequest) -> bool:
    return bool(request.user.has_perm("govpay.view_operation") and request.user.has_perm("govpay.view_payment"))


def review_tools(request: HttpRequest) -> list[tuple[Any, str]]:
    """Return the link to the review queue. Above a filtered list it shows no count, which saves a query."""
    if not may_see(request):
        return []
    count = 0 if request.GET else count_items(*_visible(request))
    number = f"{ITEMS_PER_KIND_LIMIT}+" if count >= ITEMS_PER_KIND_LIMIT else str(count)
    label = _("Review queue (%(count)s)") % {"count": number} if count else _("Review queue")
    return [(label, reverse("admin:govpay_review"))]


def list_view(admin: ModelAdmin[Any], request: HttpRequest) -> HttpResponse:
    """Show everything that staff must look at, the oldest first. Only GET and HEAD are allowed."""
    if not may_see(request):
        raise PermissionDenied
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD"])
    items = find_items(*_visible(request))
    context = {
        "title": _("Review queue"),
        "alerts": held_alerts(),
        "cards": [_group_card(item) if isinstance(item, Group) else _card(item, request.user) for item in items],
        "nothing": "" if items else _nothing(request),
        "back": list_of(Operation),
    }
    return render(admin, request, "govpay/admin/review.html", context)


def _nothing(request: HttpRequest) -> str:
    """Return the text for an empty queue. It says "every outcome is known" only if no operation is being looked up."""
    count = _visible(request)[0].being_looked_up().count()
    if not count:
        return _("The review queue is empty: every outcome is known, and no dispute or return is open.")
    return ngettext(
        "The review queue is empty so far, and no dispute or return is open. The outcome of %(count)d operation is "
        "still being looked up; it is listed here if that takes more than some minutes.",
        "The review queue is empty so far, and no dispute or return is open. The outcomes of %(count)d operations are "
        "still being looked up; they are listed here if that takes more than some minutes.",
        count,
    ) % {"count": count}


def _visible(request: HttpRequest) -> tuple[Any, Any]:
    return Operation.objects.visible_to(request.user), Payment.objects.visible_to(request.user)


def held_alerts() -> list[Alert]:
    """Return an alert if operations are held after a restore. It says why captures, refunds and voids are refused."""
    since = operations.held_since()
    if since is None:
        return []
    lines = (
        _("This site was restored from a backup. What was done after that backup is being read from the platform."),
        _("Nothing can be captured, refunded, voided or charged meanwhile: it could be done twice. Please wait."),
    )
    return [Alert(_("Operations have been held since %(when)s") % {"when": moment(since)}, lines)]


def _card(item: Item, user: Any) -> dict[str, Any]:
    """Return a review item as the page shows it: facts with links, and the *Resolve by hand* address if it applies."""
    tone = "alarm" if item.kind == "unknown" else TONES.get(item.kind, "alarm")
    facts = (
        (_("Payment"), link_to(item.row) if isinstance(item.row, Payment) else relative(item.row, "payment")),
        (_("Payment account"), relative(item.row, "account")),
        (_("Since"), moment(item.since)),
        (_("By"), clip(name_of(item.row, "actor")) if isinstance(item.row, Operation) else None),
        (_("What is known"), item.known),
        (_("What comes next"), item.next),
    )
    return {
        "link": link_to(item.row, item.what),
        "tone": tone,
        "kind": KINDS.get(item.kind) or clip(item.kind),
        "facts": [(label, value) for label, value in facts if value],
        "resolve": _resolve_address(item.row.pk) if item.kind == "unknown" and may_resolve(user) else "",
    }


def _group_card(group: Group) -> dict[str, Any]:
    """Return one card for all flags of one kind that the first sync raised, with a link to their list."""
    filters = {"flag": group.kind, "flag_backlog": "1", "account": group.account_uid}
    address = list_of(Payment, **{name: value for name, value in filters.items() if value})
    facts = (
        (_("Payment account"), group.account_name or group.account_uid),
        (_("Since"), moment(group.since)),
        (_("What is known"), group.known),
        (_("What comes next"), group.next),
    )
    return {
        "link": format_html('<a href="{}">{}</a>', address, group.what),
        "tone": TONES.get(group.kind, "alarm"),
        "kind": KINDS.get(group.kind) or clip(group.kind),
        "facts": [(label, value) for label, value in facts if value],
    }


# --- An operation's own page --------------------------------------------------------------------------


def operation_alert(row: Operation, user: Any) -> Alert | None:
    """Return the alert on an operation's page if staff must know how the operation ended, or ``None``."""
    if not row.attention:
        return None
    title = TITLES.get(row.attention, _("Raised on %(when)s")) % {"when": moment(row.attention_at) or "—"}
    item = ended_item(row)
    lines = tuple(filter(None, (item.known, item.next)))
    if not may_resolve(user):
        return Alert(title, (*lines, _("Users who may resolve operations can mark this as dealt with.")))
    shown = (("attention", row.attention), ("at", row.attention_at.isoformat() if row.attention_at else ""))
    address = reverse("admin:govpay_operation_dealt_with", args=[row.pk])
    return Alert(
        title,
        lines,
        button=Button(
            _("Mark as dealt with"), address, shown, takes_note=bool(row.payment_id) and user.has_perm(ADD_NOTE)
        ),
    )


def resolve_links(row: Operation, user: Any) -> list[tuple[Any, str]]:
    return [(_("Resolve by hand"), _resolve_address(row.pk))] if row.is_overdue and may_resolve(user) else []


def _resolve_address(pk: int) -> str:
    return reverse("admin:govpay_operation_resolve", args=[pk])


class ResolveForm(forms.Form):
    """Ask whether the operation was carried out, and how the user knows it."""

    carried_out = forms.TypedChoiceField(
        label=gettext_lazy("What was the outcome?"),
        choices=[
            ("yes", gettext_lazy("It was carried out: the platform's own records show it.")),
            ("no", gettext_lazy("It was not carried out: the platform's own records have no trace of it.")),
        ],
        coerce=lambda value: value == "yes",
        widget=forms.RadioSelect,
    )
    reason = forms.CharField(
        label=gettext_lazy("How is that known?"),
        help_text=gettext_lazy("What you looked at, where, and what it said. It is kept with your name."),
        max_length=1000,
        widget=forms.Textarea(attrs={"rows": 3, "cols": 60}),
    )


class OperationView(PostView):
    """Base of the views of one operation."""

    permission = RESOLVE_OPERATION
    back = PostView.page_or_index

    def rows(self) -> Any:
        visible = Operation.objects.visible_to(self.request.user).select_related("payment", "account", "actor")
        return visible.defer("validated_method")


class ResolveView(OperationView, ConfirmationView):
    """Close the operation with the user's answer, or with the platform's outcome if one more read shows it."""

    consequence = gettext_lazy(
        "Look for it in the platform's own records first. When you press the button, the platform is asked once more. "
        "If it shows the outcome, that outcome is recorded and not yours. No money moves. Afterwards the payment can "
        "be captured, refunded or voided again. If this one was carried out after all, the money moves twice."
    )
    button = gettext_lazy("Resolve by hand")

    def load(self) -> HttpResponse | None:
        super().load()
        if self.row.is_open:
            return None
        messages.info(self.request, _("Its outcome is known already."))
        return HttpResponseRedirect(self.back())

    def make_form(self, data: Any) -> ResolveForm:
        return ResolveForm(data)

    def add_error(self, error: GovPayError) -> None:
        self.form.add_error("reason", str(error))

    def status(self, problem: str) -> int:
        return 400 if self.form.errors else 200

    def context(self) -> dict[str, Any]:
        row = self.row
        item = unknown_item(row, timezone.now())
        facts = (
            (_("What is known"), item.known),
            (_("What comes next"), item.next),
            (_("Reference"), row.reference_id),
            (_("Platform's request ID"), row.remote_request_id),
        )
        return {
            "title": _("Resolve by hand: %(what)s?") % {"what": item.what},
            "problem": "" if row.is_overdue else _("Its call may still be under way; look at it again in a minute."),
            "doable": row.is_overdue,
            "notes": [(label, value) for label, value in facts if value],
            "tables": [_about(item, row)],
        }

    def execute(self) -> tuple[int, str]:
        self.row = operations.resolve_manually(operation=self.row, actor=self.request.user, **self.form.cleaned_data)
        state = {"state": label_of(self.row.state, OperationState)}
        if self.row.settled_at is None:
            text = _("The platform has meanwhile shown the outcome, so your answer was not needed: %(state)s.") % state
            return messages.WARNING, text
        text = _("Resolved by hand: %(state)s.") % state
        self.admin.log_change(self.request, self.row, text)
        return messages.SUCCESS, " ".join((text, _("The platform is asked about it for three more days.")))


def _about(item: Item, row: Operation) -> Table:
    return Table(
        title=_("Operation"),
        heads=(_("What"), _("Payment"), _("Payment account"), _("Started"), _("By")),
        rows=[
            (
                link_to(row, item.what),
                relative(row, "payment"),
                relative(row, "account"),
                moment(row.created_at),
                clip(name_of(row, "actor")),
            )
        ],
    )


class DealtWithView(OperationView):
    """Clear the review flag that the page showed, and log the user in the row's history."""

    def execute(self) -> tuple[int, str]:
        row, given = self.row, self.request.POST
        attention, at = given.get("attention", ""), read_moment(given.get("at", ""))
        if attention not in OperationAttention.values or at is None:
            return messages.ERROR, _("This form does not come from here, so nothing was changed.")
        with transaction.atomic(using=router.db_for_write(Operation)):
            visible = Operation.objects.visible_to(self.request.user)
            if visible.filter(pk=row.pk, attention=attention, attention_at=at).update(
                attention="", attention_cleared_at=timezone.now(), **kept("attention_cleared_by", self.request.user)
            ):
                text = _("Marked as dealt with: %(what)s.") % {"what": label_of(attention, OperationAttention)}
                self.admin.log_change(self.request, row, text)
                note_if_given(given_note(self.request), row=row.payment, actor=self.request.user)
                return messages.SUCCESS, text
        if not row.attention:
            return messages.INFO, _("Somebody else has marked it as dealt with already.")
        text = _("Something newer has happened to this operation since the page was shown. Look again.")
        return messages.WARNING, text
