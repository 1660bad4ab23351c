"""A local platform for tests and demos, written from the vendor's documents alone.

It imports neither Django nor this package's client. The client and the sandbox both follow the vendor's API.

- `control`: the `/_sandbox` routes, faults, time and demo data, for tests and demos. It imports the three below.
- `browser`: the hosted page and the routes that a payer's browser calls. It imports `api`.
- `api`: the platform's other routes and its rules. It imports `webhooks`.
- `webhooks`: the outbox and the courier that posts its deliveries.

The other modules are of two kinds: modules that all four packages use (such as `store`, `clock`, `shapes`), and modules
that combine the four packages (`routes`, `app`, `server`, `sandbox`, `command`).
"""

from govpay.sandbox.sandbox import Address, Sandbox
from govpay.sandbox.server import PortBusy

__all__ = ["Address", "PortBusy", "Sandbox"]
