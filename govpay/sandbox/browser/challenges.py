"""Challenges: a proof that the payer must give before a session can be confirmed.

The vendor's pages name the kinds and the codes. What triggers a challenge, the status numbers and what
passes one are our choice: `fraud_signals.account_type` of `challenge_sms` (or another kind) triggers it.
"""

from __future__ import annotations

from datetime import timedelta

from govpay.sandbox.answers import Answer
from govpay.sandbox.api.sessions import CHALLENGES, check_open, new_challenge
from govpay.sandbox.calls import SESSION, Call, SandboxRoute
from govpay.sandbox.clock import iso, parse
from govpay.sandbox.errors import Refusal, invalid
from govpay.sandbox.platform import Platform
from govpay.sandbox.shapes import Doc, check, shape, text
from govpay.sandbox.store import StoredRow

CODED = ("sms", "email")
# Answers that pass: this code for sms and email, this token for the captchas.
CODE, CAPTCHA_TOKEN = "424242", "sandbox-captcha-passed"

# Within this pause a second sending has no effect; the figures are our choice.
PAUSE = timedelta(seconds=30)
MOST_SENT = 5
MOST_TRIED = 5

RESPONSE = shape(type=text(required=True, choices=CHALLENGES), token=text(), code=text()).part()
NOTHING = shape()


def require(platform: Platform, session: StoredRow, kind: str) -> None:
    if kind not in CHALLENGES:
        raise ValueError(f"kind must be one of {', '.join(CHALLENGES)}")
    session.private["challenge"] = new_challenge(kind)
    platform.store.put(session)


def shown(session: StoredRow) -> Doc | None:
    """Return the challenge object of the config and of `challenge/send`; None when no challenge is open."""
    challenge = session.private.get("challenge")
    if challenge is None or challenge["passed"]:
        return None
    kind = challenge["type"]
    if kind not in CODED:
        return {"type": kind, "site_key": f"sandbox-{kind}", "code_sent": False}
    return {"type": kind, "delivery_hint": _hint(session, kind), "code_sent": challenge["sent_at"] is not None}


def _hint(session: StoredRow, kind: str) -> str:
    """Return the masked phone number or email address. The vendor's sample has the form --1234."""
    signals = session.private["request"].get("fraud_signals", {})
    if kind == "sms":
        return "--" + (signals.get("phone", "")[-4:] or "1234")
    name, _, host = (session.doc.get("customer_email") or signals.get("email") or "p@example.org").partition("@")
    return f"{name[:1]}--@{host}"


def check_response(platform: Platform, session: StoredRow, response: Doc | None) -> None:
    """Refuse a confirm whose challenge is open: `challenge_required`, or `challenge_failed` for a wrong answer."""
    if shown(session) is None:
        return
    challenge = session.private["challenge"]
    if response is None:
        raise Refusal(403, "challenge_required", "Please verify that it is you.", recoverable=True)
    if challenge["tried"] >= MOST_TRIED:
        raise Refusal(429, "rate_limited", "Too many attempts.", recoverable=False)
    coded = challenge["type"] in CODED
    right = response.get("code") == CODE if coded else response.get("token") == CAPTCHA_TOKEN
    if response["type"] != challenge["type"] or not right or (coded and not challenge["sent_at"]):
        challenge["tried"] += 1
        platform.store.put(session)
        text = "The verification failed. Please try again."
        raise Refusal(403, "challenge_failed", text, recoverable=True, keep_changes=True)
    challenge["passed"] = True
    platform.store.put(session)


def send_code(call: Call, uid: str) -> Answer:
    """`POST …/challenge/send`: idempotent within a short time, and rate-limited [its operation page]."""
    session = check_open(call, "payment")
    if call.data:
        check(call.body, NOTHING)
    challenge, now = session.private.get("challenge"), call.platform.clock.now()
    if challenge is None or challenge["passed"]:
        invalid("The session asks for no verification.")
    if challenge["type"] in CODED and not (challenge["sent_at"] and parse(challenge["sent_at"]) + PAUSE > now):
        if challenge["sent"] >= MOST_SENT:
            wait = str(int(PAUSE.total_seconds()))
            raise Refusal(429, "rate_limited", "Too many codes.", recoverable=True, headers={"Retry-After": wait})
        challenge.update(sent=challenge["sent"] + 1, sent_at=iso(now))
        call.platform.store.put(session)
    return Answer(200, shown(session))


ROUTES = [SandboxRoute("POST", "/v1/hosted-sessions/<uid>/challenge/send", send_code, SESSION)]
