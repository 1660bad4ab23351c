"""The demo city's tenants: provisioned as a merchant's are, from the example, then settled by the stand-in."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from pathlib import Path

from project.demo.processes import HOST, Company

#: The address that the example gives the city.
PUBLIC = "https://pay.city.example"

#: Seconds for the whole file, and for ninety days of payments.
PATIENCE = 120


class NotFounded(Exception):
    """The city could not be made; the text says why."""


def provision_city(company: Company, example: Path, file: Path, port: int) -> None:
    """``govpay_provision`` with the example, for the site on ``port``; run again it changes what the port changes."""
    file.write_text(for_this_site(example.read_text(encoding="utf-8"), port), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "manage.py", "govpay_provision", str(file)],
        cwd=company.folder,
        env=company.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    (company.logs / "provision.log").write_text(done.stdout + done.stderr, encoding="utf-8")
    if done.returncode:
        raise NotFounded(f"The demo city could not be provisioned:\n{done.stderr.strip()}")


def for_this_site(text: str, port: int) -> str:
    """The example with this site's address: it is told of what happens, and may show the payment form."""
    here = f"http://{HOST}:{port}"
    text = text.replace(f'site = "{PUBLIC}"', f'site = "{here}"')
    origins = json.dumps([PUBLIC, here, f"http://localhost:{port}"])
    return text.replace(f'allowed_origins = ["{PUBLIC}"]', f"allowed_origins = {origins}")


def fill_city(port: int) -> None:
    """Have the stand-in on ``port`` let people and payments in, once; six payments wait after each start."""
    connection = http.client.HTTPConnection(HOST, port, timeout=PATIENCE)
    try:
        connection.request("POST", "/_sandbox/city", body="{}", headers={"Content-Type": "application/json"})
        answer = connection.getresponse()
        said = answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise NotFounded(f"The stand-in platform could not settle the demo city: {error}") from error
    finally:
        connection.close()
    if answer.status != 200:
        raise NotFounded(f"The stand-in platform could not settle the demo city: {said}")
