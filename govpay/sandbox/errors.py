"""`Refusal`, the exception for error responses, and functions that raise it."""

from __future__ import annotations

from typing import Any, NoReturn


class Refusal(Exception):
    """An error answer: a status number (A24) and the documented error object.

    `keep_changes`: the refusal commits its changes (a decline, an expiry).
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        recoverable: bool | None = None,
        headers: dict[str, str] | None = None,
        keep_changes: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.recoverable = recoverable
        self.headers = headers or {}
        self.keep_changes = keep_changes

    def body(self, request_id: str) -> dict[str, Any]:
        """Return the error object: `code`, `message`, `request_id`, and `recoverable` if set [challenge/send page]."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.recoverable is not None:
            error["recoverable"] = self.recoverable
        return {**error, "request_id": request_id}


def malformed(message: str) -> NoReturn:
    """Raise a 400: the request has a wrong shape (A24)."""
    raise Refusal(400, "validation_error", message)


def invalid(message: str) -> NoReturn:
    """Raise a 422: the request has the right shape, but a wrong value (A24)."""
    raise Refusal(422, "validation_error", message)


def not_found(what: str) -> NoReturn:
    """Raise a 404: the object is unknown or belongs to another account (A24)."""
    raise Refusal(404, "not_found", f"No such {what}.")


def conflict(message: str, code: str = "conflict") -> NoReturn:
    """Raise a 409: the object is in a state that does not allow the request (A24)."""
    raise Refusal(409, code, message)
