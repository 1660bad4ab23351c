"""The access token, and the checks of the token endpoint's answer (faults T3)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from govpay.client.errors import explain, parse_json
from govpay.client.types import HEADER_SAFE, RawAnswer
from govpay.exceptions import APIError, AuthenticationError, InvalidAnswer, RateLimited, ServerError

log = logging.getLogger("govpay.client")

#: Lifetime in seconds of a token whose answer has no ``expires_in``, which RFC 6749 only recommends.
DEFAULT_LIFETIME = 300.0
#: Maximum lifetime in seconds. A longer one is a mistake of the endpoint, such as milliseconds or a date.
MAX_LIFETIME = 366 * 86400.0


@dataclass(frozen=True, slots=True)
class Token:
    """One access token. Times are wall-clock epoch seconds, valid for all processes. ``repr`` hides the token."""

    access_token: str = field(repr=False)
    expires_at: float
    expires_in: float
    fetched_at: float

    def margin(self, wanted: float) -> float:
        """Return the number of seconds before its expiry at which this token should be replaced.

        This is ``wanted``. If the lifetime is shorter than twice ``wanted``, it is a tenth of the lifetime, so that a
        short-lived token is used for most of its lifetime.
        """
        return wanted if self.expires_in >= 2 * wanted else self.expires_in / 10


def read_token(raw: RawAnswer, now: float, known: tuple[str, ...] = ()) -> Token:
    """Return the token in an answer of the token endpoint. ``now``: the wall clock at the time of the request.

    /platform/overview/: ``access_token``, ``expires_in`` (seconds), ``token_type`` ``Bearer``. ``expires_in`` may be a
    number or a number as text; without it the lifetime is ``DEFAULT_LIFETIME``. Raises ``AuthenticationError`` for
    refused credentials, ``RateLimited``, ``ServerError``, and ``InvalidAnswer`` for an invalid success.
    """
    if raw.status != 200:
        raise _refusal(raw, known)
    try:
        document = parse_json(raw.body)
    except ValueError:
        raise _invalid("it is not JSON") from None
    if not isinstance(document, Mapping):
        raise _invalid("it is not an object")
    access_token, kind = document.get("access_token"), document.get("token_type")
    if not isinstance(access_token, str) or not HEADER_SAFE.fullmatch(access_token):
        raise _invalid("access_token is missing or is not allowed in a header")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise _invalid("token_type is not Bearer")
    lifetime = _lifetime(document.get("expires_in"))
    return Token(access_token, now + lifetime, lifetime, now)


def _lifetime(expires_in: object) -> float:
    """Return ``expires_in`` as a number of seconds. Raises ``InvalidAnswer``."""
    if expires_in is None:
        _warn_of_missing_lifetime()
        return DEFAULT_LIFETIME
    if isinstance(expires_in, bool) or not isinstance(expires_in, int | float | str):
        raise _invalid("expires_in is not a number")
    try:
        seconds = float(expires_in)
    except ValueError:
        raise _invalid("expires_in is not a number") from None
    except OverflowError:
        raise _invalid("expires_in is out of range") from None
    if not 1 <= seconds <= MAX_LIFETIME:  # NaN fails this too
        raise _invalid("expires_in is out of range")
    return seconds


@cache
def _warn_of_missing_lifetime() -> None:
    """Log once in each process: the endpoint answers each request in the same way."""
    log.warning(
        "the token endpoint's answer has no expires_in; each token is used for %d minutes", DEFAULT_LIFETIME // 60
    )


def _invalid(why: str) -> InvalidAnswer:
    return InvalidAnswer(f"The token endpoint's answer is refused: {why}.", status=200)


def _refusal(raw: RawAnswer, known: tuple[str, ...]) -> APIError:
    said = explain(raw.body, raw.headers.get("x-request-id", ""), known)
    context: dict[str, Any] = {"status": raw.status, "code": said.code, "request_id": said.request_id}
    if raw.status in (400, 401, 403):
        if said.code in ("invalid_scope",):
            return AuthenticationError('The token endpoint refused GOVPAY["SCOPE"].', **context)
        if raw.status == 401 or said.code in ("invalid_client", "unauthorized_client", ""):
            return AuthenticationError(
                'The token endpoint refused the credentials: GOVPAY["CLIENT_ID"] or GOVPAY["CLIENT_SECRET"] is wrong.',
                **context,
            )
        return AuthenticationError(f"The token endpoint refused the request: {said.code}.", **context)
    if raw.status == 429:
        return RateLimited("The token endpoint says: too many requests.", **context)
    if raw.status >= 500 or raw.status == 408:
        return ServerError(f"The token endpoint answered {raw.status}.", **context)
    return AuthenticationError(
        f'The token endpoint answered {raw.status}: GOVPAY["TOKEN_URL"] is probably wrong.', **context
    )
