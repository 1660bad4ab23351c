"""A body without a stated length is refused. DRF would read an empty body, and a refund would have another amount."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import AsyncClient

from govpay.models import Operation
from tests.operations.merchant import Merchant
from tests.processes import ROOT, child_environment
from tests.rest.conftest import Program, address, problem

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def server(merchant: Merchant) -> Iterator[int]:
    """The port of a gunicorn on this test's rows."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        number = listening.fileno()
        options = f"--bind=fd://{number} --workers=1 --threads=2 --graceful-timeout=1 --no-control-socket"
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "project.wsgi", *options.split()],
            cwd=ROOT,
            env=child_environment(),
            pass_fds=(number,),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield listening.getsockname()[1]
        finally:
            process.terminate()
            process.wait(300)


def test_a_body_in_chunks_is_refused_by_a_real_server(
    server: int, finance_program: Program, merchant: Merchant
) -> None:
    payment = merchant.captured(10_000)
    headers = {
        "Authorization": finance_program.client.defaults["HTTP_AUTHORIZATION"],
        "Content-Type": "application/json",
    }
    body = json.dumps({"amount": 500}).encode()
    answers = []
    for how in ({"encode_chunked": True, "body": iter([body[:5], body[5:]])}, {"body": body}):
        connection = http.client.HTTPConnection("127.0.0.1", server, timeout=30)
        given = {**headers, "Idempotency-Key": f"key-{len(answers)}"}
        if "encode_chunked" in how:
            given["Transfer-Encoding"] = "chunked"
        connection.request("POST", address(f"payments/{payment.uid}/refund"), headers=given, **how)  # type: ignore[arg-type]
        answer = connection.getresponse()
        answers.append((answer.status, json.loads(answer.read())))
        connection.close()
    assert answers[0][0] == 411
    assert answers[0][1]["type"] == "urn:govpay:problem:no-length"
    assert answers[1][0] == 201
    assert merchant.moved("refund", payment) == 500


def test_it_is_refused_wherever_there_are_bodies(superuser: Program, merchant: Merchant) -> None:
    payment = merchant.captured(10_000)
    for path in (
        f"payments/{payment.uid}/refund",
        f"payments/{payment.uid}/void",
        f"accounts/{merchant.account.uid}/sync",
    ):
        for length in ({}, {"CONTENT_LENGTH": "12"}):
            headers = {"Idempotency-Key": "k", "Transfer-Encoding": "chunked"}
            answer = superuser.client.generic("POST", address(path), b"", headers=headers, **length)
            problem(answer, 411, "no-length")
    for length in ("", "x", "-1", "٣"):
        headers = {"Idempotency-Key": "k"}
        path = address(f"payments/{payment.uid}/refund")
        answer = superuser.client.generic("POST", path, b'{"amount": 1}', headers=headers, CONTENT_LENGTH=length)
        problem(answer, 411, "no-length")
    assert not merchant.posts("refund")


async def _ask(path: str, **headers: str) -> Any:
    return await AsyncClient().generic("POST", path, b"", content_type="application/json", headers=headers)


def test_it_is_refused_by_an_asynchronous_server_too(finance_program: Program, merchant: Merchant) -> None:
    from asgiref.sync import async_to_sync

    path = address(f"payments/{merchant.captured().uid}/refund")
    known = {"Authorization": finance_program.client.defaults["HTTP_AUTHORIZATION"], "Idempotency-Key": "k"}
    for more in ({"Transfer-Encoding": "chunked"}, {}):
        problem(async_to_sync(_ask)(path, **known, **more), 411, "no-length")
    assert not merchant.posts("refund")


def test_an_action_without_a_body_needs_no_length(finance_program: Program, merchant: Merchant) -> None:
    path = address(f"payments/{merchant.quoted().uid}/void")
    answer = finance_program.client.generic("POST", path, b"", headers={"Idempotency-Key": "k"})
    assert "CONTENT_LENGTH" not in answer.wsgi_request.META
    assert answer.status_code == 200


def test_a_refund_says_what_it_gives_back(finance_program: Program, merchant: Merchant) -> None:
    payment = merchant.captured(10_000)
    for body in ({}, {"reason": "Overpaid"}):
        found = problem(finance_program.act(f"payments/{payment.uid}/refund", body), 400, "invalid")
        assert [error["field"] for error in found["errors"]] == ["amount"]
    assert not Operation.objects.filter(action="refund").exists()
    assert finance_program.act(f"payments/{payment.uid}/refund", {"amount": 100}).status_code == 201
    answer = finance_program.act(f"payments/{payment.uid}/refund", {"amount": None})
    assert (answer.status_code, answer.json()["amount"]) == (201, payment.total_amount - 100)
    assert merchant.moved("refund", payment) == payment.total_amount
