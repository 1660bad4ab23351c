"""Masks tokens, credentials and card numbers in log lines and error texts."""

from __future__ import annotations

import re

#: Each pattern starts only at the start of a word, so that no text makes it slow. The order matters: the header form
#: comes first, because it also covers the token after the scheme name.
_SECRETS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=\-]{6,}"), r"\1 ***"),
    (re.compile(r"(?<![A-Za-z0-9_\-])eyJ[A-Za-z0-9_\-]{4,}(?:\.[A-Za-z0-9_\-]*){1,4}"), "***"),
    (re.compile(r"(?<![A-Za-z0-9_])cs_[A-Za-z0-9_]{0,200}?secret[A-Za-z0-9_]*"), "cs_***"),
    (re.compile(r"(?<![\dA-Za-z])\d(?:[ \-]?\d){12,24}(?!\d)"), "***"),
)
_TAGS = re.compile(r"<[^<>]{0,200}>")

MAX_WORDS = 200
_EDGE = 64  # characters dropped before the cut of a huge text, because they may be a part of a secret


def mask(text: str, known: tuple[str, ...] = ()) -> str:
    """Return ``text`` with bearer tokens, JWTs, session credentials, card-like numbers and ``known`` masked.

    ``known`` are the exact secrets of this call. They are masked first, because no pattern can recognize an opaque
    token.
    """
    for secret in known:
        if len(secret) >= 4:
            text = text.replace(secret, "***")
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


def _printable(text: str) -> str:
    """Return ``text`` with a space for each character that Python calls unprintable.

    These are control characters, unpaired surrogates, marks that reverse the reading direction, and code points
    without a character.
    """
    return text if text.isprintable() else "".join(each if each.isprintable() else " " for each in text)


def one_line(text: str, limit: int = MAX_WORDS, known: tuple[str, ...] = ()) -> str:
    """Return ``text`` masked, on one printable line, at most ``limit`` characters (A23).

    It is masked before it is cut, so that no part of a secret is left at the end. Only the first part of a huge text is
    used.
    """
    cut = text[: limit * 20]
    window = _TAGS.sub(" ", cut) if "<" in cut else cut
    line = mask(" ".join(_printable(window).split()), known)
    if len(text) > len(cut):
        line = line[:-_EDGE]
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"
