"""Part 2: deliveries through the WSGI handler, in turns with a bare view that writes one row. Prints JSON."""

from __future__ import annotations

import gc
import hashlib
import hmac
import io
import json
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any

from celery import Celery
from django.core.wsgi import get_wsgi_application

from benchmarks import ready
from govpay.models import PaymentAccount, WebhookEvent
from govpay.models.fields import Sealed

ACCOUNT, SECRET = "acc_bench", "whsec_bench"


def main(count: int, rounds: int) -> None:
    Celery("bench", broker="memory://", set_as_current=True).conf.task_ignore_result = True
    ready.empty_database()
    PaymentAccount.objects.filter(uid=ACCOUNT).delete()
    PaymentAccount.objects.create(uid=ACCOUNT, webhook_secret=Sealed.of(SECRET))
    application = get_wsgi_application()
    found: dict[str, list[float]] = {"bare": [], "accept": [], "duplicate": [], "forged": [], "p99": []}

    def send(url: str, requests: list[tuple[bytes, str]], status: str) -> list[float]:
        gc.collect()
        return [timed(application, url, body, signature, status) for body, signature in requests]

    send("/bare/", made(200), "200")
    send(f"/govpay/webhooks/{ACCOUNT}/", made(200), "200")
    for _ in range(rounds):
        WebhookEvent.objects.all().delete()
        found["bare"].append(sum(send("/bare/", made(count), "200")))
        WebhookEvent.objects.all().delete()
        requests = made(count)
        times = send(f"/govpay/webhooks/{ACCOUNT}/", requests, "200")
        found["accept"].append(sum(times))
        found["p99"].append(sorted(times)[len(times) * 99 // 100])
        found["duplicate"].append(sum(send(f"/govpay/webhooks/{ACCOUNT}/", requests, "200")))
        assert WebhookEvent.objects.count() == count
        forged = [(body, "0" * 64) for body, _ in made(count)]
        found["forged"].append(sum(send(f"/govpay/webhooks/{ACCOUNT}/", forged, "401")))
    print(json.dumps(found))


def made(count: int) -> list[tuple[bytes, str]]:
    """Fresh deliveries with their signatures."""
    found = []
    for _ in range(count):
        moment = int(time.time())
        data = {"payment_uid": f"pay_{uuid.uuid4().hex}", "transaction_uid": f"trx_{uuid.uuid4().hex}", "amount": 1234}
        body = json.dumps(
            {
                "webhook_id": f"evt_{uuid.uuid4().hex}",
                "event_type": "payment.refunded",
                "timestamp": moment,
                "data": {**data, "status": "succeeded", "reference_id": uuid.uuid4().hex},
            }
        ).encode()
        found.append((body, hmac.new(SECRET.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()))
    return found


def timed(application: Callable[..., Any], url: str, body: bytes, signature: str, status: str) -> float:
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": url,
        "SCRIPT_NAME": "",
        "QUERY_STRING": "",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_X_WEBHOOK_SIGNATURE": f"sha256={signature}",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.url_scheme": "http",
        "wsgi.version": (1, 0),
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    told: list[str] = []
    started = time.perf_counter()
    answer = application(environ, lambda line, headers, *rest: told.append(line))
    b"".join(answer)
    answer.close()
    taken = time.perf_counter() - started
    assert told[0].startswith(status), told
    return taken


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
