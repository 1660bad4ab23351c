"""System checks of the settings. Each finding has a hint."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any
from urllib.parse import SplitResult, urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Info, Warning, register
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils.module_loading import import_string

from govpay import conf
from govpay.checks import databases
from govpay.exceptions import ConfigurationError
from govpay.extras import WITHOUT, missing_packages
from govpay.security.encryption import seal

__all__ = ["databases"]

#: Caches that other processes cannot share, or whose ``add`` is not atomic.
UNSHARED_CACHES = {
    "django.core.cache.backends.locmem.LocMemCache": "each process has its own",
    "django.core.cache.backends.dummy.DummyCache": "it keeps nothing",
    "django.core.cache.backends.filebased.FileBasedCache": "its add() is not atomic",
}

#: Options of a Redis cache, in OPTIONS or in the query of LOCATION. django-redis writes them in upper case.
TIMEOUTS = ("socket_connect_timeout", "socket_timeout")

#: Plain http is for the sandbox on this machine only.
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@register("govpay")
def check_settings(app_configs: Any = None, **_: Any) -> Sequence[CheckMessage]:
    """``govpay.E001``: missing, misspelt or wrongly typed keys of ``GOVPAY``."""
    return [Error(message, hint=hint, id="govpay.E001", obj=f"GOVPAY:{key}") for key, message, hint in conf.problems()]


def _is_private_way(address: str) -> bool:
    parts = _parts(address)
    return bool(parts.hostname) and (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK))


@register("govpay")
def check_urls(app_configs: Any = None, **_: Any) -> Sequence[CheckMessage]:
    """``govpay.E002``: URLs that would send credentials unencrypted."""
    found: list[CheckMessage] = []
    for key in ("API_URL", "TOKEN_URL"):
        value = conf.given().get(key)
        if isinstance(value, str) and value and not _is_private_way(value):
            found.append(
                Error(
                    f'GOVPAY["{key}"] must be an https address.',
                    hint="Plain http is accepted for 127.0.0.1 and localhost only.",
                    id="govpay.E002",
                )
            )
    return found


@register("govpay")
def check_cache(app_configs: Any = None, **_: Any) -> Sequence[CheckMessage]:
    """Checks the cache that is named in ``GOVPAY["CACHE"]``.

    ``govpay.E003``: an alias that does not exist. ``govpay.W001``: a cache that workers cannot share.
    ``govpay.W004``: a Redis cache without timeouts, which could hold a request for ever.
    """
    alias = conf.given().get("CACHE", "default")
    configured = settings.CACHES.get(alias) if isinstance(alias, str) else None
    if configured is None:
        return [
            Error(
                f'GOVPAY["CACHE"] names {alias!r}, which CACHES does not have.',
                hint=f"Known aliases: {', '.join(settings.CACHES)}.",
                id="govpay.E003",
            )
        ]
    why = UNSHARED_CACHES.get(str(configured.get("BACKEND")))
    if why is None:
        return _check_timeouts(str(alias), configured)
    return [
        Warning(
            f"The cache {alias!r} cannot hold one token for all processes: {why}.",
            hint="Use Redis, Memcached or django.core.cache.backends.db.DatabaseCache.",
            id="govpay.W001",
        )
    ]


def _check_timeouts(alias: str, configured: dict[str, Any]) -> list[CheckMessage]:
    options = configured.get("OPTIONS") or {}
    addresses = configured.get("LOCATION") or ""
    text = f"{sorted(map(str, options))} {addresses}".lower()
    if "redis" not in str(configured.get("BACKEND")).lower() or all(
        f"'{name}'" in text or f"{name}=" in text for name in TIMEOUTS
    ):
        return []
    return [
        Warning(
            f"The Redis cache {alias!r} has no timeout for its sockets.",
            hint=f"Set {' and '.join(TIMEOUTS)} in its OPTIONS, for example to 1 second.",
            id="govpay.W004",
        )
    ]


@register("govpay")
def check_encryption_keys(app_configs: Any = None, **_: Any) -> Sequence[CheckMessage]:
    """``govpay.E004``: keys that Fernet refuses."""
    if not isinstance(conf.given().get("ENCRYPTION_KEYS", ()), list | tuple):
        return []  # E001 names the wrong type
    try:
        seal("")
    except ConfigurationError as error:
        return [
            Error(
                str(error),
                hint="A key is what cryptography.fernet.Fernet.generate_key() gives; the newest comes first.",
                id="govpay.E004",
            )
        ]
    return []


@register("govpay")
def check_routes(app_configs: Any = None, **_: Any) -> Sequence[CheckMessage]:
    """``govpay.E005``: route overrides that name an unknown operation or lack a placeholder."""
    from govpay.client.routes import Routes  # noqa: PLC0415 - processes without checks do not import the client

    overrides = conf.given().get("ROUTES", {})
    if not isinstance(overrides, dict):
        return []  # E001 names the wrong type
    try:
        Routes(overrides)
    except ConfigurationError as error:
        return [Error(str(error), hint="See govpay/client/routes.py for the table.", id="govpay.E005")]
    return []


@register("govpay")
def check_unpaged_lists(app_configs: Any = None, **_: Any) -> Sequence[CheckMessage]:
    """``govpay.E011``: names in ``UNPAGED_LISTS`` that are no paged list, so that they have no effect."""
    from govpay.sync.lists import PAGED  # noqa: PLC0415 - processes without checks do not import the sync

    names = conf.given().get("UNPAGED_LISTS", ())
    if not isinstance(names, list | tuple):
        return []  # E001 names the wrong type
    found: list[CheckMessage] = []
    for name in names:
        if name not in PAGED:
            near = get_close_matches(str(name), PAGED, n=1, cutoff=0.8)
            hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(PAGED)}."
            text = f'GOVPAY["UNPAGED_LISTS"] names {name!r}, which is no paged list.'
            found.append(Error(text, hint=hint, id="govpay.E011"))
    return found


#: Characters that would end a URL in a Content-Security-Policy, or start another rule there.
_BREAKS_POLICY = re.compile(r"[\s;,]")


@register("govpay")
def check_component(app_configs: Any = None, **_: Any) -> Sequence[CheckMessage]:
    """``govpay.E007``: a component script that no page may load. ``govpay.W002``: one without an integrity hash."""
    address = conf.given().get("COMPONENT_SCRIPT_URL", "")
    if not isinstance(address, str) or not address:
        return []  # E001 names the wrong type
    parts = _parts(address)
    secure = _is_private_way(address) or (settings.DEBUG and parts.scheme == "http")
    if not secure or not parts.hostname or "@" in parts.netloc or _BREAKS_POLICY.search(address):
        return [
            Error(
                'GOVPAY["COMPONENT_SCRIPT_URL"] must be an absolute https address without blanks, ";" or ",".',
                hint="Such as https://cdn.example/component.js; plain http for this machine and in DEBUG only.",
                id="govpay.E007",
            )
        ]
    if parts.hostname in (*LOOPBACK, *settings.ALLOWED_HOSTS) or conf.given().get("COMPONENT_SCRIPT_INTEGRITY"):
        return []
    return [
        Warning(
            'GOVPAY["COMPONENT_SCRIPT_INTEGRITY"] is not set, so a changed script at its address changes the page.',
            hint="Give the sha384-… hash of the version that you have looked at.",
            id="govpay.W002",
        )
    ]


@register("govpay")
def check_origins(app_configs: Any = None, **_: Any) -> Sequence[CheckMessage]:
    """``govpay.E008``: values of ``CHECKOUT_ORIGINS`` that are not an origin."""
    origins = conf.given().get("CHECKOUT_ORIGINS", ())
    if not isinstance(origins, list | tuple):
        return []  # E001 names the wrong type
    return [
        Error(
            f'GOVPAY["CHECKOUT_ORIGINS"][{index}] must be scheme and host only, with https.',
            hint="Such as https://pay.example.gov, without a path; plain http for this machine only.",
            id="govpay.E008",
        )
        for index, origin in enumerate(origins)
        if not _is_origin(origin)
    ]


@register("govpay")
def check_digest(app_configs: Any = None, **_: Any) -> Sequence[CheckMessage]:
    """``govpay.E009``: a digest with an invalid recipient, or an invalid ``PUBLIC_URL`` (formerly ``SITE_URL``)."""
    found: list[CheckMessage] = []
    recipients = conf.given().get("DIGEST_RECIPIENTS", ())
    for address in recipients if isinstance(recipients, list | tuple) else ():  # E001 names the wrong type
        try:
            validate_email(address)
        except ValidationError:
            message = f'GOVPAY["DIGEST_RECIPIENTS"] names {address!r}, which is no e-mail address.'
            found.append(Error(message, hint="Such as finance@city.example.gov.", id="govpay.E009"))
    for name in ("PUBLIC_URL", "SITE_URL"):
        site = conf.given().get(name, "")
        if isinstance(site, str) and site and not _is_origin(site):
            message = f'GOVPAY["{name}"] must be scheme and host only, with https.'
            hint = "Such as https://pay.example.gov, without a path; plain http for this machine only."
            found.append(Error(message, hint=hint, id="govpay.E009"))
    return found


@register("govpay", deploy=True)
def check_proxies(app_configs: Any = None, **_: Any) -> Sequence[CheckMessage]:
    """``govpay.W003``: behind a proxy that is not configured, all visitors would have the proxy's address."""
    if not settings.SECURE_PROXY_SSL_HEADER or conf.given().get("TRUSTED_PROXIES"):
        return []
    return [
        Warning(
            'SECURE_PROXY_SSL_HEADER names a proxy, but GOVPAY["TRUSTED_PROXIES"] is 0.',
            hint="Set it to the number of your own proxies that write X-Forwarded-For (usually 1). Otherwise all "
            "visitors share one rate limit.",
            id="govpay.W003",
        )
    ]


@register("govpay")
def check_rest(app_configs: Any = None, **_: Any) -> Sequence[CheckMessage]:
    """``govpay.E010``: REST authentication classes that cannot be loaded."""
    paths = conf.given().get("REST_AUTHENTICATION", ())
    if not isinstance(paths, list | tuple):
        return []  # E001 names the wrong type
    found: list[CheckMessage] = []
    for path in paths:
        try:
            import_string(path)
        except (ImportError, AttributeError, TypeError) as error:
            hint = "Dotted paths such as rest_framework.authentication.TokenAuthentication."
            text = f'GOVPAY["REST_AUTHENTICATION"] names {path!r}, which cannot be loaded ({error}).'
            found.append(Error(text, hint=hint, id="govpay.E010"))
    return found


@register("govpay")
def check_extras(app_configs: Any = None, **_: Any) -> Sequence[CheckMessage]:
    """What is left out because an extra is not installed. ``govpay.I001``: REST. ``govpay.I002``: QR codes."""
    hint = "pip install 'django-govpay[%s]', or name this check in SILENCED_SYSTEM_CHECKS."
    return [
        Info(text, hint=hint % extra, id=number) for extra, (number, text) in WITHOUT.items() if missing_packages(extra)
    ]


def _is_origin(origin: Any) -> bool:
    if not isinstance(origin, str) or not _is_private_way(origin) or _BREAKS_POLICY.search(origin) or "*" in origin:
        return False
    parts = _parts(origin)
    return origin.rstrip("/").lower() == f"{parts.scheme}://{parts.netloc}".lower() and "@" not in parts.netloc


def _parts(address: str) -> SplitResult:
    try:
        parts = urlsplit(address)
        parts.port  # noqa: B018 - a wrong port raises only when it is read
    except ValueError:
        return urlsplit("")
    return parts
