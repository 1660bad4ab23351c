"""``manage.py govpay_token``: show age and expiry of the access token, never the token itself."""

from __future__ import annotations

import datetime as dt
from argparse import ArgumentParser
from typing import Any

from django.conf import settings

from govpay import conf
from govpay.connection import get_authorizer
from govpay.management.base import PlatformCommand


class Command(PlatformCommand):
    help = "Show age and expiry of the access token and where it is kept. Never shows the token."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--refresh", action="store_true", help="fetch a new token now")

    def carry_out(self, options: dict[str, Any]) -> None:
        authorizer = get_authorizer()
        if options["refresh"]:
            authorizer.refresh(force=True)
        known = authorizer.status()
        if "age" in known:
            expiry = dt.datetime.fromtimestamp(known["expires_at"], dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            self.stdout.write(f"age={known['age']:.0f}s expires={expiry} expires_in={known['expires_in']:.0f}s")
        else:
            self.stdout.write("age=- expires=- (no token yet; --refresh fetches one)")
        alias = conf.get("CACHE")
        self.stdout.write(f"cache={alias} backend={settings.CACHES[alias]['BACKEND'].rpartition('.')[2]}")
        if known["blocked"]:
            self.stdout.write(f"next attempt in {known['blocked']:.0f}s")
