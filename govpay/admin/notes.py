"""Notes on the pages of payments and customers: the table, and the form that adds one."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest
from django.urls import URLPattern, reverse
from django.utils.html import format_html, linebreaks
from django.utils.translation import gettext as _

from govpay.admin.confirmation_views import PostView
from govpay.admin.confirmations import own_url
from govpay.admin.formatting import Table, clip, moment
from govpay.finance import add_note
from govpay.models import Customer, Note, Payment
from govpay.models.permissions import ADD_NOTE

#: Maximum number of notes on a page.
NOTES_LIMIT = 100


class AddNoteView(PostView):
    """Store the note and lead back to the row's page."""

    permission = ADD_NOTE

    def is_allowed(self) -> bool:
        return super().is_allowed() and self.admin.has_view_permission(self.request)

    def execute(self) -> tuple[int, str]:
        add_note(row=self.row, text=self.request.POST.get("text", ""), actor=self.request.user)
        return messages.SUCCESS, _("The note is stored.")


def note_urls(admin: Any) -> list[URLPattern]:
    """Return the address that adds a note: ``admin:govpay_payment_note`` or ``admin:govpay_customer_note``."""
    name = f"govpay_{admin.opts.model_name}_note"
    return [own_url(admin, "<int:pk>/note/", name, AddNoteView.as_view(admin=admin))]


def note_context(request: HttpRequest, row: Payment | Customer) -> dict[str, Any]:
    """Return the address of the form for the page's template, if this user may add a note."""
    if not request.user.has_perm(ADD_NOTE):
        return {}
    return {"note_url": reverse(f"admin:govpay_{row._meta.model_name}_note", args=[row.pk])}


def notes_of(row: Payment | Customer, user: Any) -> Table:
    """Return the table of the row's notes, the newest first. Makes one query."""
    about = {"payment": row.uid} if isinstance(row, Payment) else {"customer": row.uid}
    found = Note.objects.visible_to(user).filter(**about).select_related("author")[:NOTES_LIMIT]
    return Table(
        title=_("Notes"),
        heads=(_("Written"), _("By"), _("Note")),
        rows=[
            (
                moment(note.created_at),
                clip(note.written_by),
                format_html('<div class="govpay-reason">{}</div>', linebreaks(note.text, autoescape=True)),
            )
            for note in found
        ],
        empty=_("Nobody has written a note."),
    )
