"""Notes on the pages of payments and customers: the table, and the form that adds one."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest
from django.urls import URLPattern, reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy

from govpay.admin.base import ReadOnlyAdmin
from govpay.admin.confirmation_views import PostView
from govpay.admin.confirmations import own_url
from govpay.admin.filters import AccountListFilter
from govpay.admin.formatting import Table, clip, column, link_column, moment, moment_column, text_column
from govpay.finance import add_note
from govpay.models import Customer, Note, Payment
from govpay.models.notes import notes_about
from govpay.models.people import name_of
from govpay.models.permissions import ADD_NOTE

#: Maximum number of notes on a page.
NOTES_LIMIT = 100


@admin.register(Note)
class NoteAdmin(ReadOnlyAdmin):
    written = moment_column("created_at", _lazy("written"))
    note_text = text_column("text", _lazy("note"))
    payment_link = link_column("payment", _lazy("payment"))
    customer_link = link_column("customer", _lazy("customer"))
    account_link = link_column("account", _lazy("payment account"))

    @column(_lazy("by"))
    def by(self, row: Note) -> str | None:
        return clip(name_of(row, "author"))

    list_display = ("note_text", "written", "by", "payment_link", "customer_link")
    list_filter = (AccountListFilter,)
    list_select_related = ("payment", "customer", "author")
    sortable_by = ("written",)
    date_hierarchy = "created_at"
    page_select_related = ("account", "payment", "customer", "author")
    fieldsets = ((None, {"fields": ("text", "created_at", "by", "payment_link", "customer_link", "account_link")}),)


class AddNoteView(PostView):
    """Store the note and lead back to the row's page."""

    permission = ADD_NOTE

    def is_allowed(self) -> bool:
        return super().is_allowed() and self.admin.has_view_permission(self.request)

    def execute(self) -> tuple[int, str]:
        add_note(row=self.row, text=self.request.POST.get("text", ""), actor=self.request.user)
        return messages.SUCCESS, _("The note is stored.")


def note_urls(model_admin: Any) -> list[URLPattern]:
    """Return the address that adds a note: ``admin:govpay_payment_note`` or ``admin:govpay_customer_note``."""
    name = f"govpay_{model_admin.opts.model_name}_note"
    return [own_url(model_admin, "<int:pk>/note/", name, AddNoteView.as_view(admin=model_admin))]


def note_context(request: HttpRequest, row: Payment | Customer) -> dict[str, Any]:
    """Return the address of the form for the page's template, if this user may add a note."""
    if not request.user.has_perm(ADD_NOTE):
        return {}
    return {"note_url": reverse(f"admin:govpay_{row._meta.model_name}_note", args=[row.pk])}


def notes_of(row: Payment | Customer, user: Any) -> Table:
    """Return the table of the row's notes, the newest first. Makes one query."""
    found = notes_about(row, user)[:NOTES_LIMIT]
    return Table(
        title=_("Notes"),
        heads=(_("Written"), _("By"), _("Note")),
        rows=[
            (
                moment(note.created_at),
                name_of(note, "author"),
                format_html('<div class="govpay-reason govpay-lines">{}</div>', note.text),
            )
            for note in found
        ],
        empty=_("Nobody has written a note."),
    )
