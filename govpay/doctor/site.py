"""Checks of this site: its settings, encryption keys, cache, and the heartbeats of worker and beat."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.cache import caches
from django.core.checks import ERROR, run_checks
from django.http.request import validate_host
from django.utils import timezone
from django.utils.translation import gettext as _

from govpay import conf
from govpay.cache import HEARTBEAT_KEY
from govpay.checks import LOOPBACK
from govpay.doctor.findings import CheckContext, Finding, Level, listed, span
from govpay.doctor.heartbeats import BEAT, MAX_SILENCE, WORKER
from govpay.exceptions import EncryptionError
from govpay.models import Heartbeat, PaymentAccount
from govpay.models.sealed import batches, sealed_columns
from govpay.security.encryption import resealed

#: System checks that check_cache reports in more detail.
REPORTED_BY_CACHE = ("govpay.W001", "govpay.E003")

#: Maximum number of unreadable rows whose keys are listed. Further ones are only counted.
MAX_LISTED_ROWS = 20

#: Seconds for reading the encrypted columns of all tables.
KEY_SCAN_TIMEOUT = 5.0

#: Cache backends that no two processes share.
UNSHARED_BACKENDS = (
    "django.core.cache.backends.locmem.LocMemCache",
    "django.core.cache.backends.dummy.DummyCache",
)
#: Cache backends that processes share, but whose ``add`` is not atomic: it can succeed in two processes at once.
NON_ATOMIC_BACKENDS = ("django.core.cache.backends.filebased.FileBasedCache",)


# --- Settings ----------------------------------------------------------------------------------


def check_settings(context: CheckContext) -> Iterator[Finding]:
    """Check the settings of this package, with its system checks."""
    found = [message for message in run_checks(tags=["govpay"]) if message.id not in REPORTED_BY_CACHE]
    for message in found:
        level = Level.ERROR if message.level >= ERROR else Level.WARNING
        yield Finding("settings", level, f"{message.id}: {message.msg}", str(message.hint or ""))
    if not found:
        yield Finding("settings", Level.OK, _("The settings are complete and well formed."))
    keys = conf.given().get("ENCRYPTION_KEYS")
    if not keys and not is_rehearsal():
        what = _("The encryption keys are derived from SECRET_KEY, and change with it.")
        yield Finding("settings", Level.WARNING, what, _("Set ENCRYPTION_KEYS; see the notes for hosts."))


def is_rehearsal() -> bool:
    """Return whether the platform is a sandbox on this machine. Plain http is allowed then."""
    return urlsplit(str(conf.given().get("API_URL") or "")).hostname in LOOPBACK


def answers_to(host: str | None) -> bool:
    """Return whether this site accepts requests for ``host``."""
    return bool(host) and validate_host(str(host), allowed_hosts())


def allowed_hosts() -> list[str]:
    names = [str(name) for name in settings.ALLOWED_HOSTS]
    return names or ([".localhost", "127.0.0.1", "[::1]"] if settings.DEBUG else [])


def check_site(context: CheckContext) -> Iterator[Finding]:
    """Check Django's settings for hosts, https and cookies."""
    rehearsal, fine = is_rehearsal(), True
    for level, what, hint in (*_hosts(rehearsal), *(() if rehearsal else _safety())):
        fine = False
        yield Finding("site", level, what, hint)
    if fine and rehearsal:
        yield Finding("site", Level.OK, _("The platform is the sandbox on this machine: plain http is allowed."))
    elif fine:
        yield Finding("site", Level.OK, _("Hosts, https and cookies are set up for a public site."))


def _hosts(rehearsal: bool) -> Iterator[tuple[Level, str, str]]:
    if not allowed_hosts():
        what = _("ALLOWED_HOSTS is empty: Django answers every webhook and every payer with 400.")
        yield Level.ERROR, what, _("Name the hosts of this site in ALLOWED_HOSTS.")
    elif "*" in settings.ALLOWED_HOSTS:
        what = _("ALLOWED_HOSTS accepts every host name, so an attacker can make this site link to another host.")
        yield Level.WARNING, what, _("Name the hosts of this site in ALLOWED_HOSTS.")
    if not rehearsal and settings.DEBUG:
        what = _("DEBUG is on while a real platform is used: error pages show settings and variables.")
        yield Level.ERROR, what, _("Set DEBUG = False.")


def _safety() -> Iterator[tuple[Level, str, str]]:
    for name in ("SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE"):
        if not getattr(settings, name):
            what = _("%(name)s is off: the cookie is sent over plain http, too.") % {"name": name}
            yield Level.WARNING, what, _("Set %(name)s = True.") % {"name": name}
    plain = [origin for origin in settings.CSRF_TRUSTED_ORIGINS if not str(origin).startswith("https://")]
    if plain:
        what = _("CSRF_TRUSTED_ORIGINS contains origins that are not https: %(origins)s.") % {"origins": listed(plain)}
        yield Level.WARNING, what, _("Give https origins.")
    if not settings.SECURE_SSL_REDIRECT and not settings.SECURE_PROXY_SSL_HEADER:
        what = _(
            "Neither SECURE_SSL_REDIRECT nor SECURE_PROXY_SSL_HEADER is set: this site may answer plain http requests "
            "instead of redirecting them to https."
        )
        hint = _("Set SECURE_SSL_REDIRECT = True, or SECURE_PROXY_SSL_HEADER behind a proxy that ends TLS.")
        yield Level.WARNING, what, hint


def check_checkout(context: CheckContext) -> Iterator[Finding]:
    """Check the addresses to which payers return, and the vendor's script."""
    fine = True
    for level, what, hint in (*_origins(), *_component()):
        fine = False
        yield Finding("checkout", level, what, hint)
    if fine:
        yield Finding("checkout", Level.OK, _("Return addresses and the vendor's script are set up."))


def _origins() -> Iterator[tuple[Level, str, str]]:
    origins = [str(each) for each in conf.get("CHECKOUT_ORIGINS")]
    if not origins:
        what = _("CHECKOUT_ORIGINS is empty: payment links cannot bring payers back to this site.")
        yield Level.WARNING, what, _("Name this site's own origin in GOVPAY['CHECKOUT_ORIGINS'].")
        return
    wrong = [each for each in origins if not _is_origin(each)]
    if wrong:
        what = _("CHECKOUT_ORIGINS contains values that are not https origins: %(origins)s.") % {
            "origins": listed(wrong)
        }
        yield Level.ERROR, what, _("Write each as https://host, without a path.")
    elif not any(answers_to(urlsplit(each).hostname) for each in origins):
        what = _("No origin of CHECKOUT_ORIGINS is a host of this site: %(origins)s.") % {"origins": listed(origins)}
        yield Level.WARNING, what, _("Payment links need this site's own origin there.")


def _component() -> Iterator[tuple[Level, str, str]]:
    script, mark = str(conf.get("COMPONENT_SCRIPT_URL")), str(conf.get("COMPONENT_SCRIPT_INTEGRITY"))
    if script and not _is_safe(script):
        what = _(
            "COMPONENT_SCRIPT_URL is not https: an attacker on the network could change the script that takes card "
            "numbers."
        )
        yield Level.ERROR, what, _("Give the vendor's https address.")
    elif script and not mark and urlsplit(script).hostname not in LOOPBACK:
        what = _("COMPONENT_SCRIPT_INTEGRITY is empty: browsers would run a changed script.")
        yield Level.WARNING, what, _("Give the sha384 hash of the script's version.")
    if mark and not mark.startswith(("sha256-", "sha384-", "sha512-")):
        what = _("COMPONENT_SCRIPT_INTEGRITY is no hash: browsers ignore it.")
        yield Level.ERROR, what, _("Write it as sha384-….")


def _is_safe(address: str) -> bool:
    parts = urlsplit(address)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)


def _is_origin(text: str) -> bool:
    parts = urlsplit(text)
    bare = parts.path in ("", "/") and not parts.query and not parts.fragment and "@" not in parts.netloc
    return bool(parts.hostname) and bare and _is_safe(text)


# --- Encryption keys ---------------------------------------------------------------------------


def check_keys(context: CheckContext) -> Iterator[Finding]:
    """Check that the configured keys decrypt the stored values."""
    end = time.monotonic() + KEY_SCAN_TIMEOUT
    looked = older = lost_all = 0
    for model, names in sealed_columns():
        lost: dict[str, list[object]] = {name: [] for name in names}
        for rows in batches(model, names):
            for pk, *values in rows:
                for name, sealed in zip(names, values, strict=True):
                    if sealed is None:
                        continue
                    looked += 1
                    try:
                        older += resealed(sealed.token) is not None
                    except EncryptionError:
                        lost[name].append(pk)
            if time.monotonic() > end:
                break
        for name, pks in lost.items():
            if pks:
                lost_all += len(pks)
                told = {"count": len(pks), "rows": listed(pks, MAX_LISTED_ROWS)}
                what = _("%(count)d values cannot be read with any key; rows %(rows)s.") % told
                hint = _(
                    "Put the missing old key back at the end of ENCRYPTION_KEYS. If it is lost, refresh the webhook "
                    "secret of each account, and quote again what waits for capture."
                )
                yield Finding("encryption", Level.ERROR, what, hint, f"{model._meta.object_name}.{name}")
    if older:
        what = _("%(count)d values were written with an older key.") % {"count": older}
        yield Finding("encryption", Level.WARNING, what, _("Run govpay_rotate_keys before that key is taken out."))
    if time.monotonic() > end:
        what = _("Only the first %(count)d values were looked at, to end in time.") % {"count": looked}
        yield Finding("encryption", Level.OK, what)
    elif not older and not lost_all:
        what = _("All %(count)d sealed values can be read with the newest key.") % {"count": looked}
        yield Finding("encryption", Level.OK, what)


# --- Cache -------------------------------------------------------------------------------------


def check_cache(context: CheckContext) -> Iterator[Finding]:
    """Check the cache: its backend, whether it works, and whether it contains the mark that a worker stored."""
    alias = conf.get("CACHE")
    hint = _("Use Redis, Memcached or django.core.cache.backends.db.DatabaseCache, the same one for all processes.")
    if alias not in settings.CACHES:
        what = _("There is no cache %(alias)s.") % {"alias": repr(alias)}
        yield Finding("cache", Level.ERROR, what, _("Name an alias of CACHES in GOVPAY['CACHE']."))
        return
    backend = str(settings.CACHES[alias].get("BACKEND"))
    names = {"alias": alias, "backend": backend.rpartition(".")[2]}
    if backend in UNSHARED_BACKENDS:
        what = _("Each process has its own cache %(alias)s (%(backend)s): token and pauses are not shared.")
        several = not settings.DEBUG or _recent_heartbeats().exists()
        yield Finding("cache", Level.ERROR if several else Level.WARNING, what % names, hint)
        return
    cache = caches[alias]
    fault = _use(cache)
    if fault:
        yield Finding("cache", Level.ERROR, fault % names, _("See whether the cache's server is up and has room."))
        return
    if backend in NON_ATOMIC_BACKENDS:
        what = _("The cache %(alias)s (%(backend)s) is shared, but its add() is not atomic: two may fetch a token.")
        yield Finding("cache", Level.WARNING, what % names, hint)
    alive = _recent_heartbeats().filter(name=BEAT).first()
    proof = None if alive is None else _is_shared(cache, alive)
    if proof is None:
        what = _("The cache %(alias)s (%(backend)s) works here; no worker is alive to prove that it is shared.")
        yield Finding("cache", Level.OK, what % names)
    elif proof:
        what = _("The cache %(alias)s (%(backend)s) is shared with the worker.")
        yield Finding("cache", Level.OK, what % names)
    else:
        what = _(
            "The cache %(alias)s (%(backend)s) is not shared with the worker: a value that the worker stored was not "
            "found here."
        )
        yield Finding("cache", Level.ERROR, what % names, hint)


def _recent_heartbeats() -> Any:
    """Return the recent heartbeats. A worker writes both rows: its own and that of beat."""
    return Heartbeat.objects.filter(name__in=(BEAT, WORKER), last_seen__gt=timezone.now() - MAX_SILENCE)


def _is_shared(cache: Any, row: Heartbeat) -> bool:
    for _attempt in range(2):  # a tick at this moment may have written only one of the two
        if cache.get(HEARTBEAT_KEY) == row.mark:
            return True
        row.refresh_from_db()
    return False


def _use(cache: Any) -> str:
    """Use the cache and return its fault, with placeholders for its names; an empty string if there is none."""
    key, value = f"govpay:doctor:{uuid.uuid4().hex}", uuid.uuid4().hex
    try:
        first, second = cache.add(key, value, timeout=60), cache.add(key, "other", timeout=60)
        found = cache.get(key)
        cache.delete(key)
    except Exception as error:  # each backend has its own exceptions
        # Its text may contain a password.
        return _("The cache %(alias)s (%(backend)s) fails ({error}).").replace("{error}", type(error).__name__)
    if found != value or not first:
        return _("The cache %(alias)s (%(backend)s) does not keep what is put there.")
    return _("The add() of the cache %(alias)s (%(backend)s) overwrites what is there.") if second else ""


# --- Worker and beat ---------------------------------------------------------------------------


def check_worker(context: CheckContext) -> Iterator[Finding]:
    """Check that a worker ran a task lately."""
    hint = _("Start a worker (celery -A your_project worker), and see whether it reaches the broker.")
    yield _heartbeat_finding("worker", WORKER, hint)


def check_beat(context: CheckContext) -> Iterator[Finding]:
    """Check that a worker ran a tick of beat lately. If no worker runs, beat counts as stopped too."""
    hint = _("Start beat (celery -A your_project beat) with govpay.schedule.BEAT_SCHEDULE in its beat_schedule.")
    yield _heartbeat_finding("beat", BEAT, hint)


def _heartbeat_finding(check: str, name: str, hint: str) -> Finding:
    row, now = Heartbeat.objects.filter(name=name).first(), timezone.now()
    if row is None:
        # A site that was just set up may not have started one yet.
        old = PaymentAccount.objects.filter(synced_at__lt=now - MAX_SILENCE).exists()
        level = Level.ERROR if old else Level.WARNING
        return Finding(check, level, _("No sign of it was ever seen."), hint)
    age = now - row.last_seen
    told = {"age": span(age.total_seconds()), "host": row.host}
    if age > MAX_SILENCE:
        what = _("The last sign came %(age)s ago, from %(host)s.") % told
        return Finding(check, Level.ERROR, what, hint)
    told["time"] = span((now - row.started_at).total_seconds())
    what = _("The last sign came %(age)s ago, from %(host)s; without a gap for %(time)s.") % told
    return Finding(check, Level.OK, what)
