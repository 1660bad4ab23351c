"""What a provisioning file asks for, read from TOML: everything wrong with it at once, each with its line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from govpay.client.cards import refuse_cards
from govpay.client.shapes import is_flag, is_text
from govpay.client.tenant_shapes import is_address, is_color
from govpay.exceptions import OperationRefused
from govpay.operations import tenant_options as options
from govpay.operations.markup import clean_message
from govpay.operations.toml_lines import Lines, Path, TooLong

#: A city's file has some hundred lines.
LARGEST = 256 * 1024

#: In place of a list of events: all that the platform's catalogue has.
ALL = "all"

Rule = Callable[[str, Any], Any]


@dataclass(frozen=True)
class ProvisionProblem:
    line: int
    text: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.text}"


class BadFile(OperationRefused):
    """A file that says something wrong. ``problems``: all of it, by line."""

    def __init__(self, message: str = "", problems: tuple[ProvisionProblem, ...] = ()) -> None:
        super().__init__(message or "\n".join(map(str, problems)))
        self.problems = problems


@dataclass(frozen=True)
class WantedAccount:
    """One payment account as it shall be; only what the file says."""

    name: str
    #: Options of ``create_payment_account``, the external ids among them; limits in cents.
    options: Mapping[str, Any]
    #: Options of ``set_checkout_config``; none: the checkout is left alone.
    checkout: Mapping[str, Any] = field(default_factory=dict)
    #: Whether webhooks are sent; ``None``: they are left alone.
    webhooks: bool | None = None
    #: The types of events; ``("all",)`` for the whole catalogue; ``None``: the subscriptions are left alone.
    events: tuple[str, ...] | None = None
    line: int = 1


@dataclass(frozen=True)
class Wanted:
    """The whole file."""

    #: Options of ``create_client``.
    client: Mapping[str, Any]
    accounts: tuple[WantedAccount, ...]
    #: Scheme and host that callback URLs are made of.
    site: str = ""
    #: Where the file speaks of the client.
    line: int = 1


def read_file(text: str) -> Wanted:
    """The file's content. Raises ``BadFile`` with everything that is wrong with it."""
    if len(text) > LARGEST:
        raise BadFile(f"The file is larger than {LARGEST // 1024} KB.")
    try:
        given = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"\(at line (\d+)", str(error))
        line = int(at[1]) if at else text.count("\n") + 1
        raise BadFile(problems=(ProvisionProblem(line, f"no TOML: {error}."),)) from None
    except RecursionError:
        raise BadFile("The file is nested too deeply.") from None
    try:
        lines = Lines(text)
    except TooLong as error:
        raise BadFile(problems=(ProvisionProblem(error.line, "this value has too many lines."),)) from None
    return _Reader(given, lines).read()


# -- rules: they raise ``OperationRefused`` and give the value as our options take it ------------------------


def _text(name: str, value: Any) -> str:
    is_text(name, value)
    options.check_length(**{name: value})
    refuse_cards(**{name: value})
    return str(value)


def _number_text(name: str, value: Any) -> str:
    """A merchant's number, which may look like a card's."""
    if isinstance(value, int) and not isinstance(value, bool):
        raise OperationRefused(f'{name} must be a text: "{value}".')
    is_text(name, value)
    options.check_length(**{name: value})
    return str(value)


def _message(name: str, value: Any) -> str:
    if isinstance(value, str) and "\n" in value:
        raise OperationRefused(f"{name} must be one line; HTML may break it.")
    is_text(name, value)
    refuse_cards(**{name: value})
    cleaned = clean_message(str(value))
    if value and not cleaned:
        raise OperationRefused(f"{name} has no text that a page may show.")
    return cleaned


def _dollars(name: str, value: Any) -> int:
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,2})?", value):
        raise OperationRefused(f'{name} must be dollars as a text, such as "1.00".')
    whole, _, cents = value.partition(".")
    return int(whole) * 100 + int(cents.ljust(2, "0"))


def _checked(check: Callable[[str, Any], None]) -> Rule:
    def rule(name: str, value: Any) -> Any:
        check(name, value)
        return value

    return rule


def _table(name: str, value: Any) -> Any:
    if not isinstance(value, dict):
        raise OperationRefused(f"{name} must be a table.")
    return value


def _tables(name: str, value: Any) -> Any:
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise OperationRefused(f"{name} must be tables: [[{name}]].")
    return value


def _events(name: str, value: Any) -> tuple[str, ...]:
    if value == ALL:
        return (ALL,)
    if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
        raise OperationRefused(f'{name} must be "{ALL}" or a list of event types.')
    return tuple(value)


_flag = _checked(is_flag)

TOP: dict[str, Rule] = {"site": _checked(options.check_site), "client": _table, "accounts": _tables}
CLIENT: dict[str, Rule] = dict.fromkeys(("name", "customer_id", "timezone", "subdomain"), _text)
ACCOUNT: dict[str, Rule] = {
    "name": _text,
    "processor": _text,
    "external_account_id": _number_text,
    "external_merchant_id": _number_text,
    "active": _flag,
    "enable_ach": _flag,
    "enable_credit_card": _flag,
    "minimum_payment_dollars": _dollars,
    "maximum_payment_dollars": _dollars,
    "checkout": _table,
    "webhooks": _table,
}
CHECKOUT: dict[str, Rule] = {
    "allowed_origins": _checked(options.check_origins),
    "display_name": _text,
    "logo_url": _checked(is_address),
    "accent_color": _checked(is_color),
    "page_message": _message,
}
WEBHOOKS: dict[str, Rule] = {"enabled": _flag, "events": _events}

EXTERNAL = ("external_account_id", "external_merchant_id")
CENTS = {f"{which}_payment_dollars": f"{which}_payment_amount" for which in ("minimum", "maximum")}


class _Reader:
    def __init__(self, given: Mapping[str, Any], lines: Lines) -> None:
        self.given, self.lines = given, lines
        self.problems: list[ProvisionProblem] = []

    def read(self) -> Wanted:
        top = self._part((), self.given, TOP, ("client",))
        client = self._part(("client",), top.get("client", {}), CLIENT, ("name",)) if "client" in top else {}
        tables = top.get("accounts", [])
        accounts = tuple(self._account(("accounts", number), each) for number, each in enumerate(tables))
        self._check_twins(accounts)
        for number, account in enumerate(accounts):
            if account.webhooks and not self.given.get("site"):
                self._add(("accounts", number, "webhooks"), "webhooks need the address of this site: site = … on top.")
        if self.problems:
            raise BadFile(problems=tuple(sorted(self.problems, key=lambda problem: problem.line)))
        return Wanted(client, accounts, str(top.get("site", "")).rstrip("/"), self.lines.of(("client",)))

    def _account(self, path: Path, given: Mapping[str, Any]) -> WantedAccount:
        found = self._part(path, given, ACCOUNT, ("name", "processor", *EXTERNAL))
        checkout, webhooks = found.pop("checkout", None), found.pop("webhooks", None)
        chosen = {CENTS.get(name, name): value for name, value in found.items()}
        least, most = (chosen.get(name) for name in CENTS.values())
        if least is not None and most is not None and least > most:
            self._add((*path, "minimum_payment_dollars"), "minimum_payment_dollars exceeds maximum_payment_dollars.")
        looks = {} if checkout is None else self._part((*path, "checkout"), checkout, CHECKOUT, ())
        hooks = {} if webhooks is None else self._part((*path, "webhooks"), webhooks, WEBHOOKS, ("enabled",))
        return WantedAccount(
            name=chosen.get("name", ""),
            options=chosen,
            checkout=looks,
            webhooks=hooks.get("enabled"),
            events=hooks.get("events"),
            line=self.lines.of(path),
        )

    def _check_twins(self, accounts: tuple[WantedAccount, ...]) -> None:
        first: dict[tuple[Any, ...], int] = {}
        for number, account in enumerate(accounts):
            ids = tuple(account.options.get(name) for name in EXTERNAL)
            if None in ids:
                continue
            line = self.lines.of(("accounts", number, EXTERNAL[0]))
            if ids not in first:
                first[ids] = line
            else:
                text = f"the account in line {first[ids]} has the same external ids."
                self.problems.append(ProvisionProblem(line, text))

    def _part(
        self, path: Path, given: Mapping[str, Any], rules: Mapping[str, Rule], required: tuple[str, ...]
    ) -> dict[str, Any]:
        """The keys of one table that are right; the others are noted."""
        where = ".".join(str(name) for name in path if isinstance(name, str))
        found: dict[str, Any] = {}
        for name, value in given.items():
            if name not in rules:
                near = get_close_matches(name, rules, n=1, cutoff=0.5)
                hint = f" Did you mean {near[0]!r}?" if near else f" Known: {', '.join(rules)}."
                self._add((*path, name), f"{where or 'the file'} has no key {name!r}.{hint}")
                continue
            try:
                found[name] = rules[name](name, value)
            except OperationRefused as refused:
                self._add((*path, name), refused.message, _culprit(rules[name], name, value))
        for name in required:
            if name not in given:
                self._add(path, f"{where or 'the file'} has no {name}.")
        return found

    def _add(self, path: Path, text: str, near: str = "") -> None:
        self.problems.append(ProvisionProblem(self.lines.of(path, near), text))


def _culprit(rule: Rule, name: str, value: Any) -> str:
    """The item of a list that is wrong by itself, so that its own line can be named."""
    for item in value if isinstance(value, list) else ():
        try:
            rule(name, [item])
        except OperationRefused:
            return item if isinstance(item, str) else ""
    return ""
