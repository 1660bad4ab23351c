"""Columns for the search: copies of names and references without case, accents and typographic variants."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models import F, Func, Lookup

from govpay.models.fields import UidField

if TYPE_CHECKING:
    AnyField = models.Field[Any, Any]
    TextLookup = Lookup[Any]
else:
    AnyField = models.Field
    TextLookup = Lookup

#: Maximum length of a folded text and of one word of a name. The indexes of PostgreSQL limit both.
FOLDED_LENGTH, WORD_LENGTH = 255, 64

#: Characters that are typed in several ways, and letters that Unicode does not decompose into a letter and an accent.
_SAME = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u02bc\u2032\u00b4`", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u00ab\u00bb", '"'),
        **{"ø": "o", "đ": "d", "ł": "l", "ħ": "h", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d"},
    }
)


def plain(text: str) -> str:
    """Return ``text`` with plain dashes and single spaces, and without invisible characters."""
    if text.isascii() and text.isprintable():
        return " ".join(text.split())
    return " ".join("".join(map(_plain_character, text)).split())


def _plain_character(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Pd" or character == "\N{MINUS SIGN}":
        return "-"
    if category[0] == "Z" or character in "\t\n\r":
        return " "
    # Control, format, surrogate and private characters show nothing.
    return "" if category[0] == "C" else character


def fold(text: str) -> str:
    """Return ``plain(text)`` in lower case and without accents, cut to ``FOLDED_LENGTH``. ``"José"`` → ``"jose"``."""
    if text.isascii():
        return plain(text).lower()[:FOLDED_LENGTH]
    apart = unicodedata.normalize("NFKD", plain(text).casefold().translate(_SAME))
    return plain("".join(each for each in apart if not unicodedata.combining(each)))[:FOLDED_LENGTH]


def name_words(text: str) -> list[str]:
    """Return the words of a name, folded. ``"Ann O'Brien-Ruiz"`` → ``["ann", "o", "brien", "ruiz", "obrien"]``."""
    folded = fold(text)
    words = re.findall(r"\w+", folded) + re.findall(r"\w+", folded.replace("'", ""))
    return list(dict.fromkeys(word[:WORD_LENGTH] for word in words))


class SearchColumn(AnyField):
    """Base of columns that are computed from the column ``source`` whenever a row is written."""

    def __init__(self, *args: Any, source: str = "", **kwargs: Any) -> None:
        kwargs |= {"blank": True, "default": "", "db_default": "", "editable": False}
        super().__init__(*args, **kwargs)
        self.source = source

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        return name, path, args, {**kwargs, "source": self.source}

    @staticmethod
    def computed(text: str) -> str:
        """Return the value of this column for a value of the source."""
        raise NotImplementedError

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        value = self.computed(getattr(model_instance, self.source) or "")
        setattr(model_instance, self.attname, value)
        return value


class FoldedField(SearchColumn, UidField):
    """The folded text of another column, searched as a whole or from its start (``StartsWith``)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"max_length": FOLDED_LENGTH, **kwargs})

    computed = staticmethod(fold)


class NameWordsField(SearchColumn, models.TextField):
    """The words of a name, each after a space, searched from the start of any word (``HasWords``)."""

    @staticmethod
    def computed(text: str) -> str:
        return "".join(f" {word}" for word in name_words(text))


class StartsWith(TextLookup):
    """Whether a column starts with a text. It is a range, which any database reads from an index.

    The column must be compared byte by byte: ``UidField``, or an index with ``varchar_pattern_ops``.
    """

    lookup_name = "govpay_starts_with"

    def __init__(self, column: str, text: str) -> None:
        super().__init__(F(column), text)

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        column, parameters = self.process_lhs(compiler, connection)
        low, high = ("~>=~", "~<~") if connection.vendor == "postgresql" else (">=", "<")
        if isinstance(self.lhs.output_field, UidField):
            low, high = ">=", "<"
        sql = f"({column} {low} %s AND {column} {high} %s)"
        return sql, [*parameters, self.rhs.value, *parameters, f"{self.rhs.value}\U0010ffff"]


class HasWords(TextLookup):
    """Whether a ``NameWordsField`` has, for each of ``words``, a word that starts with it."""

    lookup_name = "govpay_has_words"

    def __init__(self, column: str, words: list[str]) -> None:
        super().__init__(F(column), "\n".join(words))

    def as_postgresql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:
        column, parameters = compiler.compile(Words(self.lhs))
        # A word has only letters, digits and underscores, so it needs no escape inside the quotes.
        query = " & ".join(f"'{word}':*" for word in self.rhs.value.split("\n"))
        return f"{column} @@ %s::tsquery", [*parameters, query]

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        column, parameters = self.process_lhs(compiler, connection)
        words = [f" {word}" for word in self.rhs.value.split("\n")]
        sql = " AND ".join(f"instr({column}, %s) > 0" for _word in words)
        return f"({sql})", [value for word in words for value in (*parameters, word)]


class Words(Func):
    """The words of a ``NameWordsField`` as PostgreSQL's full-text type; elsewhere the column itself."""

    output_field = models.TextField()

    def as_postgresql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:
        column, parameters = compiler.compile(self.source_expressions[0])
        return f"array_to_tsvector(array_remove(string_to_array({column}, ' '), ''))", list(parameters)

    def as_sql(self, compiler: Any, connection: Any, *_arguments: Any, **_extra: Any) -> Any:
        return compiler.compile(self.source_expressions[0])


class WordIndex(models.Index):
    """The index for ``HasWords`` on ``column``: GIN on PostgreSQL.

    SQLite reads the whole of a plain index, which is smaller than the table. ``also``: columns that a search reads
    from this index there.
    """

    def __init__(self, column: str, *, name: str, also: tuple[str, ...] = ()) -> None:
        super().__init__(Words(column), name=name)
        self.column, self.also = column, tuple(also)

    def deconstruct(self) -> Any:
        path, _expressions, _kwargs = super().deconstruct()
        return path, (self.column,), {"name": self.name, "also": self.also}

    def clone(self) -> WordIndex:
        return type(self)(self.column, name=self.name, also=self.also)

    def create_sql(self, model: Any, schema_editor: Any, using: str = "", **kwargs: Any) -> Any:
        if schema_editor.connection.vendor == "postgresql":
            return super().create_sql(model, schema_editor, using=" USING gin", **kwargs)
        plain_index = models.Index(fields=[self.column, *self.also], name=self.name)
        return plain_index.create_sql(model, schema_editor, using, **kwargs)
