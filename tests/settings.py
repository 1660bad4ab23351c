"""Settings of the tests. They ignore ``.env``, ``GOVPAY_*`` and ``DATABASE_URL``.

``TEST_DATABASE_URL`` and ``TEST_CACHE_URL`` move the suite to servers. Without them it runs on
SQLite files in a folder of this process, so that threads and processes can be tested there too.
A process that a test starts finds the same files through ``TEST_CHILD`` (``tests.processes``).
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import environ

from project.routers import CACHE
from tests.routers import REPLICA

CHILD: dict[str, Any] = json.loads(os.environ.get("TEST_CHILD", "{}"))
DATABASE_URL = os.environ.get("TEST_DATABASE_URL", "")
CACHE_URL = os.environ.get("TEST_CACHE_URL", "")

if CHILD:
    FILES = CHILD["files"]
else:
    FILES = tempfile.mkdtemp(prefix="govpay-tests-")
    _owner = os.getpid()

    def _forget() -> None:
        if os.getpid() == _owner:  # a forked child must not delete its parent's files
            shutil.rmtree(FILES, ignore_errors=True)

    atexit.register(_forget)

#: As in the demo, but without waiting for the disk.
SQLITE_OPTIONS = {
    "transaction_mode": "IMMEDIATE",
    "timeout": 30,
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;",
}

DATABASES: dict[str, dict[str, Any]]
if DATABASE_URL:
    DATABASES = {"default": {**environ.Env.db_url_config(DATABASE_URL)}}
else:
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": os.path.join(FILES, "site.sqlite3"),
            "OPTIONS": SQLITE_OPTIONS,
            "TEST": {"NAME": os.path.join(FILES, "test.sqlite3")},
        }
    }
if CHILD:
    DATABASES["default"]["NAME"] = CHILD["database"]

if CACHE_URL:
    CACHES = {"default": environ.Env.cache_url_config(CACHE_URL)}
    _worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if "RedisCache" in CACHES["default"]["BACKEND"]:
        # clear() empties a whole Redis database: each worker has its own.
        _base, _, _number = CACHES["default"]["LOCATION"].rpartition("/")
        _number = str(int(_number) + int(_worker.removeprefix("gw") or 0))
        CACHES["default"]["LOCATION"] = f"{_base}/{_number}"
        CACHES["default"]["OPTIONS"] = {"socket_timeout": 5, "socket_connect_timeout": 5}  # as ``govpay.W004`` advises
else:
    CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.db.DatabaseCache",
            "LOCATION": "cache",
            "OPTIONS": {"MAX_ENTRIES": 10_000},
        }
    }
    DATABASES[CACHE] = {
        "ENGINE": "tests.cache_database",
        "NAME": os.path.join(FILES, "cache.sqlite3"),
        "OPTIONS": SQLITE_OPTIONS,
    }

# No read of govpay's tables may go to a replica, which lags behind (``tests.routers``).
DATABASES[REPLICA] = {"ENGINE": "tests.replica_database", "NAME": os.path.join(FILES, "replica.sqlite3")}
DATABASE_ROUTERS = ["tests.routers.ReplicaRouter", "project.routers.CacheRouter"]

SECRET_KEY = "tests-only"
DEBUG = False
ALLOWED_HOSTS = ["testserver", "127.0.0.1", "localhost"]
ROOT_URLCONF = "project.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-us"
STATIC_URL = "/static/"
# The default hasher takes a second per user on purpose.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# Django 6.1 asks for it; earlier versions do not know it. Tests keep their mail in memory anyway.
MAILERS = {"default": {"BACKEND": "django.core.mail.backends.smtp.EmailBackend"}}

INSTALLED_APPS = [
    "project",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    # Tokens for programs, and the files of the REST interface's browsable page.
    "rest_framework.authtoken",
    "drf_spectacular_sidecar",
    "govpay",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

#: No server listens there. Tests that need a platform use the ``sandbox`` fixture.
GOVPAY: dict[str, Any] = CHILD.get("govpay") or {
    "CLIENT_ID": "test-client",
    "CLIENT_SECRET": "test-secret",
    "TOKEN_URL": "http://127.0.0.1:9/oauth2/token",
    "API_URL": "http://127.0.0.1:9",
}

#: Messages are kept in memory; a test that wants a worker starts one (``project/celery.py``).
CELERY_BROKER_URL = os.environ.get("TEST_BROKER_URL", "memory://")
VAR_DIR = Path(FILES)
