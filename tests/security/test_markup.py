"""``page_message``: the one text that may contain HTML is cleaned before it is sent, and escaped where we show it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from govpay import operations
from govpay.exceptions import OperationRefused
from govpay.models import Operation
from govpay.operations.markup import TAGS, clean_message
from govpay.operations.provision_file import read_file
from tests.operations.merchant import Merchant

EVIL = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<svg/onload=alert(1)>",
    "<math><mtext></p><img src=x onerror=alert(1)>",
    '<a href="javascript:alert(1)">x</a>',
    '<a href="jav&#x09;ascript:alert(1)">x</a>',
    '<a href="data:text/html,<script>alert(1)</script>">x</a>',
    '<a href="//evil.example" onclick="alert(1)">x</a>',
    '<p style="position:fixed;inset:0">x</p>',
    '<iframe src="https://evil.example"></iframe>',
    '<form action="https://evil.example"><input name="card"></form>',
    '<base href="https://evil.example/">',
    '<meta http-equiv="refresh" content="0;url=https://evil.example">',
    '<link rel="stylesheet" href="https://evil.example/x.css">',
    "<style>*{display:none}</style>",
    '<noscript><p title="</noscript><img src=x onerror=alert(1)>">',
    '<template><img src=x onerror=alert(1)></template>',
    '<!--[if gte IE 4]><script>alert(1)</script><![endif]-->',
    '<p class="admin" id="x">x</p>',
    "<b><i>never closed",
]  # fmt: skip

TAG = re.compile(r"<(/?)([a-z0-9]+)((?:\s[^<>]*)?)>")
LINK = re.compile(r'(?: href="(?i:https://|mailto:|tel:)[^"<>]*")?(?: rel="noopener noreferrer")?')


def is_harmless(html: str) -> bool:
    """Nothing but tags that we know, each without anything but a link's address; no other bracket."""
    for closing, name, rest in TAG.findall(html):
        if name not in TAGS or (rest and (closing or name != "a" or not LINK.fullmatch(rest))):
            return False
    return not re.search("[<>]", TAG.sub("", html))


@pytest.mark.parametrize("html", EVIL)
def test_what_could_do_harm_is_taken_out(html: str) -> None:
    cleaned = clean_message(f"<p>Hello</p>{html}")
    assert cleaned.startswith("<p>Hello</p>")
    assert is_harmless(cleaned)
    assert "alert" not in cleaned
    assert "evil.example" not in cleaned


@given(st.text(st.sampled_from("<>/=\"'&;:!-#x abpisvgcrtonlej\t\n"), max_size=80) | st.sampled_from(EVIL))
def test_whatever_is_given_is_harmless_and_stays_so(html: str) -> None:
    cleaned = clean_message(html)
    assert is_harmless(cleaned)
    assert clean_message(cleaned) == cleaned


@pytest.mark.parametrize(
    "html",
    [
        "Payments are posted on the next working day.",
        "<p>Thank you.</p>",
        '<p>Ask <a href="https://example.gov/help" rel="noopener noreferrer">us</a>, or <b>call</b>.<br></p>',
        "Fish &amp; chips, 2 &lt; 3",
        "<ul><li>Ein</li><li>Año</li></ul>",
    ],
)
def test_what_a_notice_needs_stays(html: str) -> None:
    assert clean_message(html) == html


MESSAGE = '<p onclick="x()">Hello <b>you</b></p><script>alert(1)</script>'
CLEAN = "<p>Hello <b>you</b></p>"


@pytest.mark.django_db(transaction=True)
def test_it_is_clean_before_it_is_sent(sandbox: Any) -> None:
    merchant = Merchant(sandbox)
    operations.set_checkout_config(account=merchant.account, page_message=MESSAGE)
    config = sandbox.platform.store.get("account", merchant.account.uid).private["checkout_config"]
    assert config["page_message"] == CLEAN
    assert json.loads(Operation.objects.get().reason) == {"page_message": CLEAN}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("message", ["<script>alert(1)</script>", "4111<x>1111</x>1111<y>1111"])
def test_a_message_of_nothing_but_harm_is_refused(sandbox: Any, message: str) -> None:
    merchant = Merchant(sandbox)
    with pytest.raises(OperationRefused, match="page_message"):
        operations.set_checkout_config(account=merchant.account, page_message=message)
    assert not [call for call in sandbox.requests() if call["path"].endswith("checkout-config")]


def test_a_provisioning_file_wants_what_is_sent() -> None:
    text = f"""
[client]
name = "City"
[[accounts]]
name = "Water"
processor = "payroc"
external_account_id = "EX-1"
external_merchant_id = "M-1"
[accounts.checkout]
allowed_origins = ["https://pay.example.gov"]
page_message = '{MESSAGE}'
"""
    wanted = read_file(text)
    assert wanted.accounts[0].checkout["page_message"] == CLEAN


@pytest.mark.django_db(transaction=True)
def test_staff_see_it_as_text(sandbox: Any, browse: Any, make_staff: Any) -> None:
    merchant = Merchant(sandbox)
    client = browse(make_staff("Operations"))
    page = reverse("admin:govpay_paymentaccount_setup_step", args=[merchant.account.pk, "checkout"])
    key = re.search(r'name="key" value="([^"]+)"', client.get(page).content.decode())
    assert key
    sent = {"key": key[1], "allowed_origins": "https://pay.example.gov", "page_message": MESSAGE}
    assert client.post(page, sent).status_code == 302
    shown = client.get(page).content.decode()
    assert "&lt;p&gt;Hello &lt;b&gt;you&lt;/b&gt;&lt;/p&gt;" in shown
    assert CLEAN not in shown
    assert "alert(1)" not in shown
