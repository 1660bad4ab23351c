"""The table of reasons: complete, unambiguous, in both languages; unknown codes give no text."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from django.utils import translation

from govpay.models import reasons
from govpay.models.choices import TransactionType
from govpay.models.reasons import DECLINE, DECLINES, DISPUTES, RETURNS, advice_on, find_reason, reason_in_words

#: Return codes of the Nacha Operating Rules that a merchant can meet.
NACHA = [f"R{number:02}" for number in (*range(1, 40), *range(50, 54), 61, 62, *range(67, 78), *range(80, 86))]
#: Of the four card networks.
NETWORKS = """
10.1 10.2 10.3 10.4 10.5 11.1 11.2 11.3 12.1 12.2 12.3 12.4 12.5 12.6 12.6.1 12.6.2 12.7
13.1 13.2 13.3 13.4 13.5 13.6 13.7 13.8
4807 4808 4812 4831 4834 4837 4840 4841 4842 4846 4849 4853 4854 4855 4859 4860 4863 4870 4871
A01 A02 A08 C02 C04 C05 C08 C14 C18 C28 C31 C32 F10 F14 F24 F29 F30 F31 FR2 FR4 FR6 M01
P01 P03 P04 P05 P07 P08 P22 P23 R03 R13
AA AP AT AW CD DA DP EX IC IN LP NA NC PM RG RM RN2 UA01 UA02 UA05 UA06 UA10 UA11
"""
#: The enum of /api/operations/v1hosted-sessionssessionidchallengesend/, and codes of the processor.
PLATFORM = """
card_declined expired_card incorrect_cvc insufficient_funds processing_error network_error session_expired
validation_error origin_not_allowed rate_limited challenge_required challenge_failed duplicate_payment
already_confirmed insufficient_scope
D01 D02 D03 D04 D05 D06 D08 D09 D10 D16 D17 D18 D21 D27 D29
"""

RETURN, DISPUTE = TransactionType.ACH_RETURN, TransactionType.CHARGEBACK


@pytest.mark.parametrize(
    ("kind", "codes"),
    [(RETURN, NACHA), (DISPUTE, NETWORKS.split()), (DECLINE, [*PLATFORM.split(), *NACHA])],
)
def test_every_code_in_use_is_explained(kind: str, codes: list[str]) -> None:
    assert [code for code in codes if find_reason(kind, code) is None] == []


def test_table_holds_nothing_else() -> None:
    assert set(RETURNS) == set(NACHA)
    assert set(DISPUTES) == set(NETWORKS.split())
    assert set(DECLINES) == set(PLATFORM.upper().split())


def test_no_code_stands_in_two_rows_of_a_table() -> None:
    tree = ast.parse(Path(reasons.__file__).read_text())
    tables = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "_by_code"]
    assert len(tables) == 3
    for table in tables:
        codes: list[str] = " ".join(ast.literal_eval(row.elts[0]) for row in table.args).split()  # type: ignore[attr-defined]
        assert [code for code, times in Counter(codes).items() if times > 1] == []


@pytest.mark.parametrize("table", [RETURNS, DISPUTES, DECLINES])
def test_every_text_is_translated(table: dict[str, Any]) -> None:
    for code, reason in table.items():
        for text in filter(None, (reason.means, reason.do, reason.by)):
            with translation.override("en"):
                english = str(text)
            with translation.override("es"):
                assert str(text) != english, code


@pytest.mark.parametrize("kind", [RETURN, DISPUTE, DECLINE, "refund", "never_heard_of", ""])
@pytest.mark.parametrize("code", ["X99", "R99", "9.9", "", "<b>"])
def test_unknown_code_is_shown_as_it_is_without_advice(kind: str, code: str) -> None:
    assert reason_in_words(kind, code) == code
    assert advice_on(kind, code) == ()


def test_same_code_means_what_its_kind_says() -> None:
    assert reason_in_words(RETURN, "R03") == "There is no such account, or it is not the payer's. (R03)"
    assert reason_in_words(DISPUTE, "R03").startswith("A request for documents")
    assert reason_in_words(RETURN, "4853") == "4853"
    assert reason_in_words(RETURN, " r01 ") == "There was not enough money on the account. (r01)"


@pytest.mark.parametrize("kind", ["refund", "chargeback_reversal"])
def test_what_is_over_is_explained_without_advice(kind: str) -> None:
    code = {"refund": "R03", "chargeback_reversal": "4853"}[kind]
    assert reason_in_words(kind, code) != code
    assert advice_on(kind, code) == ()


def test_deadlines_are_those_of_the_sources() -> None:
    for code in ("R02", "R03", "R04", "R08", "R16", "R29"):
        assert "2 banking days" in advice_on(RETURN, code)[1], code
    for code in ("R05", "R07", "R10"):
        assert "60 calendar days" in advice_on(RETURN, code)[1], code
    for code in ("R01", "R09"):
        assert "180 days" in advice_on(RETURN, code)[1], code
    assert len(advice_on(RETURN, "R06")) == 1, "none is known"
    assert all("not known here" in str(reason.by) for code, reason in DISPUTES.items() if code != "M01")
    assert not any(reason.by for reason in DECLINES.values())
