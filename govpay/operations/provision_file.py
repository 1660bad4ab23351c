"""Read and check a provisioning file (TOML). All problems are reported together, each with its key path."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from rest_framework import serializers
from rest_framework.settings import api_settings

from govpay.addresses import public_url
from govpay.client.cards import refuse_cards
from govpay.client.shapes import is_flag, is_text
from govpay.client.tenant_shapes import is_address, is_color
from govpay.exceptions import OperationRefused
from govpay.operations import tenant_options as options
from govpay.operations.markup import clean_message

#: Maximum size of the file, in characters. The file of a city has a few hundred lines.
LARGEST = 256 * 1024

#: Value that stands for every event of the platform's catalogue, instead of a list of events.
ALL = "all"

#: The keys that identify an account on the platform.
EXTERNAL = ("external_account_id", "external_merchant_id")
#: Key of the file (dollars) -> option (cents).
CENTS = {f"{which}_payment_dollars": f"{which}_payment_amount" for which in ("minimum", "maximum")}

Rule = Callable[[str, Any], Any]


@dataclass(frozen=True)
class ProvisionProblem:
    #: Key path of the wrong value, such as ``accounts[1].checkout.accent_color``.
    path: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}: {self.text}"


class BadFile(OperationRefused):
    """The file is wrong. ``problems`` has all its wrong values; it is empty if the file is not TOML or too large."""

    def __init__(self, message: str = "", problems: tuple[ProvisionProblem, ...] = ()) -> None:
        super().__init__(message or "\n".join(map(str, problems)))
        self.problems = problems


@dataclass(frozen=True)
class WantedAccount:
    """The wanted state of one payment account, with only the values that the file gives."""

    name: str
    #: Options of ``create_payment_account``, including the external ids; limits in cents.
    options: Mapping[str, Any]
    #: Options of ``set_checkout_config``; empty: the checkout is not changed.
    checkout: Mapping[str, Any] = field(default_factory=dict)
    #: Whether the platform sends webhooks; ``None``: this is not changed.
    webhooks: bool | None = None
    #: The event types; ``("all",)`` for the whole catalogue; ``None``: the subscriptions are not changed.
    events: tuple[str, ...] | None = None
    #: Key path of the account in the file.
    path: str = "accounts[0]"


@dataclass(frozen=True)
class Wanted:
    """The wanted state that the whole file describes."""

    #: Options of ``create_client``.
    client: Mapping[str, Any]
    accounts: tuple[WantedAccount, ...]
    #: Scheme and host of the callback URLs.
    site: str = ""


def read_file(text: str) -> Wanted:
    """Return the wanted state that the file describes. Raises ``BadFile`` with all problems of the file."""
    if len(text) > LARGEST:
        raise BadFile(f"The file is larger than {LARGEST // 1024} KB.")
    try:
        given = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadFile(f"no TOML: {error}.") from None
    except RecursionError:
        raise BadFile("The file is nested too deeply.") from None
    serializer = FileSerializer(data=given)
    problems = [] if serializer.is_valid() else list(_problems(serializer.errors))
    problems += _conflicts(given)
    if problems:
        raise BadFile(problems=tuple(problems))
    found = serializer.validated_data
    accounts = tuple(_account(number, each) for number, each in enumerate(found.get("accounts", [])))
    return Wanted(dict(found["client"]), accounts, (found.get("site") or public_url()).rstrip("/"))


def _account(number: int, found: Mapping[str, Any]) -> WantedAccount:
    chosen = {CENTS.get(name, name): value for name, value in found.items() if name not in ("checkout", "webhooks")}
    webhooks = found.get("webhooks", {})
    return WantedAccount(
        name=chosen["name"],
        options=chosen,
        checkout=dict(found.get("checkout", {})),
        webhooks=webhooks.get("enabled"),
        events=webhooks.get("events"),
        path=f"accounts[{number}]",
    )


# -- rules: each returns the value for our options, or raises ``OperationRefused`` -----------------------------


def _text(name: str, value: Any) -> str:
    is_text(name, value)
    options.check_length(**{name: value})
    refuse_cards(**{name: value})
    return str(value)


def _number_text(name: str, value: Any) -> str:
    """Check a merchant's number. It may look like a card number, so card numbers are not refused here."""
    if isinstance(value, int) and not isinstance(value, bool):
        raise OperationRefused(f'{name} must be a text: "{value}".')
    is_text(name, value)
    options.check_length(**{name: value})
    return str(value)


def _message(name: str, value: Any) -> str:
    if isinstance(value, str) and "\n" in value:
        raise OperationRefused(f"{name} must be one line; use HTML for line breaks.")
    is_text(name, value)
    refuse_cards(**{name: value})
    cleaned = clean_message(str(value))
    if value and not cleaned:
        raise OperationRefused(f"{name} contains no text that can be shown on a page.")
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


def _events(name: str, value: Any) -> tuple[str, ...]:
    if value == ALL:
        return (ALL,)
    if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
        raise OperationRefused(f'{name} must be "{ALL}" or a list of event types.')
    return tuple(value)


_flag = _checked(is_flag)


# -- serializers: one per table of the file --------------------------------------------------------------------


class RuleField(serializers.Field):
    """A field that is checked by a rule function. If one item of a list is wrong, the error contains its index."""

    def __init__(self, rule: Rule, **options: Any) -> None:
        super().__init__(**options)
        self.rule = rule

    def to_internal_value(self, data: Any) -> Any:
        try:
            return self.rule(self.field_name, data)
        except OperationRefused as refused:
            index = self._wrong_item(data)
            raise serializers.ValidationError(
                [refused.message] if index is None else {index: [refused.message]}
            ) from None

    def _wrong_item(self, data: Any) -> int | None:
        for index, item in enumerate(data if isinstance(data, list) else ()):
            try:
                self.rule(self.field_name, [item])
            except OperationRefused:
                return index
        return None


class TableSerializer(serializers.Serializer):
    """Base of the serializers of tables. An unknown key is an error."""

    #: Name of the table in error messages.
    table = ""

    def get_fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = super().get_fields()
        for name, each in fields.items():
            each.error_messages["required"] = f"{self.table} has no {name}."
            if isinstance(each, serializers.ListSerializer):
                each.error_messages["not_a_list"] = f"{name} must be tables: [[{name}]]."
                each.child.error_messages["invalid"] = each.error_messages["not_a_list"]
            else:
                each.error_messages["invalid"] = f"{name} must be a table."
        return fields

    def to_internal_value(self, data: Any) -> Any:
        names = data if isinstance(data, dict) else ()
        unknown = {name: [self._unknown(name)] for name in names if name not in self.fields}
        try:
            found = super().to_internal_value(data)
        except serializers.ValidationError as error:
            raise serializers.ValidationError({**error.detail, **unknown}) from None
        if unknown:
            raise serializers.ValidationError(unknown)
        return found

    def _unknown(self, name: str) -> str:
        near = get_close_matches(name, self.fields, n=1, cutoff=0.5)
        hint = f" Did you mean {near[0]!r}?" if near else f" Known: {', '.join(self.fields)}."
        return f"{self.table} has no key {name!r}.{hint}"


class ClientTableSerializer(TableSerializer):
    table = "client"

    name = RuleField(_text)
    customer_id = RuleField(_text, required=False)
    timezone = RuleField(_text, required=False)
    subdomain = RuleField(_text, required=False)


class CheckoutTableSerializer(TableSerializer):
    table = "accounts.checkout"

    allowed_origins = RuleField(_checked(options.check_origins), required=False)
    display_name = RuleField(_text, required=False)
    logo_url = RuleField(_checked(is_address), required=False)
    accent_color = RuleField(_checked(is_color), required=False)
    page_message = RuleField(_message, required=False)


class WebhooksTableSerializer(TableSerializer):
    table = "accounts.webhooks"

    enabled = RuleField(_flag)
    events = RuleField(_events, required=False)


class AccountTableSerializer(TableSerializer):
    table = "accounts"

    name = RuleField(_text)
    processor = RuleField(_text)
    external_account_id = RuleField(_number_text)
    external_merchant_id = RuleField(_number_text)
    active = RuleField(_flag, required=False)
    enable_ach = RuleField(_flag, required=False)
    enable_credit_card = RuleField(_flag, required=False)
    minimum_payment_dollars = RuleField(_dollars, required=False)
    maximum_payment_dollars = RuleField(_dollars, required=False)
    checkout = CheckoutTableSerializer(required=False)
    webhooks = WebhooksTableSerializer(required=False)


class FileSerializer(TableSerializer):
    table = "the file"

    site = RuleField(_checked(options.check_site), required=False)
    client = ClientTableSerializer()
    accounts = AccountTableSerializer(many=True, required=False)


def _problems(errors: Any, path: str = "") -> Iterator[ProvisionProblem]:
    """Yield the serializer's errors with their key paths."""
    if isinstance(errors, list) and all(isinstance(error, str) for error in errors):
        yield from (ProvisionProblem(path, str(error)) for error in errors)
        return
    for name, nested in enumerate(errors) if isinstance(errors, list) else errors.items():
        yield from _problems(nested, path if name == api_settings.NON_FIELD_ERRORS_KEY else _key_path(path, name))


def _key_path(path: str, name: str | int) -> str:
    if isinstance(name, int):
        return f"{path}[{name}]"
    shown = name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name)
    return f"{path}.{shown}" if path else shown


def _conflicts(given: Mapping[str, Any]) -> Iterator[ProvisionProblem]:
    """Yield a problem for each contradiction. The unchecked values are compared, so that other errors hide none."""
    tables = given.get("accounts")
    first: dict[tuple[str, ...], str] = {}
    for number, account in enumerate(tables if isinstance(tables, list) else ()):
        if not isinstance(account, dict):
            continue
        path = f"accounts[{number}]"
        least, most = (_cents(account.get(name)) for name in CENTS)
        if least is not None and most is not None and least > most:
            name = "minimum_payment_dollars"
            yield ProvisionProblem(f"{path}.{name}", f"{name} exceeds maximum_payment_dollars.")
        ids = tuple(value for name in EXTERNAL if isinstance(value := account.get(name), str) and value)
        other = first.setdefault(ids, path)
        if len(ids) == len(EXTERNAL) and other != path:
            yield ProvisionProblem(f"{path}.{EXTERNAL[0]}", f"{other} has the same external ids.")
        webhooks = account.get("webhooks")
        if isinstance(webhooks, dict) and webhooks.get("enabled") is True and not (given.get("site") or public_url()):
            text = "webhooks need the address of this site: site = … on top, or PUBLIC_URL in the settings."
            yield ProvisionProblem(f"{path}.webhooks", text)


def _cents(value: Any) -> int | None:
    try:
        return _dollars("", value)
    except OperationRefused:
        return None
