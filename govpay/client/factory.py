"""Builds the endpoints of one platform."""

from __future__ import annotations

from functools import partial

from govpay.client.auth import Authorizer
from govpay.client.endpoints import Endpoints
from govpay.client.routes import Routes
from govpay.client.stores import Pause, PauseStore, TokenStore
from govpay.client.transport import Transport, fetch_token
from govpay.client.types import Config


def connect(
    config: Config,
    *,
    client_id: str,
    client_secret: str,
    token_url: str,
    scope: str,
    store: TokenStore | None = None,
    margin: float = 300.0,
    routes: Routes | None = None,
    pause: PauseStore | None = None,
) -> Endpoints:
    """Build the endpoints of one platform. Sends nothing. Raises ``ConfigurationError``.

    ``margin`` (seconds) is for ``Authorizer``. ``store`` and ``pause`` are shared by all processes, if given.
    """
    auth = Authorizer(
        client_id=client_id,
        client_secret=client_secret,
        token_url=token_url,
        scope=scope,
        store=store,
        margin=margin,
        fetch=partial(fetch_token, config),
    )
    return Endpoints(Transport(config, auth, pause=Pause(pause)), routes)
