"""All exceptions of govpay, grouped by the reaction that they require of the caller.

    GovPayError
    ├── ConfigurationError          fix the settings
    ├── EncryptionError             a stored value cannot be read with the configured keys
    ├── SignatureError              a webhook that the platform did not sign, or signed too long ago
    ├── OperationRefused            our own rules refused it before any request; show the text
    │   ├── OperationInProgress     an action is still running; try again later
    │   ├── OperationsHeld          after a restore from a backup; try again once every list was read
    │   └── KeyReused               the key belongs to another action
    ├── SyncBusy                    another worker holds the list; let it finish
    ├── OutcomeUnknown              a write was sent and no usable answer came back: reconcile, never retry
    └── APIError                    the platform refused the request or could not be reached
        ├── APIConnectionError      the request never arrived, so a retry is safe
        ├── AuthenticationError     401, 403, or the token endpoint refused us
        ├── PaymentDeclined         402, with the platform's message
        ├── InvalidRequest          400, 422
        ├── NotFound                404, 405
        ├── Conflict                409
        ├── Gone                    410
        ├── RateLimited             429, with the wait in seconds
        ├── ServerError             5xx on a read, after the retries
        └── InvalidAnswer           the answer to a read is not as documented

``OutcomeUnknown`` is not a subclass of ``APIError``, so that no retry rule for ``APIError`` catches it.
The message is the first argument. All other arguments are keyword-only with a default, so every error can be
pickled on its way through a task queue. No error contains a body, a token or card data.
Status numbers: assumption A24; codes: /api/operations/v1hosted-sessionssessionidchallengesend/.
"""

from __future__ import annotations

from typing import Any


class GovPayError(Exception):
    """Base class of all errors here. ``str()`` is one line that may be shown to staff."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        return self.message

    @property
    def record(self) -> str:
        """The text, with the platform's request id on a second line: for a record that has no column for the id."""
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), dict(self.__dict__))


def _rebuild(kind: type[GovPayError], state: dict[str, Any]) -> GovPayError:
    error = kind(state.get("message", ""))
    error.__dict__.update(state)
    return error


class ConfigurationError(GovPayError):
    """A setting is missing or wrong. The text names the setting and says what to do."""


class EncryptionError(GovPayError):
    """A stored secret cannot be read with any of ``ENCRYPTION_KEYS``."""


class SignatureError(GovPayError):
    """A webhook delivery that the platform did not sign, or signed too long ago.

    ``reason``: ``signature`` (missing or wrong), ``stale`` (correct, but too old or from the future) or
    ``body`` (correctly signed, but not a delivery).
    """

    def __init__(self, message: str = "", *, reason: str = "signature") -> None:
        super().__init__(message)
        self.reason = reason


class OperationRefused(GovPayError):
    """Our own rules refused the operation before a request was sent. The text is for staff.

    ``field`` names the wrong argument, if there is one. A dot separates the name of a part: ``payment_method.credit``.
    """

    def __init__(self, message: str = "", *, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class OperationInProgress(OperationRefused):
    """The same action, or another one on the same object, is running now. Try again in a moment."""


class OperationsHeld(OperationRefused):
    """After a restore, operations are refused until every list was read in full. Retry later with the same key."""


class KeyReused(OperationRefused):
    """The key belongs to another action, or to the same action with other arguments."""


class SyncBusy(GovPayError):
    """Another live worker holds the lease on this (account, resource)."""


class _FromPlatform(GovPayError):
    """Base class of errors that concern one call. ``request_id`` and ``code`` are the platform's, not in the text."""

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

    @property
    def record(self) -> str:
        return f"{self.message}\nRequest ID: {self.request_id}" if self.request_id else self.message


class OutcomeUnknown(_FromPlatform):
    """A write was sent and no usable answer came back. Look up its outcome; never send it again."""

    def __init__(self, message: str = "", *, operation_key: str = "", **context: Any) -> None:
        super().__init__(message, **context)
        self.operation_key = operation_key


class APIError(_FromPlatform):
    """The platform refused the request, or could not be reached."""


class APIConnectionError(APIError):
    """The request never reached the platform (refused, unresolved, timed out before sending)."""


class AuthenticationError(APIError):
    """The token endpoint refused the credentials, or the platform refused the token or its scope."""


class PaymentDeclined(APIError):
    """The payer's bank declined. ``code`` and ``message`` are the platform's."""


class InvalidRequest(APIError):
    """The platform refused the form (400) or a value (422) of the request."""


class NotFound(APIError):
    """There is no such object for this account, or (405) no such route."""


class Conflict(APIError):
    """The state of the object does not allow this (409)."""


class Gone(APIError):
    """The object has expired (410)."""


class RateLimited(APIError):
    """Too many requests. ``retry_after`` is the wait in seconds that the platform asked for."""

    def __init__(self, message: str = "", *, retry_after: float | None = None, **context: Any) -> None:
        super().__init__(message, **context)
        self.retry_after = retry_after


class ServerError(APIError):
    """The platform answered a read with 5xx, also on every retry."""


class InvalidAnswer(APIError):
    """The answer to a read is not as documented: not JSON, cut short, or of a wrong type."""
