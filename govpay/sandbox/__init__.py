"""A stand-in for the vendor's platform on loopback, written from the vendor's documents alone.

It imports neither Django nor this package's client. Both follow the same contract, the vendor's API.

- `control`: the `/_sandbox` routes and all that tests and demos change. It imports the three below.
- `browser`: what a payer's browser calls. It imports `api`.
- `api`: the platform's routes and rules. It imports `webhooks`.
- `webhooks`: outbox and courier.

The modules beside them are the basics that all four share (such as `store`, `clock`, `shapes`) and the parts that join
everything (`routes`, `app`, `server`, `sandbox`, `command`).
"""

from govpay.sandbox.sandbox import Address, Sandbox
from govpay.sandbox.server import PortBusy

__all__ = ["Address", "PortBusy", "Sandbox"]
