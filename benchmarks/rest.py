"""Part 3: lists and rows over REST, through the WSGI handler, with many payments in the table. Prints JSON."""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.test.utils import CaptureQueriesContext

from benchmarks import ready
from govpay.models import Payment, PaymentAccount
from govpay.rest.pagination import cursor_of

ACCOUNTS = 4
BASE = "/govpay/api/v1/"

#: Column → what row ``i`` has there; every other column is as in the first row.
VALUES = {
    "uid": "'pay_' || i",
    "account_id": f"'acc_' || (i % {ACCOUNTS})",
    "reference_id": "'INV-' || i",
    "total_amount": "100 + i % 90000",
    "status": "CASE i % 50 WHEN 0 THEN 'refunded' WHEN 1 THEN 'failed' ELSE 'captured' END",
}
#: Twenty seconds between two payments.
MOMENTS = {
    "postgresql": "timestamptz '2026-03-01 12:00:00+00' - i * interval '20 seconds'",
    "sqlite": "datetime('2026-03-01 12:00:00', '-' || (i * 20) || ' seconds')",
}


def main(rows: int, rounds: int) -> None:
    ready.empty_database()
    fill(rows)
    user = get_user_model().objects.create_superuser(f"bench-{time.time_ns()}")
    token = apps.get_model("authtoken", "Token").objects.create(user=user).key
    application = get_wsgi_application()

    def ask(address: str) -> tuple[float, float, bytes]:
        path, _, query = address.partition("?")
        return timed(application, path, query, token)

    deep = middle(rows)
    paths = {
        "100 payments": "payments?page_size=100",
        "100 in the middle": f"payments?page_size=100&cursor={deep}",
        "100 with a status": "payments?page_size=100&status=refunded",
        "100 of an account": "payments?page_size=100&account=acc_1",
        "100 of a day": "payments?page_size=100&created_from=2026-02-27T00:00:00Z&created_before=2026-02-28T00:00:00Z",
        "100 of some amounts": "payments?page_size=100&amount_from=5000&amount_to=5099",
        "none of an amount": "payments?page_size=100&amount_from=99999",
        "by reference": f"payments?reference_id=INV-{rows // 2}",
        "100 with three fields": "payments?page_size=100&fields=uid,status,total_amount",
        "one payment": f"payments/pay_{rows // 2}",
    }
    found = {}
    for what, path in paths.items():
        ask(BASE + path)
        with CaptureQueriesContext(connection) as context:
            _, _, body = ask(BASE + path)
        statements = len(context)
        shown = len(json.loads(body).get("results", [1]))
        assert shown == {"100": 100, "none": 0}.get(what.split()[0], shown or 1), f"{what}: {shown} rows"
        times = [ask(BASE + path)[:2] for _ in range(rounds)]
        cpu, wall = (median(each) for each in zip(*times, strict=True))
        found[what] = {"cpu": cpu, "wall": wall, "bytes": len(body), "statements": statements}
    print(json.dumps(found))


def fill(rows: int) -> None:
    """As many payments as ``rows``, made in the database."""
    Payment.objects.all().delete()
    PaymentAccount.objects.all().delete()
    PaymentAccount.objects.bulk_create(PaymentAccount(uid=f"acc_{number}") for number in range(ACCOUNTS))
    first = Payment.objects.create(
        uid="pay_0",
        account_id="acc_0",
        reference_id="INV-0",
        base_amount=100,
        tax_amount=0,
        processing_fee_amount=0,
        total_amount=100,
        refunded_amount=0,
        currency="USD",
        status="captured",
        method_type="credit",
        brand="visa",
        last4="1111",
        raw={"uid": "pay_0", "payment_method": {"payment_method_type": "credit", "credit": {"last4": "1111"}}},
        remote_created_at="2026-03-01T12:00:00Z",
        captured_at="2026-03-01T12:00:00Z",
    )
    moment = MOMENTS[connection.vendor]
    values = {**VALUES, "remote_created_at": moment, "remote_updated_at": moment, "captured_at": moment}
    columns = [str(field.column) for field in Payment._meta.concrete_fields if not field.primary_key]
    table = Payment._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH RECURSIVE numbers(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < {rows - 1}) "
            f"INSERT INTO {table} ({', '.join(columns)}) "
            f"SELECT {', '.join(values.get(column, column) for column in columns)} "
            f"FROM numbers CROSS JOIN {table} WHERE {table}.id = {first.pk}"
        )
        cursor.execute(f"ANALYZE {table}")


def middle(rows: int) -> str:
    """The cursor in the middle of the list."""
    return cursor_of(Payment.objects.get(uid=f"pay_{rows // 2}"), "remote_created_at")


def timed(application: Callable[..., Any], path: str, query: str, token: str) -> tuple[float, float, bytes]:
    """Seconds of this process' CPU and of the clock, and what came back."""
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "SCRIPT_NAME": "",
        "QUERY_STRING": query,
        "HTTP_AUTHORIZATION": f"Token {token}",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.url_scheme": "http",
        "wsgi.version": (1, 0),
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    told: list[str] = []
    cpu, wall = time.process_time(), time.perf_counter()
    answer = application(environ, lambda line, headers, *rest: told.append(line))
    body = b"".join(answer)
    answer.close()
    taken = time.process_time() - cpu, time.perf_counter() - wall
    assert told[0].startswith("200"), (path, told, body[:500])
    return (*taken, body)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
