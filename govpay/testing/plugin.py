"""A pytest plug-in for host sites: ``pytest_plugins = ["govpay.testing.plugin"]`` in the root ``conftest.py``.

``govpay_platform`` is a sandbox (extra ``sandbox``). The site's settings point to it during the test.
``govpay_deliver`` sends a webhook to the site and processes it to the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest


@pytest.fixture
def govpay_platform(settings: Any, db: None) -> Iterator[Any]:
    """Yield an empty ``govpay.sandbox.Sandbox`` on a free port. ``settings.GOVPAY`` has its URLs and credentials."""
    from govpay import conf, connection  # noqa: PLC0415 - Django may not be set up when pytest loads plug-ins
    from govpay.sandbox import Sandbox  # noqa: PLC0415 - needs the extra "sandbox"
    from govpay.sync import secrets  # noqa: PLC0415 - as above

    with Sandbox() as sandbox, sandbox.serve() as address:
        settings.GOVPAY = {
            **conf.given(),
            "API_URL": address.api_url,
            "TOKEN_URL": address.token_url,
            "CLIENT_ID": address.client_id,
            "CLIENT_SECRET": address.client_secret,
        }
        secrets.forget()
        yield sandbox
        connection.reset()
        secrets.forget()


@pytest.fixture
def govpay_deliver(govpay_platform: Any, client: Any) -> Callable[..., Any]:
    """Return a function: ``govpay_deliver(account_uid, "payment.refunded", payment_uid=…)`` delivers one signed event.

    The function posts the delivery to the site's own URL, processes it as a worker would, sends the signals, and
    returns the ``WebhookEvent``. If the site does not know the account yet, clients and accounts are read first. The
    test fails if the site refuses the delivery.
    """
    from django.urls import reverse  # noqa: PLC0415 - see above

    from govpay.models import PaymentAccount, WebhookEvent  # noqa: PLC0415 - as above
    from govpay.sync.pull import pull  # noqa: PLC0415 - as above
    from govpay.tasks import process_event  # noqa: PLC0415 - as above
    from govpay.testing.events import signed_event  # noqa: PLC0415 - as above

    def deliver(account_uid: str, event_type: str, **data: Any) -> Any:
        if not PaymentAccount.objects.filter(uid=account_uid).exists():
            pull("clients")
            pull("accounts")
        event = signed_event(event_type, data, secret=govpay_platform.webhook_secret(account_uid))
        url = reverse("govpay:webhook", args=[account_uid])
        answer = client.post(url, event.body, content_type="application/json", headers=event.headers)
        if answer.status_code != 200:
            pytest.fail(f"the delivery was refused: {answer.status_code} {answer.content!r}; the log says why")
        row = WebhookEvent.objects.get(account=account_uid, webhook_id=event.webhook_id)
        process_event(row.pk)
        row.refresh_from_db()
        return row

    return deliver
