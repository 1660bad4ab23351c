"""List endpoints: the OData options, the three envelopes (A1), and links to the next page by keyset (A2)."""

from __future__ import annotations

import base64
import json
import sqlite3
from typing import Any
from urllib.parse import quote, urlencode

from govpay.sandbox.answers import Answer
from govpay.sandbox.api.filters import Condition, order_terms, ordered
from govpay.sandbox.calls import Call
from govpay.sandbox.errors import malformed
from govpay.sandbox.kinds import KINDS, Kind
from govpay.sandbox.store import dump

OPTIONS = {"$filter", "$orderby", "$top", "$skip", "$count", "$skiptoken"}


def wrap(call: Call, documents: list[str], extra: dict[str, Any] | None = None) -> Answer:
    """Put encoded documents into the configured envelope."""
    rows = "[" + ",".join(documents) + "]"
    match call.platform.settings.envelope:
        case "odata":
            more = "".join(f",{json.dumps(name)}:{dump(value)}" for name, value in (extra or {}).items())
            return Answer(200, text=f'{{"value":{rows}{more}}}')
        case "items":
            return Answer(200, text=f'{{"items":{rows}}}')
    return Answer(200, text=rows)


def list_page(call: Call, kind_name: str) -> Answer:
    """Return one page of a kind. If objects of this kind belong to accounts, only those of the call's account."""
    kind = KINDS[kind_name]
    options = _options(call)
    where, params = _conditions(call, kind, options)
    table = call.platform.store.table(kind_name)
    terms = order_terms(options.get("$orderby", ""), kind.properties)
    columns = [ordered(name, kind.properties) for name, _ in terms]
    counted = _count(call, table, where, params) if options.get("$count") == "true" else None
    if "$skiptoken" in options:
        condition_sql, values = _beyond(columns, [up for _, up in terms], _open_token(options["$skiptoken"], terms))
        where.append(condition_sql)
        params += values
    top = _whole(options, "$top")
    limit = min((cap for cap in (top, call.page_cap, call.platform.settings.page_cap) if cap is not None), default=None)
    skip = _whole(options, "$skip") or 0
    order = ", ".join(f"{column} {'ASC' if up else 'DESC'}" for column, (_, up) in zip(columns, terms, strict=True))
    rows = _run(
        call,
        f"SELECT doc, {', '.join(columns)} FROM {table} WHERE {' AND '.join(where) or '1'}"
        f" ORDER BY {order} LIMIT {-1 if limit is None else limit + 1} OFFSET {skip}",
        params,
    )
    page = rows if limit is None else rows[:limit]
    extra: dict[str, Any] = {}
    if counted is not None:
        extra["@odata.count"] = counted
    if len(rows) > len(page) > 0 and call.platform.settings.envelope == "odata":
        link = _next_link(call, options, top, len(page), list(page[-1][1:]))
        extra.update({"@odata.nextLink": link} if link else {})
    return wrap(call, [row[0] for row in page], extra)


def _conditions(call: Call, kind: Kind, options: dict[str, str]) -> tuple[list[str], list[Any]]:
    """Return the SQL conditions for the account and for `$filter`, and their parameters."""
    where: list[str] = ["account_uid = ?"] if kind.account_scoped else []
    params: list[Any] = [call.account_uid] if kind.account_scoped else []
    if "$filter" in options:
        condition = Condition(options["$filter"], kind.properties)
        where.append(condition.sql)
        params += condition.params
    return where, params


def _options(call: Call) -> dict[str, str]:
    """Return the query options. Unknown and repeated options are refused with 400."""
    options: dict[str, str] = {}
    for name, values in call.query.items():
        if name not in OPTIONS or call.no_options:
            malformed(f"Unsupported query option {name}.")
        if len(values) != 1 or not values[0].strip():
            malformed(f"Query option {name} must be given once, with a value.")
        options[name] = values[0]
    if options.get("$count", "true") not in ("true", "false"):
        malformed("$count must be true or false.")
    return options


def _whole(options: dict[str, str], name: str) -> int | None:
    if name not in options:
        return None
    text = options[name].strip()
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        malformed(f"{name} must be a whole number.")
    return int(text)


def _run(call: Call, sql: str, params: list[Any]) -> list[Any]:
    try:
        return call.platform.store.execute(sql, params)
    except sqlite3.OperationalError:
        # The only possible error here is SQLite's limit on the size of an expression.
        malformed("$filter is too complex.")


def _count(call: Call, table: str, where: list[str], params: list[Any]) -> int:
    return int(_run(call, f"SELECT count(*) FROM {table} WHERE {' AND '.join(where) or '1'}", params)[0][0])


def _beyond(columns: list[str], ascending: list[bool], values: list[Any]) -> tuple[str, list[Any]]:
    """Return the SQL condition for rows after `values` in the order, and its parameters.

    It is one row-value comparison if all terms have the same direction.
    """
    if len(set(ascending)) == 1:
        marks = ", ".join("?" * len(values))
        return f"({', '.join(columns)}) {'>' if ascending[0] else '<'} ({marks})", values
    branches, params = [], []
    for index, (column, up) in enumerate(zip(columns, ascending, strict=True)):
        equal = "".join(f"{earlier} = ? AND " for earlier in columns[:index])
        branches.append(f"({equal}{column} {'>' if up else '<'} ?)")
        params += values[: index + 1]
    return f"({' OR '.join(branches)})", params


def _open_token(token: str, terms: list[tuple[str, bool]]) -> list[Any]:
    try:
        values = json.loads(base64.urlsafe_b64decode(token.encode("ascii")))
        plain = isinstance(values, list) and all(isinstance(value, (str, int, float)) for value in values)
        if plain and len(values) == len(terms):
            return list(values)
    except ValueError:
        pass
    malformed("$skiptoken is not one of ours.")


def _next_link(call: Call, options: dict[str, str], top: int | None, served: int, last: list[Any]) -> str | None:
    """An absolute address at our own origin, or None when the platform's style has no link here."""
    style = call.platform.settings.next_links
    if style == "never":
        return None
    following = {name: value for name, value in options.items() if name not in ("$skip", "$skiptoken")}
    if style == "until_top" and top is not None:
        if top <= served:
            return None
        following["$top"] = str(top - served)
    following["$skiptoken"] = base64.urlsafe_b64encode(dump(last).encode()).decode("ascii")
    return f"{call.origin}{call.path}?{urlencode(following, safe='$', quote_via=quote)}"
