"""The host site's settings: ours, and those of Django that webhooks and payment pages need."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import ERROR, run_checks
from django.http.request import validate_host
from django.utils.translation import gettext as _

from govpay import conf
from govpay.checks import LOOPBACK
from govpay.doctor.findings import Finding, Level, listed
from govpay.doctor.visit import Visit

#: What the check of the cache tells better.
ELSEWHERE = ("govpay.W001", "govpay.E003")


def check_settings(visit: Visit) -> Iterator[Finding]:
    """Our system checks."""
    found = [message for message in run_checks(tags=["govpay"]) if message.id not in ELSEWHERE]
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
    """Whether the platform is a stand-in on this machine, for which plain http will do."""
    return urlsplit(str(conf.given().get("API_URL") or "")).hostname in LOOPBACK


def answers_to(host: str | None) -> bool:
    """Whether this site takes requests for ``host``."""
    return bool(host) and validate_host(str(host), allowed_hosts())


def allowed_hosts() -> list[str]:
    names = [str(name) for name in settings.ALLOWED_HOSTS]
    return names or ([".localhost", "127.0.0.1", "[::1]"] if settings.DEBUG else [])


def check_site(visit: Visit) -> Iterator[Finding]:
    """``ALLOWED_HOSTS``, https and cookies."""
    rehearsal, fine = is_rehearsal(), True
    for level, what, cure in (*_hosts(rehearsal), *(() if rehearsal else _safety())):
        fine = False
        yield Finding("site", level, what, cure)
    if fine and rehearsal:
        yield Finding("site", Level.OK, _("The platform is a stand-in on this machine: plain http will do."))
    elif fine:
        yield Finding("site", Level.OK, _("Hosts, https and cookies are set up for a public site."))


def _hosts(rehearsal: bool) -> Iterator[tuple[Level, str, str]]:
    if not allowed_hosts():
        what = _("ALLOWED_HOSTS is empty: Django answers every webhook and every payer with 400.")
        yield Level.ERROR, what, _("Name the hosts of this site in ALLOWED_HOSTS.")
    elif "*" in settings.ALLOWED_HOSTS:
        what = _("ALLOWED_HOSTS lets any name in, so links can be made to lead elsewhere.")
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
        what = _("CSRF_TRUSTED_ORIGINS trusts what is not https: %(origins)s.") % {"origins": listed(plain)}
        yield Level.WARNING, what, _("Give https origins.")
    if not settings.SECURE_SSL_REDIRECT and not settings.SECURE_PROXY_SSL_HEADER:
        what = _("Neither SECURE_SSL_REDIRECT nor SECURE_PROXY_SSL_HEADER is set: http may be answered as it is.")
        cure = _("Set SECURE_SSL_REDIRECT = True, or SECURE_PROXY_SSL_HEADER behind a proxy that ends TLS.")
        yield Level.WARNING, what, cure


def check_checkout(visit: Visit) -> Iterator[Finding]:
    """Where payers may be sent back to, and the vendor's script."""
    fine = True
    for level, what, cure in (*_origins(), *_component()):
        fine = False
        yield Finding("checkout", level, what, cure)
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
        what = _("CHECKOUT_ORIGINS has what is no https origin: %(origins)s.") % {"origins": listed(wrong)}
        yield Level.ERROR, what, _("Write each as https://host, without a path.")
    elif not any(answers_to(urlsplit(each).hostname) for each in origins):
        what = _("No origin of CHECKOUT_ORIGINS is a host of this site: %(origins)s.") % {"origins": listed(origins)}
        yield Level.WARNING, what, _("Payment links need this site's own origin there.")


def _component() -> Iterator[tuple[Level, str, str]]:
    script, mark = str(conf.get("COMPONENT_SCRIPT_URL")), str(conf.get("COMPONENT_SCRIPT_INTEGRITY"))
    if script and not _is_safe(script):
        what = _("COMPONENT_SCRIPT_URL is not https: anybody on the way could change what takes card numbers.")
        yield Level.ERROR, what, _("Give the vendor's https address.")
    elif script and not mark and urlsplit(script).hostname not in LOOPBACK:
        what = _("COMPONENT_SCRIPT_INTEGRITY is empty: a changed script would be carried out.")
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
