"""``manage.py govpay_import_methods FILE.csv --account UID``: import processor tokens, each row once."""

from __future__ import annotations

import csv
import hashlib
import itertools
import json
import os
import re
import sys
import time
import uuid
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.utils.crypto import salted_hmac
from tqdm import tqdm

from govpay.client.cards import looks_like_card, refuse_cards
from govpay.client.tenant_shapes import ImportedMethod
from govpay.exceptions import APIError, OperationRefused
from govpay.management.base import PlatformCommand
from govpay.models import PaymentAccount
from govpay.models.choices import OperationState
from govpay.operations import import_payment_methods, reconcile
from govpay.operations.import_marks import marks_of, recorded
from govpay.operations.imports import CHUNK, IMPORTED, REFUSED, UNKNOWN, RowResult, checked_row, recall
from govpay.security.csv import escape_formula, unescape_formula
from govpay.security.tracebacks import scrub_traceback

#: Column -> property of the card's block.
CARD = {
    "token": "fingerprint",
    "last4": "last4",
    "exp_month": "exp_month",
    "exp_year": "exp_year",
    "brand": "card_brand",
    "bin": "bin",
    "holder_name": "holder_name",
}
#: Column -> property of the bank account's block.
BANK = {
    "token": "fingerprint",
    "routing_number": "routing_number",
    "last4": "account_number_suffix",
    "account_type": "account_type",
    "bank_name": "bank_name",
    "holder_name": "holder_name",
}
BLOCKS = {"credit": CARD, "ach": BANK}
NUMBERS = ("exp_month", "exp_year")
ACCOUNT_TYPES = ("checking", "savings")
OTHER_NAMES = {"fingerprint": "token", "card_brand": "brand", "account_number_suffix": "last4"}
OTHER_NAMES |= {"payment_method_type": "type"}
REQUIRED = ("customer_reference_id", "type", "token")
KNOWN = {*REQUIRED, *CARD, *BANK, "reason"}

WAIT = "The outcome of one part is not known yet; it is looked up, not repeated. Wait for about twenty minutes."


class ImportRow:
    """One line of the file: its cells, and either what is sent of it or why it is not."""

    def __init__(self, cells: list[str], names: Sequence[str], seen: dict[bytes, int], line: int) -> None:
        self.cells, self.why = cells, ""
        self.sent: dict[str, Any] | None = None
        self.checked: ImportedMethod | None = None
        try:
            sent = _row(cells, names)
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
            raise OperationRefused(f"The same token of the same customer stands in line {first}.")


class Command(PlatformCommand):
    help = (
        "Import payment methods that the processor holds already, from a CSV file with a header. Columns: "
        "customer_reference_id, type (credit or ach), token (or fingerprint); for cards last4, exp_month, exp_year "
        "(four digits), brand, bin, holder_name; for bank accounts routing_number, last4 (or account_number_suffix), "
        "account_type (checking or savings), bank_name, holder_name. Rows that are refused are written to "
        "FILE.refused.csv with the reason; correct and import that file. Run again after a crash: a customer's token "
        "that was imported is remembered and not sent again, whatever else was changed in the file."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", metavar="FILE.csv", type=Path)
        parser.add_argument("--account", required=True, metavar="UID", help="the payment account of the customers")
        parser.add_argument("--dry-run", action="store_true", help="check every row here and send nothing")

    def carry_out(self, options: dict[str, Any]) -> None:
        account = PaymentAccount.objects.filter(uid=options["account"], deleted_at=None).first()
        if account is None:
            raise CommandError("There is no such payment account here. Sync accounts first.")
        path: Path = options["file"]
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                self._read(account, path, csv.reader(file, strict=True), options["dry_run"])
        except OSError as error:
            raise CommandError(f"{error.filename or path}: {error.strerror}.") from error
        except UnicodeDecodeError as error:
            raise CommandError(f"{path} is not UTF-8.") from error
        except csv.Error as error:
            raise CommandError(f"{path} is not CSV: {error}.") from error

    @scrub_traceback
    def _read(self, account: PaymentAccount, path: Path, lines: Any, rehearsal: bool) -> None:
        header: list[str] = next(lines, [])
        names = _names(header)
        refused = ImportRefused(path, header, names)
        count: Counter[str] = Counter()
        seen: dict[bytes, int] = {}
        started, stopped = time.monotonic(), ""
        self._done, self._open = recorded(account.uid)
        if self._open and not rehearsal:
            reconcile()
            self._done, self._open = recorded(account.uid)
        bar = tqdm(desc=path.name, unit=" rows", disable=not sys.stderr.isatty(), leave=False)
        with bar, refused:
            for number in itertools.count():
                rows = [
                    ImportRow(cells, names, seen, lines.line_num) for cells in itertools.islice(_filled(lines), CHUNK)
                ]
                if not rows:
                    break
                results, stopped = self._outcome(account, number, rows, rehearsal, count)
                for result in results:
                    count[result.state] += 1
                    if result.state == REFUSED:
                        refused.write(rows[result.index].cells, result.error)
                bar.update(len(rows))
                if stopped:
                    break
        self.stdout.write(
            f"account={account.uid} imported={count[IMPORTED]} refused={count[REFUSED]} unknown={count[UNKNOWN]} "
            f"already={count['already']} good={count['good']} seconds={time.monotonic() - started:.1f}"
        )
        if stopped:
            raise CommandError(f"{stopped} Run the command again to go on; nothing is imported twice.")
        if count[REFUSED]:
            raise CommandError(f"{count[REFUSED]} rows were refused: see {refused.path}.")

    def _outcome(
        self, account: PaymentAccount, number: int, rows: list[ImportRow], rehearsal: bool, count: Counter[str]
    ) -> tuple[list[RowResult], str]:
        """What became of these rows, and why the import stops here if it does."""
        refused = [RowResult(index, REFUSED, error=row.why) for index, row in enumerate(rows) if row.why]
        if rehearsal:
            return refused + [RowResult(index, "good") for index, row in enumerate(rows) if not row.why], ""
        if len(refused) == len(rows):
            return refused, ""
        key, state, told = self._find(account, number, rows)
        already = {index for index, row in enumerate(rows) if row.is_among(self._done, account)}
        if state == OperationState.SUCCEEDED:
            whys = {each.index: rows[each.index].why or each.error for each in told if each.index not in already}
            count["already"] += len(rows) - len(whys)
            return [RowResult(index, REFUSED, error=why) for index, why in whys.items()], ""
        good = [index for index, row in enumerate(rows) if not row.why and index not in already]
        if state or any(rows[index].is_among(self._open, account) for index in good):
            return [RowResult(index, UNKNOWN) for index in good], WAIT
        count["already"] += len(already)
        if not good:
            return refused, ""
        sent = [(row.sent if index in good else None) or {} for index, row in enumerate(rows)]
        try:
            found = import_payment_methods(account=account, rows=sent, key=key)
        except (APIError, OperationRefused) as error:
            return [], f"One part was not imported: {error}"
        lost = any(result.state == UNKNOWN for result in found)
        found = [result for result in found if result.index in good]
        return found if lost else refused + found, WAIT if lost else ""

    def _find(
        self, account: PaymentAccount, number: int, rows: list[ImportRow]
    ) -> tuple[uuid.UUID, str, list[RowResult]]:
        """The key of the latest attempt at these rows, and what the journal says of it; no state: not begun."""
        cells = [row.cells for row in rows]
        for attempt in itertools.count():
            text = json.dumps([account.uid, number, cells, attempt])
            # Keyed, because it is derived from tokens and lies in the journal.
            key = uuid.UUID(bytes=salted_hmac("govpay.import", text, algorithm="sha256").digest()[:16])
            state, told = recall(key)
            if state == OperationState.UNKNOWN:
                reconcile()
                state, told = recall(key)
            if state != OperationState.FAILED:  # that one was not executed: these rows are sent anew
                return key, state, told
        raise AssertionError


class ImportRefused:
    """``FILE.refused.csv``, made anew by each run, for the owner's eyes only: it holds tokens."""

    def __init__(self, path: Path, header: list[str], names: Sequence[str]) -> None:
        self.path = path.with_name(f"{path.name.removesuffix('.csv')}.refused.csv")
        self._keep = [index for index, name in enumerate(names) if name != "reason"]
        self._header = [header[index].strip() for index in self._keep]
        self._file: Any = None

    def __enter__(self) -> ImportRefused:
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
        # What may be a card number is not written a second time.
        shown = ["***" if looks_like_card(cell) else cell for cell in [*kept, why]]
        csv.writer(self._file).writerow(escape_formula(shown))
        self._file.flush()


def _filled(lines: Any) -> Iterator[list[str]]:
    return (cells for cells in lines if any(cell.strip() for cell in cells))


def _names(header: list[str]) -> list[str]:
    """The columns by our names. Raises ``CommandError``."""
    names = [OTHER_NAMES.get(name, name) for name in (cell.strip().lower() for cell in header)]
    for number, name in enumerate(names, 1):
        if name not in KNOWN:
            shown = f" {name}" if re.fullmatch(r"[a-z][a-z_0-9]{0,40}", name) and not looks_like_card(name) else ""
            raise CommandError(f"Column {number}{shown} is not known. Known: {', '.join(sorted(KNOWN))}.")
        if names.count(name) > 1:
            raise CommandError(f"There are two columns for {name}.")
    for name in REQUIRED:
        if name not in names:
            raise CommandError(f"There is no column {name}.")
    return names


def _row(cells: list[str], names: Sequence[str]) -> dict[str, Any]:
    """The row as an import takes it. Raises ``OperationRefused`` naming the column, never with its value."""
    if len(cells) > len(names):
        refuse_cards(row=cells)
        raise OperationRefused("The row has more cells than the header.")
    meant = unescape_formula(cells)
    given = {name: cell.strip() for name, cell in zip(names, meant, strict=False) if cell.strip() and name != "reason"}
    refuse_cards(**given)
    for name in REQUIRED:
        if name not in given:
            raise OperationRefused(f"{name} is missing.")
    kind, reference = given.pop("type"), given.pop("customer_reference_id")
    if kind not in BLOCKS:
        raise OperationRefused(f"type must be one of {', '.join(BLOCKS)}.")
    foreign = [name for name in given if name not in BLOCKS[kind]]
    if foreign:
        raise OperationRefused(f"{foreign[0]} does not belong to a {kind} row.")
    if given.get("account_type", ACCOUNT_TYPES[0]) not in ACCOUNT_TYPES:
        raise OperationRefused(f"account_type must be one of {', '.join(ACCOUNT_TYPES)}.")
    block = {BLOCKS[kind][name]: _number(name, cell) for name, cell in given.items()}
    method: Mapping[str, Any] = {"payment_method_type": kind, kind: block}
    return {"customer_reference_id": reference, "payment_method": method}


def _number(name: str, cell: str) -> Any:
    if name not in NUMBERS:
        return cell
    if not re.fullmatch("[0-9]{1,4}", cell):
        raise OperationRefused(f"{name} must be a number.")
    return int(cell)
