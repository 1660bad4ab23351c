"""The platform from here: the token, whether it answers, and whether both clocks agree."""

from __future__ import annotations

from collections.abc import Iterator

from django.utils.translation import gettext as _

from govpay import conf
from govpay.client.odata import Query
from govpay.connection import get_authorizer, get_endpoints
from govpay.doctor.findings import Finding, Level, span
from govpay.doctor.visit import Visit
from govpay.exceptions import APIError, AuthenticationError, NotFound, RateLimited

#: Seconds of difference between the clocks. Tokens and signatures are judged by time.
SKEW_WARNING, SKEW_ERROR = 60.0, 240.0


def check_token(visit: Visit) -> Iterator[Finding]:
    """Whether there is a token, how old it is, and whether the last attempt to renew it failed."""
    authorizer = get_authorizer()
    try:
        authorizer.token(visit.within)
    except AuthenticationError as error:
        cure = _("Check CLIENT_ID, CLIENT_SECRET and SCOPE, and that the client was not revoked.")
        yield Finding("token", Level.ERROR, str(error), cure)
        return
    except APIError as error:
        cure = _("Check TOKEN_URL, and that this machine reaches it.")
        yield Finding("token", Level.ERROR, str(error), cure)
        return
    known = authorizer.status()
    words = _("A token is there: %(age)s old, good for another %(left)s.")
    what = words % {"age": span(known.get("age", 0)), "left": span(known.get("expires_in", 0))}
    if known["blocked"]:
        what += " " + _("The last attempt to renew it failed. %(error)s") % {"error": known["error"]}
        yield Finding("token", Level.WARNING, what.strip(), _("It is tried again every 30 seconds; see TOKEN_URL."))
    else:
        yield Finding("token", Level.OK, what)


def check_reachability(visit: Visit) -> Iterator[Finding]:
    """One small read with that token."""
    try:
        get_endpoints().list_clients(Query(top=1), within=visit.within)
    except RateLimited as error:
        visit.reachable = True
        yield Finding("reachability", Level.WARNING, str(error), _("Wait: the pause is kept by all processes."))
    except APIError as error:
        yield Finding("reachability", Level.ERROR, str(error), _cure_of(error))
    else:
        visit.reachable = True
        what = _("%(address)s answers.") % {"address": conf.get("API_URL")}
        yield Finding("reachability", Level.OK, what)


def _cure_of(error: APIError) -> str:
    if isinstance(error, AuthenticationError):
        return _("Check SCOPE and API_URL: what the token endpoint gave does not count there.")
    if isinstance(error, NotFound):
        return _("Check API_URL: something answers there, but not this API.")
    return _("Check API_URL, the network of this machine, and whether the platform is up.")


def check_clock(visit: Visit) -> Iterator[Finding]:
    """Our clock against the ``Date`` of the platform's last answer."""
    skew = get_endpoints().transport.skew
    if skew is None:
        what = _("The platform's clock is not known: no answer of it had a date.")
        yield Finding("clock", Level.WARNING, what, _("See whether it is reachable."))
        return
    size = abs(skew)
    words = (
        _("This machine's clock is %(size)s ahead of the platform's.")
        if skew > 0
        else _("This machine's clock is %(size)s behind the platform's.")
    )
    what = words % {"size": span(size)}
    cure = _("Let this machine's clock be set from the network (NTP).")
    if size > SKEW_ERROR:
        yield Finding("clock", Level.ERROR, what, cure)
    elif size > SKEW_WARNING:
        yield Finding("clock", Level.WARNING, what, cure)
    else:
        yield Finding("clock", Level.OK, what)
