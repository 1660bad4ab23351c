"""Classifies the result of one attempt: success, refusal, retry, or unknown outcome."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from govpay.client.errors import Explanation, explain, parse_json, refusal
from govpay.client.redaction import mask
from govpay.client.retry import (
    DOCUMENTED_REFUSALS,
    TRANSIENT_STATUSES,
    Failure,
    parse_http_date,
    parse_retry_after,
)
from govpay.client.types import RawAnswer, Request, Response, WireFault
from govpay.exceptions import APIConnectionError, GovPayError, InvalidAnswer, OutcomeUnknown

log = logging.getLogger("govpay.client")

#: Refusals that are normal in daily work. They are logged as information, not as warnings.
ORDINARY = frozenset({402, 404, 405, 409, 410, 422})

#: The valid success statuses. Other 2xx statuses (206, 207) do not carry the requested document.
SUCCESSES = frozenset({200, 201, 202, 204})
#: As the answer to a write, this status means that nothing is done yet, whatever the body says.
ACCEPTED = 202


@dataclass(frozen=True, slots=True)
class Trouble:
    """A failed attempt: the kind of the failure, and the error to raise if the attempt is not repeated."""

    error: GovPayError
    failure: Failure
    status: int | None = None
    request_id: str = ""
    retry_after: float | None = None
    stale: bool = False


def faulted(request: Request, fault: WireFault) -> Trouble:
    """Return the result of an attempt that got no usable answer (faults R3, R4, R8)."""
    if fault.unsent:
        error: GovPayError = APIConnectionError(f"Nothing was sent: {fault.why}.")
        return Trouble(error, Failure.UNSENT)
    if not request.safe:
        return Trouble(unknown(request, fault.why), Failure.LOST)
    kind = InvalidAnswer if fault.answered else APIConnectionError
    return Trouble(kind(f"The platform could not be read: {fault.why}."), Failure.LOST, stale=fault.stale)


def judged(request: Request, raw: RawAnswer, token: str) -> Response | Trouble:
    """Return the result for the answer ``raw``, by the rules A23 (error forms), A24 (statuses) and A25 (writes).

    ``token`` is the secret that was sent; it is masked wherever the answer repeats it.
    """
    known = (token,) if token else ()
    header_id = raw.headers.get("x-request-id", "")
    if raw.status == ACCEPTED and not request.safe:
        why = "the platform has only accepted it for later (202)"
        said = explain(b"", header_id, known)
        return Trouble(unknown(request, why, raw.status, said), Failure.LOST, raw.status, said.request_id)
    if raw.status in SUCCESSES:
        return _success(request, raw, explain(b"", header_id, known).request_id)
    said = explain(raw.body, header_id, known)
    if not request.safe and raw.status not in DOCUMENTED_REFUSALS:
        error: GovPayError = unknown(request, f"the platform answered {raw.status}", raw.status, said)
        return Trouble(error, Failure.LOST, raw.status, said.request_id)
    retry_after = parse_retry_after(
        raw.headers.get("retry-after"), now=time.time(), server_now=parse_http_date(raw.headers.get("date"))
    )
    error = refusal(raw.status, said, retry_after)
    failure = Failure.FINAL
    if raw.status == 429:
        failure = Failure.LIMITED
    elif raw.status in TRANSIENT_STATUSES:
        failure = Failure.TRANSIENT
    return Trouble(error, failure, raw.status, said.request_id, retry_after)


def _success(request: Request, raw: RawAnswer, request_id: str) -> Response | Trouble:
    document = None
    try:
        if raw.body.strip():
            document = parse_json(raw.body)
        elif not request.empty_ok:
            raise ValueError("the answer is empty")
        elif raw.status != 204 and not raw.headers.keys() & {"content-length", "transfer-encoding"}:
            raise ValueError("the answer was cut short")  # without a length, the connection may have broken
        if request.check is not None:
            request.check(document)
    except (ValueError, InvalidAnswer) as error:
        return _unusable(request, raw, request_id, error)
    return Response(
        document=document,
        status=raw.status,
        request_id=request_id,
        date=parse_http_date(raw.headers.get("date")),
        seconds=raw.seconds,
    )


def _unusable(request: Request, raw: RawAnswer, request_id: str, error: Exception) -> Trouble:
    """Return the result of a success status whose body is not JSON or not as expected. The error contains no value."""
    why = "the answer is not JSON" if type(error).__name__ == "JSONDecodeError" else str(error)
    if isinstance(error, UnicodeDecodeError):
        why = "the answer is not UTF-8"
    why = why.replace("_", " ")  # staff read it: "the answer has no session id"
    said = Explanation(request_id=request_id)
    failed: GovPayError
    if request.safe:
        failed = InvalidAnswer(
            f"The platform's answer cannot be used: {why}.", status=raw.status, request_id=request_id
        )
    else:
        failed = unknown(request, why, raw.status, said)
    return Trouble(failed, Failure.LOST, raw.status, request_id)


def log_attempt(request: Request, outcome: Response | Trouble, seconds: float, attempt: int, why: str = "") -> None:
    """Log one line per attempt, without query, headers, body or token. Paths contain only uids."""
    log.log(
        logging.INFO if isinstance(outcome, Response) or outcome.status in ORDINARY else logging.WARNING,
        "%s %s %s -> %s id=%s %.3fs attempt=%d%s",
        request.operation,
        request.method,
        mask(request.path),
        outcome.status or "-",
        outcome.request_id or "-",
        seconds,
        attempt,
        f" ({why})" if why else "",
    )


def unknown(request: Request, why: str, status: int | None = None, said: Explanation | None = None) -> OutcomeUnknown:
    """Return the error for a write that may have been carried out. Its text asks staff not to repeat the write."""
    said = said or Explanation()
    return OutcomeUnknown(
        f"The request was sent, but {why}. It may have been carried out; it is looked up, not repeated.",
        operation_key=request.idempotency_key,
        status=status,
        code=said.code,
        request_id=said.request_id,
        recoverable=said.recoverable,
    )
