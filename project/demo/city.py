"""The demo city: provisioned from the example file, then filled with people and payments by the sandbox."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from pathlib import Path

from project.demo.processes import HOST, Supervisor

#: The site's address in the example file.
PUBLIC = "https://pay.city.example"

#: Timeout in seconds for provisioning, and for filling the city with payments.
PROVISION_TIMEOUT = 120


class CityFailed(Exception):
    """The demo city could not be created. The text says why."""


def provision_city(supervisor: Supervisor, example: Path, file: Path, port: int) -> None:
    """Run ``govpay_provision`` with the example for the site on ``port``. A later run changes only the addresses."""
    file.write_text(for_this_site(example.read_text(encoding="utf-8"), port), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "manage.py", "govpay_provision", str(file)],
        cwd=supervisor.folder,
        env=supervisor.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PROVISION_TIMEOUT,
        check=False,
    )
    (supervisor.logs / "provision.log").write_text(done.stdout + done.stderr, encoding="utf-8")
    if done.returncode:
        raise CityFailed(f"The demo city could not be provisioned:\n{done.stderr.strip()}")


def for_this_site(text: str, port: int) -> str:
    """Return the example with this site's address for the webhooks and as an allowed origin of the payment form."""
    here = f"http://{HOST}:{port}"
    text = text.replace(f'site = "{PUBLIC}"', f'site = "{here}"')
    origins = json.dumps([PUBLIC, here, f"http://localhost:{port}"])
    return text.replace(f'allowed_origins = ["{PUBLIC}"]', f"allowed_origins = {origins}")


def fill_city(port: int) -> None:
    """Let the sandbox on ``port`` add people and payments, once. After each call six payments wait for a capture."""
    connection = http.client.HTTPConnection(HOST, port, timeout=PROVISION_TIMEOUT)
    try:
        connection.request("POST", "/_sandbox/city", body="{}", headers={"Content-Type": "application/json"})
        answer = connection.getresponse()
        said = answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise CityFailed(f"The sandbox could not fill the demo city: {error}") from error
    finally:
        connection.close()
    if answer.status != 200:
        raise CityFailed(f"The sandbox could not fill the demo city: {said}")
