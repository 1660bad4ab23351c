"""Disputes and returns in the admin: reasons in words, earlier refunds, and the warning before a refund."""

from __future__ import annotations

import datetime as dt
import random
import re
from collections.abc import Callable, Iterator
from functools import partial
from html import unescape

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone, translation

from govpay.admin.formatting import CLIPPED, clip
from govpay.models import Operation, Payment, Transaction
from govpay.models.money import format_money
from govpay.sync import mapping
from govpay.sync.transactions import in_transaction
from govpay.sync.upsert import save_documents
from tests.admin.conftest import Page
from tests.admin.rows import operation, payment, relatives
from tests.admin.test_confirmations import Shop, confirm, fields, shop, texts, url
from tests.review.test_items import lost, moved, refund

__all__ = ["shop"]

pytestmark = pytest.mark.django_db

NOW = timezone.now()
DAY = dt.timedelta(days=1)
ATTENTION = reverse("admin:govpay_review")
LISTS = {model: reverse(f"admin:govpay_{model}_changelist") for model in ("payment", "transaction")}


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    """The language of a request stays with its thread."""
    with translation.override("en-us"):
        yield


def page_of(row: Payment | Transaction) -> str:
    return reverse(f"admin:govpay_{row._meta.model_name}_change", args=[row.pk])


def plain(html: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html)))


def alert_of(html: str) -> str:
    return plain(html.partition('class="govpay-alert"')[2].partition("</div>")[0])


# --- The box on a payment --------------------------------------------------------------------------


def test_box_tells_the_reason_what_to_do_and_by_when(desk: Client, look: Callable[..., Page]) -> None:
    row = moved("chargeback", reason_code="4853", at=dt.datetime(2026, 3, 4, 9, tzinfo=dt.UTC))
    page = look(desk, page_of(row))
    box = alert_of(page.html)
    assert "Disputed by the cardholder on 03/04/2026" in box, "when the platform says, not when it was read"
    assert "The bank's reason: The cardholder disputes what was paid for" in box
    assert "What to do: Ask your processor for the cardholder's letter" in box
    assert "By when: Card networks allow 20 to 45 days" in box
    assert len(page.statements) <= 12, page.statements


def test_box_says_what_was_refunded_before(desk: Client, look: Callable[..., Page]) -> None:
    row = moved("chargeback", amount=10_750)
    refund(row, 4000, dt.datetime(2026, 3, 9, tzinfo=dt.UTC))
    box = alert_of(look(desk, page_of(row)).html)
    assert "$40.00 of it had been refunded before, last on 03/09/2026. The bank takes the whole amount again" in box


def test_box_of_an_unknown_code_gives_no_advice(desk: Client, look: Callable[..., Page]) -> None:
    box = alert_of(look(desk, page_of(moved("return", reason_code="<R99>"))).html)
    assert "The bank's reason: <R99>." in box
    assert "What to do" not in box
    assert "By when" not in box


def test_box_speaks_spanish(desk: Client, look: Callable[..., Page]) -> None:
    row = moved("return", reason_code="R10", amount=10_750)
    refund(row, 4000, NOW - DAY)
    box = alert_of(look(desk, page_of(row), headers={"accept-language": "es"}).html)
    assert "(R10)" in box
    assert not re.search(r"\b(the|payer|bank|refunded|within)\b", box), box


# --- Before money is given back --------------------------------------------------------------------


@pytest.mark.parametrize("flag", ["chargeback", "return"])
@pytest.mark.parametrize("dealt_with", [False, True])
def test_refund_page_warns_before_the_button(
    flag: str, dealt_with: bool, desk: Client, look: Callable[..., Page]
) -> None:
    row = moved(flag, at=dt.datetime(2026, 3, 4, 9, tzinfo=dt.UTC))
    if dealt_with:
        Payment.objects.update(flag="")
    html = look(desk, url("refund", row)).html
    box = alert_of(html)
    assert "Check before you give this money back" in box
    assert "03/04/2026" in box
    assert {"chargeback": "With a refund the payer gets it twice", "return": "money that was never paid"}[flag] in box
    assert html.index("govpay-alert") < html.index('class="default"'), "before the button"
    assert 'value="Refund"' in html, "it does not forbid"
    assert "govpay-alert" in look(desk, url("void", row)).html, "a void gives money back as well"


def test_flag_without_its_movement_warns_too(desk: Client, look: Callable[..., Page]) -> None:
    row = payment(flag="chargeback", flagged_at=NOW)
    assert "the payer gets it twice" in alert_of(look(desk, url("refund", row)).html)


@pytest.mark.parametrize("flag", ["", "reversal"])
def test_payment_whose_money_is_here_is_refunded_without_a_warning(
    flag: str, desk: Client, look: Callable[..., Page]
) -> None:
    row = moved(flag) if flag else payment()
    assert "govpay-alert" not in look(desk, url("refund", row)).html


def test_rows_of_many_refunds_are_warned_of_by_name_and_sum(desk: Client, look: Callable[..., Page]) -> None:
    relatives()
    disputed, returned, plain_row = moved("chargeback"), moved("return"), payment()
    Payment.objects.filter(pk=returned.pk).update(flag="", total_amount=200_000)
    page = look(desk, url("refund", disputed, returned, plain_row))
    box = alert_of(page.html)
    assert "2 of these payments were disputed or returned: $2,107.50" in box
    assert f"{disputed.reference_id} , $107.50. Disputed" in box
    assert f"{returned.reference_id} , $2,000.00. Returned by the bank" in box
    assert plain_row.reference_id not in box
    table = page.html.partition("<tbody>")[2].partition("</tbody>")[0]
    assert table.count("⚑") == 2, "also where it was marked as dealt with"
    assert page.html.index("govpay-alert") < page.html.index('class="default"')
    assert "Refund 3 payments, $2,215.00" in page.html
    assert "1 of these payments was disputed" in alert_of(look(desk, url("refund", disputed, plain_row)).html)


@pytest.mark.django_db(transaction=True)
def test_refund_of_a_disputed_payment_is_not_forbidden(shop: Shop, desk: Client) -> None:
    row = shop.add()
    document = {"uid": "txn_dispute", "payment_uid": row.uid, "type": "chargeback", "status": "succeeded"}
    document["created_at"] = NOW.isoformat()
    extra = {"account_id": shop.account}
    in_transaction(partial(save_documents, mapping.TRANSACTION, [document], extra=extra))
    assert "Check before" in texts(desk.get(url("refund", row)))
    assert set(fields(desk.get(url("refund", row)))) == {"key", "amount", "reason"}
    response = confirm(desk, "refund", row, amount="1.00")
    assert "Refunded: $1.00" in texts(response)
    assert [entry["amount"] for entry in shop.moves("refund")] == [100]


# --- Transactions ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("flag", "type_"), [("chargeback", "Chargeback"), ("return", "ACH return")])
def test_taken_money_is_no_green_success(flag: str, type_: str, desk: Client, look: Callable[..., Page]) -> None:
    row = moved(flag, reason_code="R01" if flag == "return" else "10.4", amount=10_750)
    movement = Transaction.objects.get()
    for address in (page_of(row), page_of(movement), LISTS["transaction"]):
        html = look(desk, address).html
        assert '<span class="govpay-badge govpay-bad">Money taken back</span>' in html, address
        assert 'govpay-good">Succeeded' not in html, address
        assert type_ in html


def test_other_transactions_keep_their_status(desk: Client, look: Callable[..., Page]) -> None:
    moved("chargeback", status="pending")
    moved("reversal")
    html = look(desk, LISTS["transaction"]).html
    assert 'govpay-wait">Pending' in html
    assert html.count('govpay-good">Succeeded') == 1
    assert "Money taken back" not in html


def test_reason_is_explained_on_the_transaction_the_list_and_the_payment(
    desk: Client, look: Callable[..., Page]
) -> None:
    row = moved("return", reason_code="R02", reason="Returned by the bank")
    words = "Returned by the bank · The account is closed. (R02)"
    for address in (page_of(row), page_of(Transaction.objects.get()), LISTS["transaction"]):
        assert words in plain(look(desk, address).html), address
    html = plain(look(desk, page_of(Transaction.objects.get())).html)
    assert "Do not charge this account again." in html
    assert "2 banking days" in html
    Transaction.objects.update(reason_code="R99")
    html = plain(look(desk, page_of(Transaction.objects.get())).html)
    assert "Returned by the bank · R99" in html
    assert "Do not charge this account again." not in html


def test_declined_payment_is_explained(desk: Client, look: Callable[..., Page]) -> None:
    html = plain(look(desk, page_of(payment(status="failed", decline_code="expired_card"))).html)
    assert "The card has expired." in html
    assert "What to do Ask the payer for the new card." in html
    html = plain(look(desk, page_of(payment(status="failed", decline_code="x_new"))).html)
    assert "Declined x_new" in html
    assert "What to do" not in html


@pytest.mark.django_db(transaction=True)
def test_decline_is_explained_at_once(shop: Shop, desk: Client) -> None:
    row = shop.add("validated")
    body = '{"code": "insufficient_funds", "message": "The bank said no."}'
    shop.sandbox.fault("POST /api/payments/{uid}/capture", status=402, body=body)
    response = confirm(desk, "capture", row)
    told = texts(response)
    assert "There was not enough money on the account. Ask the payer to pay in another way, or later." in told


# --- The page of the review queue ---------------------------------------------------------------


def test_flags_of_a_first_load_are_one_card_with_a_link_to_exactly_those(
    desk: Client, look: Callable[..., Page]
) -> None:
    relatives()
    for _ in range(3):
        moved("chargeback", backlog=True)
    fresh = moved("chargeback")
    page = look(desk, ATTENTION)
    assert page.html.count('class="govpay-card"') == 2
    assert "Disputed: 3 payments, $322.50" in page.html
    assert len(page.statements) <= 6, page.statements
    address = re.search(r'<a href="([^"]+)">Disputed: 3 payments', page.html)
    assert address
    listed = look(desk, unescape(address[1])).html
    assert "3 payments" in listed
    assert fresh.reference_id not in listed
    assert ">Review queue (2)</a>" in look(desk, LISTS["payment"]).html


@pytest.mark.parametrize("value", ["x", "0", "true", "%00"])
def test_nonsense_in_the_link_of_a_group_is_harmless(value: str, desk: Client) -> None:
    assert desk.get(f"{LISTS['payment']}?flag_backlog={value}").status_code in (200, 302)


def test_every_outcome_is_known_only_if_it_is(desk: Client, look: Callable[..., Page]) -> None:
    known = "every outcome is known"
    assert known in look(desk, ATTENTION).html
    row = operation(payment(), state="unknown", deadline_at=timezone.now() - dt.timedelta(minutes=1))
    html = look(desk, ATTENTION).html
    assert known not in html
    assert "The outcome of 1 operation is still being looked up" in html
    operation(payment(), state="started", deadline_at=timezone.now() + dt.timedelta(minutes=1))
    assert "The outcomes of 2 operations are still being looked up" in look(desk, ATTENTION).html
    Operation.objects.update(state="succeeded")
    assert known in look(desk, ATTENTION).html
    Operation.objects.filter(pk=row.pk).update(settled_at=timezone.now())
    assert known not in look(desk, ATTENTION).html, "the platform is asked for three more days"
    Operation.objects.filter(pk=row.pk).update(settled_at=timezone.now() - 4 * DAY)
    assert known in look(desk, ATTENTION).html


def test_health_counts_what_a_stopped_process_left_open(desk: Client, look: Callable[..., Page]) -> None:
    relatives()
    account = reverse("admin:govpay_paymentaccount_changelist") + "acc_0/change/?_to_field=uid"

    def unknown() -> str:
        return re.search(r"whose outcome is unknown</td><td>(\d+)", look(desk, account).html)[1]  # type: ignore[index]

    assert unknown() == "0"
    lost(state="started")
    assert unknown() == "1"
    lost(payment_id="pay_9", state="started", deadline_at=timezone.now() + dt.timedelta(minutes=1))
    assert unknown() == "1", "a call under way is none of these"


# --- Amounts stay whole ----------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "es", "de"])
def test_amounts_in_headlines_are_whole(language: str, desk: Client, look: Callable[..., Page]) -> None:
    relatives()
    amount = 123_456_789_012
    row = moved("return")
    Payment.objects.filter(pk=row.pk).update(total_amount=amount)
    lost(amount=amount, error="", state="failed", attention="late_failure", attention_at=NOW)
    late = lost(amount=amount, payment_id="pay_9")
    with translation.override(language):
        whole = format_money(amount, "USD")
    html = unescape(look(desk, ATTENTION, headers={"accept-language": language}).html)
    heads = re.findall(r"<h2.*?</h2>", html, re.DOTALL)
    assert len(heads) == 3
    assert all(whole in head for head in heads), heads
    settle = reverse("admin:govpay_operation_resolve", args=[late.pk])
    html = unescape(look(desk, settle, headers={"accept-language": language}).html)
    assert whole in html.partition("<tbody>")[2].partition("</tbody>")[0]


def test_clipped_text_holds_no_part_of_an_amount() -> None:
    chance = random.Random(6)
    for _ in range(500):
        with translation.override(chance.choice(["en", "es", "de", "fr"])):
            amounts = [format_money(chance.randint(1, 10**9), chance.choice(["USD", "EUR"])) for _ in range(3)]
        words = ["Only", "of", "is left", "to refund", *amounts]
        chance.shuffle(words)
        text = " ".join(words)
        cut = clip(text) or ""
        assert len(cut) <= CLIPPED
        if cut != text:
            assert cut.endswith(" …")
            assert text.startswith(f"{cut[:-2]} "), (text, cut)
    assert clip("x" * 50) == "x" * (CLIPPED - 1) + "…"
    assert clip("") is None
    assert clip("a b") == "a b"
