"""Files and pages for browsers: the component's script, and the hosted checkout page.

Addresses, redirect signature and page are our choice: the vendor's pages do not show them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from functools import cache
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from govpay.sandbox.answers import Answer
from govpay.sandbox.calls import ANYONE, SESSION, Call, SandboxRoute
from govpay.sandbox.errors import not_found
from govpay.sandbox.store import StoredRow

STATIC = Path(__file__).parent / "static"
# The parts of the one script for both elements. Each part needs only parts before it.
PARTS = (
    "wire.js",
    "dom.js",
    "rules.js",
    "entry.js",
    "element.js",
    "challenge.js",
    "form.js",
    "payment.js",
    "wallet.js",
)

# The page runs only its own files; a merchant's logo may come from any host.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' https: http: data:;"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@cache
def component_script() -> str:
    """Return `govifi.js`. It is a plain script, so that a page can load it with or without `type="module"`."""
    css = json.dumps((STATIC / "component.css").read_text(encoding="utf-8"))
    parts = "\n".join((STATIC / name).read_text(encoding="utf-8") for name in PARTS)
    return f'(() => {{\n"use strict";\nconst STYLES = {css};\n{parts}\n}})();\n'


@cache
def component_integrity() -> str:
    """Return the script's subresource integrity hash: `sha384-…`."""
    digest = hashlib.sha384(component_script().encode()).digest()
    return "sha384-" + base64.b64encode(digest).decode()


def serve_component(call: Call) -> Answer:
    """Serve the script. Any page may load it with `crossorigin`, which an integrity hash requires."""
    headers = {"Access-Control-Allow-Origin": "*", "Cache-Control": "no-cache"}
    return _file(component_script(), "text/javascript", headers)


def _file(text: str, kind: str, headers: dict[str, str] | None = None) -> Answer:
    safe = {"Content-Type": f"{kind}; charset=utf-8", "X-Content-Type-Options": "nosniff"}
    return Answer(200, text=text, headers={**safe, **(headers or {})})


def serve_script(call: Call) -> Answer:
    return _file((STATIC / "checkout.js").read_text(encoding="utf-8"), "text/javascript")


def serve_style(call: Call) -> Answer:
    return _file((STATIC / "checkout.css").read_text(encoding="utf-8"), "text/css")


def serve_page(call: Call, uid: str) -> Answer:
    """Serve the page of `hosted_url`, the same for every session. Its script reads the credential from the fragment."""
    if call.platform.store.get("session", uid) is None:
        not_found("session")
    headers = {"Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}
    return _file((STATIC / "checkout.html").read_text(encoding="utf-8"), "text/html", headers)


def redirects(call: Call, uid: str) -> Answer:
    """`GET /checkout/{sessionId}/redirects`, for our own page: the addresses to go to. Works for ended sessions too."""
    session = call.session or not_found("session")
    request = session.private["request"]
    answer = {"cancel_url": _with_id(request.get("cancel_url", ""), session.uid)}
    if session.doc["status"] == "completed":
        answer["success_url"] = success_url(session, _signature(call, session))
    return Answer(200, {name: url for name, url in answer.items() if url})


def _signature(call: Call, session: StoredRow) -> str:
    """The vendor does not document the signature (A28); do not rely on this one."""
    account = call.platform.store.get("account", str(session.account_uid))
    secret = account.private["webhook_secret"] if account else ""
    return hmac.new(secret.encode(), session.uid.encode(), hashlib.sha256).hexdigest()


def _with_id(url: str, uid: str) -> str:
    """Replace the placeholder for the session's id, also if it is URL-encoded [/guides/hosted-sessions/]."""
    literal = "{CHECKOUT_SESSION_ID}"
    return url.replace(literal, uid).replace(quote(literal), uid)


def success_url(session: StoredRow, sig: str) -> str:
    """Return the success URL with `session_id` and `sig` in the query [/guides/hosted-redirect/], or an empty text."""
    parts = urlsplit(_with_id(session.private["request"].get("success_url", ""), session.uid))
    if not parts.netloc:
        return ""
    more = {"session_id": session.uid, "sig": sig}
    kept = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] not in more]
    return urlunsplit(parts._replace(query=urlencode([*kept, *more.items()])))


ROUTES = [
    SandboxRoute("GET", "/component/govifi.js", serve_component, ANYONE),
    SandboxRoute("GET", "/component/checkout.js", serve_script, ANYONE),
    SandboxRoute("GET", "/component/checkout.css", serve_style, ANYONE),
    SandboxRoute("GET", "/checkout/<uid>", serve_page, ANYONE),
    SandboxRoute("GET", "/checkout/<uid>/redirects", redirects, SESSION),
]
