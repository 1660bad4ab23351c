"""Notes on payments and customers."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from govpay.exceptions import OperationRefused
from govpay.models import Customer, Note, Payment
from govpay.models.notes import NOTE_LENGTH
from govpay.models.people import person


def note_if_given(text: str, *, row: Payment | Customer | None, actor: Any = None) -> None:
    """Store ``text`` as a note about ``row``. Does nothing without a text. Raises ``OperationRefused``."""
    if text.strip():
        if row is None:
            raise OperationRefused(_("There is no payment here to write a note about."))
        add_note(row=row, text=text, actor=actor)


def add_note(*, row: Payment | Customer, text: str, actor: Any = None) -> Note:
    """Store a note about ``row`` and return it. ``text``: 1 to 2 000 characters without a card number.

    Raises ``OperationRefused`` for an empty or too long text, and for one with a card number. The
    message never contains the text.
    """
    from govpay.client.cards import refuse_cards  # noqa: PLC0415 - a start does not load the client (decision 11)

    text = text.strip()
    if not text:
        raise OperationRefused(_("A note needs a text."))
    if len(text) > NOTE_LENGTH or "\x00" in text:
        raise OperationRefused(_("A note may have %(most)d characters at most.") % {"most": NOTE_LENGTH})
    refuse_cards(text=text)
    about = {"payment": row} if isinstance(row, Payment) else {"customer": row}
    return Note.objects.create(account_id=row.account_id, text=text, **about, **person("author", actor))
