"""`manage.py govpay_sandbox`."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from govpay.management.commands import govpay_sandbox
from govpay.sandbox import Sandbox


def test_busy_port_is_one_line(sandbox: Sandbox) -> None:
    assert sandbox.address
    with pytest.raises(CommandError, match=str(sandbox.address.port)) as caught:
        call_command("govpay_sandbox", port=sandbox.address.port, size="empty")
    assert "\n" not in str(caught.value)


def test_missing_extra_names_the_cure(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(govpay_sandbox, "command", None)
    with pytest.raises(CommandError, match=r"pip install django-govpay\[sandbox\]"):
        call_command("govpay_sandbox")
    with pytest.raises(SystemExit) as caught:
        govpay_sandbox.Command().run_from_argv(["manage.py", "govpay_sandbox", "--port", "1"])
    assert caught.value.code == 1
    assert capsys.readouterr().err == "The sandbox needs its extra: pip install django-govpay[sandbox]\n"
