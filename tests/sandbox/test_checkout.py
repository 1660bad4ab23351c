"""What the platform serves to browsers: the component's script and the hosted page."""

from __future__ import annotations

import base64
import hashlib
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from govpay.sandbox import Sandbox
from govpay.sandbox.browser.checkout import STATIC

from .conftest import Caller
from .payers import Payer


def fetch(call: Caller, path: str) -> requests.Response:
    return requests.get(call.address.api_url + path, timeout=5)


def test_component_script_has_its_integrity(sandbox: Sandbox, call: Caller) -> None:
    answer = fetch(call, "/component/govifi.js")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    digest = base64.b64encode(hashlib.sha384(answer.content).digest()).decode()
    assert sandbox.component_integrity() == f"sha384-{digest}"
    for element in ("govifi-payment", "govifi-wallet"):
        assert f'customElements.define("{element}"' in answer.text


@pytest.mark.parametrize("path", sorted(STATIC.glob("*.js")), ids=lambda path: path.name)
def test_scripts_need_no_loosened_policy(path: object) -> None:
    text = (STATIC / str(path)).read_text()
    for name in ("eval(", "new Function", "innerHTML", "document.write", "localStorage", "http://", "https://"):
        assert name not in text
    assert text.count("\n") <= 330


def test_page_runs_under_a_strict_policy(sandbox: Sandbox, call: Caller) -> None:
    made = sandbox.add_session(call.account_uid)
    url, _, fragment = made["hosted_url"].partition("#")
    assert fragment == f"cs={made['client_secret']}"
    answer = requests.get(url, timeout=5)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/html")
    policy = answer.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert made["client_secret"] not in answer.text
    for name in ("<style", "style=", "onclick", "https://"):
        assert name not in answer.text
    for asset, kind in (("checkout.js", "text/javascript"), ("checkout.css", "text/css")):
        assert f"/component/{asset}" in answer.text
        assert fetch(call, f"/component/{asset}").headers["Content-Type"].startswith(kind)
    assert fetch(call, "/checkout/cs_nope").status_code == 404


def test_redirects(sandbox: Sandbox, call: Caller) -> None:
    made = sandbox.add_session(
        call.account_uid,
        success_url="https://city.example/done?a=1&s={CHECKOUT_SESSION_ID}#top",
        cancel_url="https://city.example/back/{CHECKOUT_SESSION_ID}",
    )
    payer, uid = Payer(call, made), made["session_id"]

    def read() -> dict[str, str]:
        answer = call("GET", f"/checkout/{uid}/redirects", token=payer.secret, account=None)
        assert answer.status_code == 200
        found: dict[str, str] = answer.json()
        return found

    call.refused(401, "GET", f"/checkout/{uid}/redirects", token=None)
    assert read() == {"cancel_url": f"https://city.example/back/{uid}"}
    payer.pay()
    parts = urlsplit(read()["success_url"])
    query = parse_qs(parts.query)
    assert (parts.netloc, parts.path, parts.fragment) == ("city.example", "/done", "top")
    assert (query["a"], query["s"], query["session_id"]) == (["1"], [uid], [uid])
    assert len(query["sig"][0]) == 64


def test_an_expired_session_leads_back(sandbox: Sandbox, call: Caller) -> None:
    made = sandbox.add_session(call.account_uid)
    sandbox.expire_session(made["session_id"])
    path = f"/checkout/{made['session_id']}/redirects"
    answer = call("GET", path, token=made["client_secret"], account=None)
    assert set(answer.json()) == {"cancel_url"}
