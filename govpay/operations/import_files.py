"""Import of payment methods from a CSV file: its columns, its rows, and the file of refused rows.

``imports.py`` sends the rows; this module reads them from a file. The two modules are separate because of their length.
"""

from __future__ import annotations

import csv
import hashlib
import itertools
import json
import os
import re
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.utils.crypto import salted_hmac

from govpay.client.cards import looks_like_card, refuse_cards
from govpay.client.tenant_shapes import ImportedMethod
from govpay.exceptions import APIError, OperationRefused
from govpay.models import PaymentAccount
from govpay.models.choices import OperationState
from govpay.operations.import_marks import marks_of, recorded
from govpay.operations.imports import (
    CHUNK,
    REFUSED,
    UNKNOWN,
    RowResult,
    checked_row,
    import_payment_methods,
    recall,
)
from govpay.operations.reconciliation import reconcile
from govpay.security.csv import escape_formula, unescape_formula
from govpay.security.tracebacks import scrub_traceback

#: Column -> property of the card's block.
CARD_COLUMNS = {
    "token": "fingerprint",
    "last4": "last4",
    "exp_month": "exp_month",
    "exp_year": "exp_year",
    "brand": "card_brand",
    "bin": "bin",
    "holder_name": "holder_name",
}
#: Column -> property of the bank account's block.
BANK_COLUMNS = {
    "token": "fingerprint",
    "routing_number": "routing_number",
    "last4": "account_number_suffix",
    "account_type": "account_type",
    "bank_name": "bank_name",
    "holder_name": "holder_name",
}
COLUMNS_BY_TYPE = {"credit": CARD_COLUMNS, "ach": BANK_COLUMNS}
NUMBER_COLUMNS = ("exp_month", "exp_year")
ACCOUNT_TYPES = ("checking", "savings")
#: Accepted column name -> our column name.
COLUMN_ALIASES = {
    "fingerprint": "token",
    "card_brand": "brand",
    "account_number_suffix": "last4",
    "payment_method_type": "type",
}
REQUIRED_COLUMNS = ("customer_reference_id", "type", "token")
KNOWN_COLUMNS = {*REQUIRED_COLUMNS, *CARD_COLUMNS, *BANK_COLUMNS, "reason"}

#: States of a row in the count, besides those of ``imports.py``: imported by an earlier run; valid in a dry run.
ALREADY, GOOD = "already", "good"

WAIT = "The outcome of one part is not known yet; it is looked up, not repeated. Wait for about twenty minutes."


@dataclass
class ImportSummary:
    """The result of one run."""

    #: The file of the refused rows; it exists only if rows were refused.
    refused_path: Path
    #: Number of rows in each state.
    count: Counter[str] = field(default_factory=Counter)
    #: Why the run stopped before the end of the file; empty if it did not.
    stopped: str = ""


def import_file(
    account: PaymentAccount, path: Path, *, dry_run: bool = False, progress: Callable[[int], object] = lambda rows: None
) -> ImportSummary:
    """Import the rows of the CSV file that were not imported before; write the refused rows to another file.

    A dry run checks each row and sends nothing. ``progress`` is called with the number of rows after each chunk.
    Raises ``OperationRefused`` when the file cannot be read or its columns are wrong.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _import_lines(account, path, csv.reader(file, strict=True), dry_run, progress)
    except OSError as error:
        raise OperationRefused(f"{error.filename or path}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise OperationRefused(f"{path} is not UTF-8.") from error
    except csv.Error as error:
        raise OperationRefused(f"{path} is not CSV: {error}.") from error


@scrub_traceback
def _import_lines(
    account: PaymentAccount, path: Path, lines: Any, dry_run: bool, progress: Callable[[int], object]
) -> ImportSummary:
    header: list[str] = next(lines, [])
    names = column_names(header)
    seen: dict[bytes, int] = {}
    refused = RefusedRowsFile(path, header, names)
    summary = ImportSummary(refused.path)
    chunks = ChunkImport(account, dry_run, summary)
    with refused:
        for number in itertools.count():
            filled = itertools.islice(_filled(lines), CHUNK)
            rows = [ImportRow(cells, names, seen, lines.line_num) for cells in filled]
            if not rows:
                break
            for result in chunks.import_chunk(number, rows):
                summary.count[result.state] += 1
                if result.state == REFUSED:
                    refused.write(rows[result.index].cells, result.error)
            progress(len(rows))
            if summary.stopped:
                break
    return summary


def column_names(header: Sequence[str]) -> list[str]:
    """Return our names for the header's columns. Raises ``OperationRefused`` if one is unknown, repeated or missing."""
    names = [COLUMN_ALIASES.get(name, name) for name in (cell.strip().lower() for cell in header)]
    for number, name in enumerate(names, 1):
        if name not in KNOWN_COLUMNS:
            shown = f" {name}" if re.fullmatch(r"[a-z][a-z_0-9]{0,40}", name) and not looks_like_card(name) else ""
            raise OperationRefused(f"Column {number}{shown} is not known. Known: {', '.join(sorted(KNOWN_COLUMNS))}.")
        if names.count(name) > 1:
            raise OperationRefused(f"There are two columns for {name}.")
    for name in REQUIRED_COLUMNS:
        if name not in names:
            raise OperationRefused(f"There is no column {name}.")
    return names


def parsed_row(cells: list[str], names: Sequence[str]) -> dict[str, Any]:
    """Return a row for ``import_payment_methods``. Raises ``OperationRefused`` with the column, never its value."""
    if len(cells) > len(names):
        refuse_cards(row=cells)
        raise OperationRefused("The row has more cells than the header.")
    plain = unescape_formula(cells)
    given = {name: cell.strip() for name, cell in zip(names, plain, strict=False) if cell.strip() and name != "reason"}
    refuse_cards(**given)
    for name in REQUIRED_COLUMNS:
        if name not in given:
            raise OperationRefused(f"{name} is missing.")
    kind, reference = given.pop("type"), given.pop("customer_reference_id")
    if kind not in COLUMNS_BY_TYPE:
        raise OperationRefused(f"type must be one of {', '.join(COLUMNS_BY_TYPE)}.")
    columns = COLUMNS_BY_TYPE[kind]
    foreign = [name for name in given if name not in columns]
    if foreign:
        raise OperationRefused(f"{foreign[0]} does not belong to a {kind} row.")
    if given.get("account_type", ACCOUNT_TYPES[0]) not in ACCOUNT_TYPES:
        raise OperationRefused(f"account_type must be one of {', '.join(ACCOUNT_TYPES)}.")
    block = {columns[name]: _number(name, cell) for name, cell in given.items()}
    method: Mapping[str, Any] = {"payment_method_type": kind, kind: block}
    return {"customer_reference_id": reference, "payment_method": method}


def _number(name: str, cell: str) -> Any:
    if name not in NUMBER_COLUMNS:
        return cell
    if not re.fullmatch("[0-9]{1,4}", cell):
        raise OperationRefused(f"{name} must be a number.")
    return int(cell)


def _filled(lines: Any) -> Iterator[list[str]]:
    return (cells for cells in lines if any(cell.strip() for cell in cells))


class ImportRow:
    """One line of the file: its cells, and either the row to send or the reason why it is refused."""

    def __init__(self, cells: list[str], names: Sequence[str], seen: dict[bytes, int], line: int) -> None:
        self.cells, self.why = cells, ""
        self.sent: dict[str, Any] | None = None
        self.checked: ImportedMethod | None = None
        try:
            sent = parsed_row(cells, names)
            checked = checked_row(sent)
            self._check_once(sent, seen, line)
        except OperationRefused as refused:
            self.why = refused.message
        else:
            self.sent, self.checked = sent, checked

    def is_among(self, marks: set[str], account: PaymentAccount) -> bool:
        return self.checked is not None and not marks.isdisjoint(marks_of(account.uid, self.checked))

    @staticmethod
    def _check_once(sent: dict[str, Any], seen: dict[bytes, int], line: int) -> None:
        method = sent["payment_method"]
        token = method[method["payment_method_type"]]["fingerprint"]
        mark = hashlib.blake2b(f"{sent['customer_reference_id']}\n{token}".encode(), digest_size=12).digest()
        first = seen.setdefault(mark, line)
        if first != line:
            raise OperationRefused(f"The same token of the same customer is in line {first}.")


class ChunkImport:
    """Imports the rows chunk by chunk; each row is sent once, also over several runs."""

    def __init__(self, account: PaymentAccount, dry_run: bool, summary: ImportSummary) -> None:
        self.account, self.dry_run, self.summary = account, dry_run, summary
        #: Marks of the rows that were imported, and of the rows whose outcome is open.
        self._done, self._open = recorded(account.uid)
        if self._open and not dry_run:
            reconcile()
            self._done, self._open = recorded(account.uid)

    def import_chunk(self, number: int, rows: list[ImportRow]) -> list[RowResult]:
        """Import these rows and return their results. Rows that an earlier run imported are counted, without a result.

        Sets ``summary.stopped`` when the import must stop.
        """
        refused = [RowResult(index, REFUSED, error=row.why) for index, row in enumerate(rows) if row.why]
        if self.dry_run:
            return refused + [RowResult(index, GOOD) for index, row in enumerate(rows) if not row.why]
        if len(refused) == len(rows):
            return refused
        return self._import_new(number, rows, refused)

    def _import_new(self, number: int, rows: list[ImportRow], refused: list[RowResult]) -> list[RowResult]:
        """Send the rows that no earlier run has imported. Sends nothing while the outcome of one of them is unknown."""
        key, state, recalled = self._find(number, rows)
        already = {index for index, row in enumerate(rows) if row.is_among(self._done, self.account)}
        if state == OperationState.SUCCEEDED:
            return self._imported_before(rows, already, recalled)
        good = [index for index, row in enumerate(rows) if not row.why and index not in already]
        if state or any(rows[index].is_among(self._open, self.account) for index in good):
            self.summary.stopped = WAIT
            return [RowResult(index, UNKNOWN) for index in good]
        self.summary.count[ALREADY] += len(already)
        return self._send(key, rows, good, refused) if good else refused

    def _imported_before(self, rows: list[ImportRow], already: set[int], recalled: list[RowResult]) -> list[RowResult]:
        """Count the rows that an earlier run imported with the same key, and return the rows that it refused."""
        whys = {each.index: rows[each.index].why or each.error for each in recalled if each.index not in already}
        self.summary.count[ALREADY] += len(rows) - len(whys)
        return [RowResult(index, REFUSED, error=why) for index, why in whys.items()]

    def _send(
        self, key: uuid.UUID, rows: list[ImportRow], good: list[int], refused: list[RowResult]
    ) -> list[RowResult]:
        sent = [(row.sent if index in good else None) or {} for index, row in enumerate(rows)]
        try:
            found = import_payment_methods(account=self.account, rows=sent, key=key)
        except (APIError, OperationRefused) as error:
            self.summary.stopped = f"One part was not imported: {error}"
            return []
        if any(result.state == UNKNOWN for result in found):
            self.summary.stopped, refused = WAIT, []
        return refused + [result for result in found if result.index in good]

    def _find(self, number: int, rows: list[ImportRow]) -> tuple[uuid.UUID, str, list[RowResult]]:
        """Return the key of the latest attempt to send these rows, its state (empty: none), and its refused rows."""
        cells = [row.cells for row in rows]
        for attempt in itertools.count():
            text = json.dumps([self.account.uid, number, cells, attempt])
            # The hash is keyed, because it is derived from tokens and stored in the journal.
            key = uuid.UUID(bytes=salted_hmac("govpay.import", text, algorithm="sha256").digest()[:16])
            state, recalled = recall(key)
            if state == OperationState.UNKNOWN:
                reconcile()
                state, recalled = recall(key)
            if state != OperationState.FAILED:  # a failed attempt was not executed: the rows get a new key
                return key, state, recalled
        raise AssertionError


class RefusedRowsFile:
    """``FILE.refused.csv``, which each run replaces. Only the file's owner can read it, because it holds tokens."""

    def __init__(self, path: Path, header: list[str], names: Sequence[str]) -> None:
        self.path = path.with_name(f"{path.name.removesuffix('.csv')}.refused.csv")
        self._keep = [index for index, name in enumerate(names) if name != "reason"]
        self._header = [header[index].strip() for index in self._keep]
        self._file: Any = None

    def __enter__(self) -> RefusedRowsFile:
        self.path.unlink(missing_ok=True)
        return self

    def __exit__(self, *exc: object) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, cells: list[str], why: str) -> None:
        if self._file is None:
            number = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            self._file = os.fdopen(number, "w", encoding="utf-8", newline="")
            csv.writer(self._file).writerow([*self._header, "reason"])
        kept = [cells[index] if index < len(cells) else "" for index in self._keep]
        # A possible card number is not written a second time.
        shown = ["***" if looks_like_card(cell) else cell for cell in [*kept, why]]
        csv.writer(self._file).writerow(escape_formula(shown))
        self._file.flush()
