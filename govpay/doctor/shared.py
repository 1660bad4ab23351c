"""Whether the cache is one for all processes, and its ``add`` lets one of several through."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.cache import caches
from django.utils import timezone
from django.utils.translation import gettext as _

from govpay import conf
from govpay.doctor.findings import Finding, Level
from govpay.doctor.signs import BEAT, SILENCE, WORKER, mark_key
from govpay.doctor.visit import Visit
from govpay.models import Heartbeat

#: Backends that keep things in one process, or nowhere.
OWN = (
    "django.core.cache.backends.locmem.LocMemCache",
    "django.core.cache.backends.dummy.DummyCache",
)
#: Shared, but two processes can both be told that their ``add`` came first.
RACY = ("django.core.cache.backends.filebased.FileBasedCache",)


def check_cache(visit: Visit) -> Iterator[Finding]:
    """By its kind, by using it, and by what a worker left in it."""
    alias = conf.get("CACHE")
    cure = _("Use Redis, Memcached or django.core.cache.backends.db.DatabaseCache, the same one for all processes.")
    if alias not in settings.CACHES:
        what = _("There is no cache %(alias)s.") % {"alias": repr(alias)}
        yield Finding("cache", Level.ERROR, what, _("Name an alias of CACHES in GOVPAY['CACHE']."))
        return
    backend = str(settings.CACHES[alias].get("BACKEND"))
    names = {"alias": alias, "backend": backend.rpartition(".")[2]}
    if backend in OWN:
        what = _("The cache %(alias)s (%(backend)s) is of each process by itself: token and pauses are not shared.")
        several = not settings.DEBUG or _alive().exists()
        yield Finding("cache", Level.ERROR if several else Level.WARNING, what % names, cure)
        return
    cache = caches[alias]
    fault = _use(cache)
    if fault:
        yield Finding("cache", Level.ERROR, fault % names, _("See whether the cache's server is up and has room."))
        return
    if backend in RACY:
        what = _("The cache %(alias)s (%(backend)s) is shared, but its add() is not atomic: two may fetch a token.")
        yield Finding("cache", Level.WARNING, what % names, cure)
    alive = _alive().filter(name=BEAT).first()
    proof = None if alive is None else _is_shared(cache, alive)
    if proof is None:
        what = _("The cache %(alias)s (%(backend)s) works here; no worker is alive to prove that it is shared.")
        yield Finding("cache", Level.OK, what % names)
    elif proof:
        what = _("The cache %(alias)s (%(backend)s) is shared with the worker.")
        yield Finding("cache", Level.OK, what % names)
    else:
        what = _("The cache %(alias)s (%(backend)s) is not the worker's: what it puts there is not found here.")
        yield Finding("cache", Level.ERROR, what % names, cure)


def _alive() -> Any:
    """Signs of a worker: its own, and beat's, which a worker leaves as well."""
    return Heartbeat.objects.filter(name__in=(BEAT, WORKER), last_seen__gt=timezone.now() - SILENCE)


def _is_shared(cache: Any, row: Heartbeat) -> bool:
    for _attempt in range(2):  # a tick in this very moment has written one of the two
        if cache.get(mark_key()) == row.mark:
            return True
        row.refresh_from_db()
    return False


def _use(cache: Any) -> str:
    """What is wrong with the cache when it is used, with places for its names."""
    key, value = f"govpay:doctor:{uuid.uuid4().hex}", uuid.uuid4().hex
    try:
        first, second = cache.add(key, value, timeout=60), cache.add(key, "other", timeout=60)
        found = cache.get(key)
        cache.delete(key)
    except Exception as error:  # each backend has its own kinds of it
        # Its text may name an address with a password.
        return _("The cache %(alias)s (%(backend)s) fails ({error}).").replace("{error}", type(error).__name__)
    if found != value or not first:
        return _("The cache %(alias)s (%(backend)s) does not keep what is put there.")
    return _("The add() of the cache %(alias)s (%(backend)s) overwrites what is there.") if second else ""
