"""The client as a package: its exports; it needs no Django, and one module alone uses the network."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import govpay.client
from govpay.client import Config
from govpay.client.factory import connect
from tests.client.servers import reply, token_document

HERE = Path(govpay.client.__file__).parent


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def test_it_imports_no_django_no_other_package_and_http_in_one_module_only() -> None:
    for path in HERE.glob("*.py"):
        for name in imports(path):
            top = name.partition(".")[0]
            assert top not in {"django", "rest_framework", "celery"}, path.name
            assert top not in {"requests", "urllib3"} or path.name == "transport.py", path.name
            if top == "govpay":
                assert name in {
                    "govpay",
                    "govpay.security",
                    "govpay.security.tracebacks",
                    "govpay.exceptions",
                } or name.startswith("govpay.client"), path.name


def test_it_works_where_django_cannot_be_imported() -> None:
    code = "import sys; sys.modules['django'] = None; import govpay.client; print(len(govpay.client.__all__))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=HERE.parent.parent, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_export_exists() -> None:
    assert all(hasattr(govpay.client, name) for name in govpay.client.__all__)
    assert list(govpay.client.__all__) == sorted(govpay.client.__all__)


def test_connect_puts_it_all_together(serve) -> None:  # type: ignore[no-untyped-def]
    server = serve(choose=lambda seen: reply(token_document("abc") if seen.path == "/token" else {"uid": "p"}))
    endpoints = connect(
        Config(api_url=server.url), client_id="id", client_secret="s", token_url=f"{server.url}/token", scope="x"
    )
    assert endpoints.get_payment("acc", "p").uid == "p"
    assert [seen.path for seen in server.seen] == ["/token", "/api/payments/p"]
    assert server.seen[1].headers["authorization"] == "Bearer abc"
