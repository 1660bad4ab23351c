"""Every error that govpay raises, sorted by what the caller may do about it.

    GovPayError
    ├── ConfigurationError          fix the settings
    ├── EncryptionError             a stored value cannot be read with the configured keys
    ├── SignatureError              a webhook that is not the platform's
    ├── OperationRefused            our own rule said no before any HTTP; show the text
    │   ├── OperationInProgress     an action is still running; ask again later
    │   ├── OperationsHeld          after a restore from a backup; ask again once everything was read
    │   └── KeyReused               the key belongs to another action
    ├── SyncBusy                    another worker holds the list; let it finish
    ├── OutcomeUnknown              a write was sent and no usable answer came: reconcile, never repeat
    └── APIError                    the platform (or the way to it) said no
        ├── APIConnectionError      it never arrived, so repeating is safe
        ├── AuthenticationError     401, 403, or the token endpoint refused us
        ├── PaymentDeclined         402, in the platform's words
        ├── InvalidRequest          400, 422
        ├── NotFound                404, 405
        ├── Conflict                409
        ├── Gone                    410
        ├── RateLimited             429, with the wait in seconds
        ├── ServerError             5xx on a read, after the retries
        └── InvalidAnswer           a read whose answer was not what the documents promise

``OutcomeUnknown`` is a sibling of ``APIError`` so that no retry rule for the latter catches it.
The message comes first and everything else is keyword-only with a default, so every error
survives pickling on its way through a task queue. No error carries a body, a token or card data.
Status numbers: assumption A24; codes: /api/operations/v1hosted-sessionssessionidchallengesend/.
"""

from __future__ import annotations

from typing import Any


class GovPayError(Exception):
    """The root. ``str()`` is one line that may be shown to staff."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), dict(self.__dict__))


def _rebuild(kind: type[GovPayError], state: dict[str, Any]) -> GovPayError:
    error = kind(state.get("message", ""))
    error.__dict__.update(state)
    return error


class ConfigurationError(GovPayError):
    """A setting is missing or wrong; the text names the setting and the cure."""


class EncryptionError(GovPayError):
    """A stored secret cannot be read with any of ``ENCRYPTION_KEYS``."""


class SignatureError(GovPayError):
    """A webhook delivery that the platform did not sign, or signed too long ago.

    ``reason``: ``signature`` (missing or wrong), ``stale`` (right, but too old or from the future) or
    ``body`` (what was signed is no delivery).
    """

    def __init__(self, message: str = "", *, reason: str = "signature") -> None:
        super().__init__(message)
        self.reason = reason


class OperationRefused(GovPayError):
    """Our own rules refused before anything was sent; the text is meant for staff.

    ``field`` names the argument that is wrong, where it is one, with dots for what is within it.
    """

    def __init__(self, message: str = "", *, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class OperationInProgress(OperationRefused):
    """The same action, or another one on the same object, is being carried out right now: ask again in a moment."""


class OperationsHeld(OperationRefused):
    """Nothing is sent after a restore from a backup until every list was read again: repeat it with the same key."""


class KeyReused(OperationRefused):
    """The key stands for another action, or for the same one with other arguments."""


class SyncBusy(GovPayError):
    """Another live worker holds the lease on this (account, resource)."""


class _FromPlatform(GovPayError):
    """What every error that concerns one call carries. The text leads with the request id."""

    def __init__(
        self,
        message: str = "",
        *,
        status: int | None = None,
        code: str = "",
        request_id: str = "",
        recoverable: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.request_id = request_id
        self.recoverable = recoverable

    def __str__(self) -> str:
        return f"[{self.request_id}] {self.message}" if self.request_id else self.message


class OutcomeUnknown(_FromPlatform):
    """A write left this machine and no usable answer came back. Look it up; never send it again."""

    def __init__(self, message: str = "", *, operation_key: str = "", **context: Any) -> None:
        super().__init__(message, **context)
        self.operation_key = operation_key


class APIError(_FromPlatform):
    """The platform refused, or could not be reached."""


class APIConnectionError(APIError):
    """The request never reached the platform (refused, unresolved, timed out before sending)."""


class AuthenticationError(APIError):
    """The token endpoint refused the credentials, or the platform the token or its scope."""


class PaymentDeclined(APIError):
    """The payer's bank said no. ``code`` is the platform's, ``message`` its words."""


class InvalidRequest(APIError):
    """The platform refused the shape (400) or a value (422) of the request."""


class NotFound(APIError):
    """No such object for this account, or (405) no such route."""


class Conflict(APIError):
    """The object is not in a state that allows this (409)."""


class Gone(APIError):
    """Expired (410)."""


class RateLimited(APIError):
    """Too many requests. ``retry_after`` is the wait in seconds that the platform asked for."""

    def __init__(self, message: str = "", *, retry_after: float | None = None, **context: Any) -> None:
        super().__init__(message, **context)
        self.retry_after = retry_after


class ServerError(APIError):
    """The platform failed (5xx) on a read, and went on failing through the retries."""


class InvalidAnswer(APIError):
    """A read answered with something else than documented: not JSON, cut short, wrongly typed."""
