"""Public functions that change something on the platform. Each commits a journal row before it sends a request.

All arguments are keyword-only. ``__init__.pyi`` lists the public names. A name is imported when it is first used, so
that a process that starts no operation does not import the API client. Tracebacks of these functions contain no
arguments (``govpay.security.tracebacks``).
"""

from __future__ import annotations

import warnings
from types import FunctionType
from typing import Any

import lazy_loader

from govpay.security.tracebacks import scrub_traceback

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

#: Old name → new name. The old names are removed in the next release.
_RENAMED = {"Seen": "Snapshot", "settle_by_hand": "resolve_manually", "recheck_settled": "recheck_resolved"}


def __getattr__(name: str) -> Any:
    if name in _RENAMED:
        warnings.warn(f"{__name__}.{name} is now {_RENAMED[name]}.", DeprecationWarning, stacklevel=2)
        name = _RENAMED[name]
    found = _load(name)
    if isinstance(found, FunctionType):
        found = globals()[name] = scrub_traceback(found)
    return found
