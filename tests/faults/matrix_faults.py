"""The faults of the fault matrix: errors of an operation's write request, and of the reads after it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.operations.merchant import Merchant

Options = Mapping[str, Any]

#: Texts that must not occur in the journal or in an error.
CARD = "4111 1111 1111 1111"
#: As in the sandbox's settings.
CLIENT_SECRET = "sandbox-secret"


@dataclass(frozen=True)
class Trouble:
    """``write`` affects the operation's own route; ``reads`` affect every GET after its answer; ``token`` affects the
    token endpoint, once the token is lost."""

    write: Options | Callable[[Merchant], Options] | None = None
    reads: Options | None = None
    token: Options | None = None
    #: These affect every GET of a list, and every GET of one object, after the operation's answer.
    lists: Options | None = None
    objects: Options | None = None
    times: int | None = 1
    #: Use short timeouts while the operation runs.
    hurried: bool = False
    #: The answer has missing or undocumented values: the rows are correct after the next sync.
    spoilt: bool = False
    #: The platform refuses although it has acted: the refusal is recorded, and the next sync shows the effect.
    lies: bool = False
    #: The platform acts so many seconds after the request, when the call has ended without an answer.
    late: float = 0.0
    #: The object was created so many seconds earlier, so that a read that lags shows its earlier state.
    aged: float = 0.0


def _speaking(merchant: Merchant) -> Options:
    """A refusal whose text quotes the request."""
    tokens = [token for (token,) in merchant.sandbox.platform.store.execute("SELECT token FROM tokens")]
    text = f"Bad card {CARD}, Bearer {tokens[-1]}"
    return {"status": 422, "body": f'{{"code": "validation_error", "message": "{text}", "request_id": "req_1"}}'}


def _lost_and(**reads: Any) -> Trouble:
    return Trouble({"close": "after"}, reads=reads)


def _altered(values: str) -> Trouble:
    """The answer differs from the request: the object is read instead, or is correct after the next sync."""
    return Trouble({"alter": values}, spoilt=True)


#: Seconds of the platform's clock: how late a request is carried out, how far a read lags (longer than a meeting
#: lasts), and how long before it what is read was made.
LATE, LAG, AGE = 30.0, 20.0, 30.0


SHAPES = "status,total_amount,amount,currency,reference_id,name,type,scope"
NAMES = "uid,saved_payment_method_uid,session_id,client_secret,secret,results"

FAULTS: dict[str, Trouble] = {
    "none": Trouble(),
    **{f"{status}": Trouble({"status": status}) for status in (400, 402, 403, 404, 405, 408, 409, 410, 422, 429)},
    **{f"{status}": Trouble({"status": status}) for status in (500, 502, 503, 504)},
    **{f"{status} after acting": Trouble({"status": status, "act": True}) for status in (408, 500, 502, 503, 504)},
    "401 once": Trouble({"status": 401}),
    "401 twice": Trouble({"status": 401}, times=2),
    "429 with seconds": Trouble({"status": 429, "retry_after": 7}),
    "429 with a date": Trouble({"status": 429, "retry_at": 7.0}),
    "503 with seconds": Trouble({"status": 503, "retry_after": 7, "headers": {"X-Request-Id": "gateway"}}),
    "422 that repeats secrets": Trouble(_speaking),
    "409 after acting": Trouble({"status": 409, "act": True}, lies=True),
    "redirect": Trouble({"redirect": "http://127.0.0.1:9/"}),
    "redirect after acting": Trouble({"redirect": "http://127.0.0.1:9/", "act": True}),
    "empty": Trouble({"status": 204, "body": "", "act": True}, spoilt=True),
    "html": Trouble({"html": True}),
    "html after acting": Trouble({"html": True, "act": True}),
    "broken json": Trouble({"badjson": True}),
    "closed before acting": Trouble({"close": "before"}),
    "closed after acting": Trouble({"close": "after"}),
    "truncated": Trouble({"truncate": True}),
    "length too small": Trouble({"length": -3}),
    "length too large": Trouble({"length": 7}),
    "drip past the deadline": Trouble({"drip": 0.02}, hurried=True),
    "acts after the time limit": Trouble({"delay": 0.3}, hurried=True),
    "unknown properties": Trouble({"extra": True}, spoilt=True),
    "unknown values": Trouble({"strange": "status,type,brand,card_brand,scope,processor"}, spoilt=True),
    "nulls": Trouble({"null": SHAPES}, spoilt=True),
    "only names": Trouble({"leave_out": SHAPES}, spoilt=True),
    "no names": Trouble({"leave_out": NAMES}, spoilt=True),
    "clock off": Trouble({"skew": -300.0}),
    "token revoked": Trouble({"revoke": True}),
    "token endpoint down": Trouble(token={"status": 503}, times=None),
    "token endpoint sends html": Trouble(token={"html": True}, times=None),
    "token endpoint repeats the secret": Trouble(
        token={"status": 401, "body": f'{{"error": "invalid_client", "error_description": "no {CLIENT_SECRET}"}}'},
        times=None,
    ),
    "token endpoint once down": Trouble(token={"close": "before"}),
    "object gone": Trouble({"gone": True}),
    "reads fail after it": Trouble(reads={"status": 503}, spoilt=True),
    "lost, reads capped at a row": _lost_and(page_cap=1),
    "lost, links name another host": _lost_and(page_cap=1, next_link="https://internal:8443{path}?{query}"),
    "lost, rows come twice": _lost_and(duplicate=1),
    "lost, rows move": _lost_and(shift=1),
    "lost, reads hold unknown properties": _lost_and(extra=True),
    "lost, reads are redirected": _lost_and(redirect="http://127.0.0.1:9/"),
    "lost, reads are misrouted": _lost_and(account="account_of_nobody"),
    "lost, lists refuse options": Trouble({"close": "after"}, lists={"no_options": True}, spoilt=True),
    "acts later": Trouble({"act_after": LATE}, late=LATE),
    "accepted, acts later": Trouble({"act_after": LATE, "status": 202}, late=LATE),
    "202 without acting": Trouble({"status": 202}),
    "202 with content": Trouble({"status": 202, "act": True}, spoilt=True),
    "202 without content": Trouble({"status": 202, "act": True, "body": ""}, spoilt=True),
    "empty object": Trouble({"status": 200, "act": True, "body": "{}"}, spoilt=True),
    "no status": Trouble({"leave_out": "status"}, spoilt=True),
    "another amount": _altered("amount:1,base_amount:1,total_amount:1"),
    "another currency": _altered("currency:EUR"),
    "another type": _altered("type:chargeback,scope:other"),
    "another payment": _altered("payment_uid:pay_other"),
    "another reference": _altered("reference_id:other"),
    "another object": _altered("uid:other,saved_payment_method_uid:other,session_id:other"),
    "another status": Trouble({"alter": "status:failed"}, spoilt=True, lies=True),
    "lost, lists lag": Trouble({"close": "after"}, lists={"lag": LAG}, aged=AGE, spoilt=True),
    "lost, reads of objects lag": Trouble({"close": "after"}, objects={"lag": LAG}, aged=AGE, spoilt=True),
    "lists lag": Trouble(lists={"lag": LAG}, aged=AGE, spoilt=True),
    "reads of objects lag": Trouble(objects={"lag": LAG}, aged=AGE, spoilt=True),
}


def options_used() -> set[str]:
    """The options of the fault switchboard that the faults above use."""
    used = {"times", "skip"}  # they only count, and are no fault
    for trouble in FAULTS.values():
        for options in (trouble.write, trouble.reads, trouble.token, trouble.lists, trouble.objects):
            used.update(options if isinstance(options, Mapping) else ())
    return used
