"""Refusals: one exception, and the documented error object that is made from it."""

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
        """`code`, `message`, optional `recoverable`, `request_id` [challenge/send page]."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.recoverable is not None:
            error["recoverable"] = self.recoverable
        return {**error, "request_id": request_id}


def malformed(message: str) -> NoReturn:
    """400: a wrong shape (A24)."""
    raise Refusal(400, "validation_error", message)


def invalid(message: str) -> NoReturn:
    """422: a right shape with a wrong value (A24)."""
    raise Refusal(422, "validation_error", message)


def not_found(what: str) -> NoReturn:
    """404: unknown here, or another account's (A24)."""
    raise Refusal(404, "not_found", f"No such {what}.")


def conflict(message: str, code: str = "conflict") -> NoReturn:
    """409: the object is not in a state that allows it (A24)."""
    raise Refusal(409, code, message)
