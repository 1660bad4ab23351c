"""The built wheel, installed in an empty site: it migrates, syncs and captures."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.processes import ROOT, bare_environment

pytestmark = pytest.mark.ci

CAPTURE = """
from govpay.models import Operation, Payment
from govpay.operations import capture_payment
payment = capture_payment(payment=Payment.objects.get(reference_id="WHEEL-1"))
operation = Operation.objects.get()
print("captured:", payment.status, operation.action, operation.state)
"""


#: Without ``rest_framework.authtoken`` only the session signs in; nothing of the page's files is installed either.
REST = """
from django.test import Client
client = Client(SERVER_NAME="localhost")
schema = client.get("/govpay/api/schema/").json()
answers = [client.get(f"/govpay/api/{path}", headers={"Authorization": "Token x"}) for path in ("v1/payments", "docs/")]
print("rest:", schema["openapi"], [answer.status_code for answer in answers], answers[0]["Content-Type"])
"""


def run(*command: object, folder: Path, timeout: float = 120) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=bare_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, folder=ROOT)
    (built,) = folder.glob("*.whl")
    return built


def test_wheel_holds_the_app_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = next(archive.read(name).decode() for name in names if name.endswith("/METADATA"))
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"govpay", "django_govpay"}
    assert not [name for name in names if "__pycache__" in name or name.startswith("tests")]
    in_repository = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "govpay").rglob("*")
        if path.is_file() and path.suffix != ".pyc" and not path.name.startswith(".")
    }
    assert {n for n in names if n.startswith("govpay/") and "/." not in n} == in_repository
    assert "govpay/py.typed" in names
    assert any(name.startswith("govpay/templates/govpay/") for name in names)
    assert "Name: django-govpay" in metadata
    assert "License-Expression: MIT" in metadata
    assert any(name.endswith("/licenses/LICENSE") for name in names)


@pytest.fixture
def blank_site(wheel: Path, tmp_path: Path) -> tuple[Path, Path]:
    """(its Python, its folder): the wheel installed, and what ``startproject`` makes.

    Dependencies come from the environment of the tests, so that nothing is downloaded; the checkout
    does not.
    """
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    purelib = Path(sysconfig.get_path("purelib", vars={"base": str(tmp_path / "venv")}))
    (purelib / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-index", "--no-deps"]
    run(*pip, wheel, folder=tmp_path)
    where = run(python, "-c", "import govpay; print(govpay.__file__)", folder=tmp_path)
    assert where.startswith(str(tmp_path)), "the checkout shadows the wheel"
    site = tmp_path / "site"
    site.mkdir()
    run(python, "-m", "django", "startproject", "blank", site, folder=tmp_path)
    return python, site


def test_blank_site_migrates_syncs_and_captures(blank_site: tuple[Path, Path], sandbox: Any) -> None:
    python, site = blank_site
    account = sandbox.add_account()["uid"]
    customer = sandbox.add_customer(account)["uid"]
    method = sandbox.add_method(customer)["saved_payment_method_uid"]
    sandbox.add_payment(account, method=method, reference_id="WHEEL-1", base_amount=12_345)
    sandbox.add_payments(account, 150)
    with (site / "blank" / "settings.py").open("a") as settings:
        settings.write(
            f"""
INSTALLED_APPS += ["govpay"]
GOVPAY = {{
    "CLIENT_ID": {sandbox.address.client_id!r},
    "CLIENT_SECRET": {sandbox.address.client_secret!r},
    "TOKEN_URL": {sandbox.address.token_url!r},
    "API_URL": {sandbox.address.api_url!r},
}}
"""
        )

    def manage(*arguments: str) -> str:
        return run(python, "manage.py", *arguments, folder=site)

    manage("migrate", "--verbosity=0")
    manage("makemigrations", "--check", "--dry-run")

    synced = manage("govpay_sync")
    assert f"payments account={account} fetched=151 created=151" in synced

    before = len(sandbox.ledger())
    assert "captured: captured capture succeeded" in manage("shell", "-v0", "-c", CAPTURE)
    (effect,) = sandbox.ledger()[before:]
    assert effect["kind"] == "capture"
    assert effect["amount"] >= 12_345
    with (site / "blank" / "urls.py").open("a") as addresses:
        addresses.write('from django.urls import include\nurlpatterns += [path("govpay/", include("govpay.urls"))]\n')
    assert "rest: 3.1.1 [403, 200] application/problem+json" in manage("shell", "-v0", "-c", REST)
    captures = [call for call in sandbox.requests() if call["path"].endswith("/capture")]
    assert len(captures) == 1
