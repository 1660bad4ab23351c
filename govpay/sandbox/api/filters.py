"""Translates `$filter` and `$orderby` to SQL: OData 4 comparisons of the known properties of one kind (A4)."""

from __future__ import annotations

import re
from datetime import UTC
from typing import Any

from odata_query import ast
from odata_query.exceptions import ODataException
from odata_query.grammar import ODataLexer, ODataParser

from govpay.sandbox.clock import iso
from govpay.sandbox.errors import malformed
from govpay.sandbox.kinds import NUMBER, TEXT, WHOLE, YES_NO

_ORDERING = {ast.Gt: ">", ast.GtE: ">=", ast.Lt: "<", ast.LtE: "<="}
_MIRRORED = {ast.Gt: ast.Lt, ast.GtE: ast.LtE, ast.Lt: ast.Gt, ast.LtE: ast.GtE}
_LITERALS = (ast.String, ast.Integer, ast.Float, ast.Boolean, ast.DateTime, ast.Date, ast.Null, ast.GUID)
# Never null in any document, so ordering by them needs no replacement for null.
_ALWAYS_SET = {"uid", "created_at", "updated_at"}


class Condition:
    """One `$filter` as an SQL condition with bound parameters. Unknown properties and operators are refused (400)."""

    def __init__(self, text: str, properties: dict[str, str]) -> None:
        self._properties = properties
        self.params: list[Any] = []
        try:
            self.sql = self._predicate(ODataParser().parse(ODataLexer().tokenize(text.strip())))
        except (ODataException, RecursionError, AttributeError, TypeError):
            # The grammar raises the last two for some broken inputs.
            malformed("$filter is not supported or not well formed.")

    def _predicate(self, node: Any) -> str:
        match node:
            case ast.BoolOp(op=ast.Or()):
                return self._after(node) or f"({self._predicate(node.left)} OR {self._predicate(node.right)})"
            case ast.BoolOp(op=ast.And()):
                return f"({self._predicate(node.left)} AND {self._predicate(node.right)})"
            case ast.UnaryOp(op=ast.Not()):
                # A comparison with null is false in OData, so its negation is true.
                return f"NOT coalesce({self._predicate(node.operand)}, 0)"
            case ast.Compare():
                return self._comparison(node)
            case ast.Call(func=ast.Identifier(name=name, namespace=()), args=[ast.Identifier() as column, wanted]):
                return self._text_test(name, column, wanted)
            case ast.Identifier() if self._type_of(node) == YES_NO:
                return f"{node.name} = 1"
            case ast.Boolean():
                return "1" if node.py_val else "0"
        malformed("$filter uses an unsupported expression.")

    def _after(self, node: ast.BoolOp) -> str:
        """Translate `(a gt x) or (a eq x and b gt y)` to one row-value comparison, for which SQLite can use an index.

        Returns an empty text for any other expression.
        """
        for first, second in ((node.left, node.right), (node.right, node.left)):
            match first, second:
                case (
                    ast.Compare(comparator=ast.Gt(), left=ast.Identifier() as a, right=bound),
                    ast.BoolOp(
                        op=ast.And(),
                        left=ast.Compare(comparator=ast.Eq(), left=ast.Identifier() as also_a, right=also_bound),
                        right=ast.Compare(comparator=ast.Gt(), left=ast.Identifier() as b, right=rest),
                    ),
                ) if a == also_a and bound == also_bound and {a.name, b.name} <= _ALWAYS_SET:
                    self.params += [self._value(a, bound), self._value(b, rest)]
                    return f"({a.name}, {b.name}) > (?, ?)"
        return ""

    def _comparison(self, node: ast.Compare) -> str:
        operator, column, literal = type(node.comparator), node.left, node.right
        if isinstance(column, _LITERALS) and isinstance(literal, ast.Identifier):
            operator, column, literal = _MIRRORED.get(operator, operator), literal, column
        if not isinstance(column, ast.Identifier):
            malformed("$filter compares something that is not a property.")
        kind = self._type_of(column)
        if isinstance(literal, ast.Null) and operator in (ast.Eq, ast.NotEq):
            return f"{column.name} IS {'NOT ' if operator is ast.NotEq else ''}NULL"
        sql = {ast.Eq: "=", ast.NotEq: "IS NOT"}.get(operator)
        if sql is None and kind != YES_NO:
            sql = _ORDERING.get(operator)
        if sql is None:
            malformed(f"$filter uses an unsupported operator on {column.name}.")
        self.params.append(self._value(column, literal))
        return f"{column.name} {sql} ?"

    def _text_test(self, name: str, column: ast.Identifier, wanted: Any) -> str:
        tests = {
            "contains": "instr({0}, ?) > 0",
            "startswith": "substr({0}, 1, length(?)) = ?",
            "endswith": "length({0}) >= length(?) AND substr({0}, length({0}) - length(?) + 1) = ?",
        }
        if name not in tests or self._type_of(column) != TEXT or not isinstance(wanted, ast.String):
            malformed(f"$filter uses an unsupported function: {name}.")
        self.params += [wanted.val] * tests[name].count("?")
        return f"({tests[name].format(column.name)})"

    def _type_of(self, column: ast.Identifier) -> str:
        if column.namespace or column.name not in self._properties:
            malformed(f"$filter names an unknown property: {column.full_name()}.")
        return self._properties[column.name]

    def _value(self, column: ast.Identifier, literal: Any) -> Any:
        """Return the literal as an SQL parameter. Raises a 400 `Refusal` if its type is not that of the property."""
        match self._type_of(column), literal:
            case "text", ast.String(val=value):
                return value
            case "whole" | "number", ast.Integer():
                if abs(literal.py_val) < 2**63:
                    return literal.py_val
            case "whole" | "number", ast.Float():
                return literal.py_val
            case "yes_no", ast.Boolean():
                return int(literal.py_val)
            case "moment", ast.DateTime():
                return _instant(literal)
        malformed(f"$filter compares {column.name} with a value of another type.")


def _instant(literal: ast.DateTime) -> str:
    try:
        moment = literal.py_val
        if moment.tzinfo is not None:
            return iso(moment.astimezone(UTC))
    except (ValueError, OverflowError):
        pass
    malformed("$filter holds a date and time that is not valid, or that has no offset.")


def order_terms(text: str, properties: dict[str, str]) -> list[tuple[str, bool]]:
    """Return the terms of `$orderby` as (column, ascending). `uid` is added, so that the order is unambiguous."""
    terms: list[tuple[str, bool]] = []
    for term in text.split(",") if text else []:
        found = re.fullmatch(r"\s*(\w+)(?:\s+(asc|desc))?\s*", term)
        if not found or found[1] not in properties or found[1] in [name for name, _ in terms]:
            malformed("$orderby is not well formed or names an unknown property.")
        terms.append((found[1], found[2] != "desc"))
    if "uid" not in [name for name, _ in terms]:
        terms.append(("uid", True))
    return terms


def ordered(name: str, properties: dict[str, str]) -> str:
    """Return the SQL of one order term. Null comes before every value, as OData defines it."""
    if name in _ALWAYS_SET:
        return name
    return f"coalesce({name}, {'-1e300' if properties[name] in (WHOLE, NUMBER, YES_NO) else repr('')})"
