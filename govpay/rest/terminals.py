"""Card terminals, read only."""

from __future__ import annotations

from govpay.models import Terminal
from govpay.rest.base import Rows, RowView
from govpay.rest.filters import MirrorFilter, TextFilter
from govpay.rest.rows import RECORD, MirrorSerializer


class TerminalSerializer(MirrorSerializer):
    class Meta:
        model = Terminal
        fields = ("uid", "account", "name", "serial_number", "model", "status", *RECORD)


class TerminalFilter(MirrorFilter):
    account = TextFilter()
    serial_number = TextFilter()
    status = TextFilter()


class TerminalList(Rows):
    model = Terminal
    serializer_class = TerminalSerializer
    filterset_class = TerminalFilter
    operations = {"GET": "list_terminals"}
    reads = "Card terminals, newest first."


class TerminalDetail(RowView):
    model = Terminal
    serializer_class = TerminalSerializer
    operations = {"GET": "get_terminal"}
    reads = "One card terminal."
