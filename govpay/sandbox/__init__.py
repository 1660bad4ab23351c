"""A stand-in for the vendor's platform on loopback, written from the vendor's documents alone.

It knows nothing of Django and nothing of this package's client: what the two agree on is the contract.
"""

from .sandbox import Address, Sandbox
from .server import PortBusy

__all__ = ["Address", "PortBusy", "Sandbox"]
