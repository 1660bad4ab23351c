"""Settings of the demo site, read from the environment; ``.env.example`` lists every variable.

Without any variable this is the demo, with SQLite files and the sandbox on this machine.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import django
import environ
from django.core.exceptions import ImproperlyConfigured

from project.demo_secrets import demo_secret_key, mark
from project.ports import port_number

BASE_DIR = Path(__file__).resolve().parent.parent


class Environment(environ.Env):
    """Reads variables as they are written. django-environ alone takes ``$NAME`` for a reference to another variable."""

    def get_value(self, var: str, cast: Any = None, default: Any = environ.Env.NOTSET, *args: Any, **more: Any) -> Any:
        if str(self.ENVIRON.get(var, "")).startswith("$"):
            return self.parse_value(self.ENVIRON[var], cast)
        return super().get_value(var, cast, default, *args, **more)


env = Environment()
# Variables of the environment override those of the file.
environ.Env.read_env(env.str("ENV_FILE", default=str(BASE_DIR / ".env")))

#: Folder of the demo's files: databases, queue, logs. ``make clean`` deletes it.
VAR_DIR = Path(env.str("VAR_DIR", default=str(BASE_DIR / "var"))).resolve()
VAR_DIR.mkdir(parents=True, exist_ok=True)

# --- Hosts and security -----------------------------------------------------------------------

LOOPBACK = ["127.0.0.1", "localhost", "[::1]"]
ALLOWED_HOSTS: list[str] = env.list("ALLOWED_HOSTS", default=[]) or LOOPBACK
#: Whether the site answers to another name than this machine's own. Then it is not a demo any more.
PUBLIC = not set(ALLOWED_HOSTS) <= set(LOOPBACK)

DEBUG: bool = env.bool("DEBUG", default=False)
SECRET_KEY: str = env.str("SECRET_KEY", default="")
if not SECRET_KEY:
    if PUBLIC:
        raise ImproperlyConfigured("SECRET_KEY must be set when ALLOWED_HOSTS names a public host.")
    SECRET_KEY = demo_secret_key(VAR_DIR / "secret_key")

CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", default=[])
SECURE_SSL_REDIRECT: bool = env.bool("SECURE_SSL_REDIRECT", default=PUBLIC)
SECURE_HSTS_SECONDS: int = env.int("SECURE_HSTS_SECONDS", default=3600 if PUBLIC else 0)
SECURE_HSTS_INCLUDE_SUBDOMAINS: bool = env.bool("SECURE_HSTS_INCLUDE_SUBDOMAINS", default=False)
SECURE_HSTS_PRELOAD: bool = env.bool("SECURE_HSTS_PRELOAD", default=False)
BEHIND_TLS_PROXY: bool = env.bool("BEHIND_TLS_PROXY", default=False)
#: Number of the site's own proxies that write X-Forwarded-For.
TRUSTED_PROXIES: int = env.int("TRUSTED_PROXIES", default=1 if BEHIND_TLS_PROXY else 0)
if BEHIND_TLS_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = env.bool("SECURE_COOKIES", default=PUBLIC)
SESSION_COOKIE_HTTPONLY = True
# No JavaScript needs the cookie: each form contains the token.
CSRF_COOKIE_HTTPONLY = True
# Cookie names of our own: two sites on one machine must not log each other's users out.
SESSION_COOKIE_NAME = "govpay_sessionid"
CSRF_COOKIE_NAME = "govpay_csrftoken"
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
#: Django 6 sends it with pages without a policy of their own: the admin's. Older versions ignore it.
SECURE_CSP = {
    "default-src": ["'self'"],
    "img-src": ["'self'", "data:"],
    "object-src": ["'none'"],
    "base-uri": ["'none'"],
    "form-action": ["'self'"],
    "frame-ancestors": ["'none'"],
}
DEFAULT_EXCEPTION_REPORTER_FILTER = "project.reports.Reports"

# --- Apps, middleware, templates, static files ------------------------------------------------

INSTALLED_APPS = [
    "project",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    # Tokens for REST programs, and the static files of the REST documentation page.
    "rest_framework.authtoken",
    "drf_spectacular_sidecar",
    "govpay",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

if django.VERSION >= (6, 0):
    MIDDLEWARE.insert(1, "django.middleware.csp.ContentSecurityPolicyMiddleware")

ROOT_URLCONF = "project.urls"
WSGI_APPLICATION = "project.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "project.context.platform",
            ],
        },
    },
]

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

STATIC_URL = "/static/"
STATIC_ROOT = Path(env.str("STATIC_ROOT", default=str(VAR_DIR / "static")))
STATIC_ROOT.mkdir(parents=True, exist_ok=True)
# Files are served from the apps' own folders, so that ``collectstatic`` is not needed.
WHITENOISE_USE_FINDERS = True

# --- Databases and cache ----------------------------------------------------------------------

#: Readers never wait. Writers wait at their first statement, instead of failing in the middle of a transaction.
SQLITE_OPTIONS = {
    "transaction_mode": "IMMEDIATE",
    "timeout": 30,
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
}

SANDBOX_PORT: int = port_number("SANDBOX_PORT", env.str("SANDBOX_PORT", default="8801"))
#: Port of this site, so that the sandbox may redirect payers back to it.
PORT: int = port_number("PORT", env.str("PORT", default="8000"))
#: Whether the platform is the sandbox on this machine, because no other platform is set.
USES_SANDBOX = not any(
    env.str(f"GOVPAY_{name}", default="") for name in ("API_URL", "TOKEN_URL", "CLIENT_ID", "CLIENT_SECRET")
)
#: Name of the database file. Each platform has its own file, because rows and sync cursors belong to one platform.
PLATFORM = "govpay" if USES_SANDBOX else f"govpay-{mark(env.str('GOVPAY_API_URL', default=''))}"

DATABASE_URL = env.str("DATABASE_URL", default="") or f"sqlite:///{VAR_DIR / f'{PLATFORM}.sqlite3'}"
DATABASES = {"default": environ.Env.db_url_config(DATABASE_URL)}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = {**SQLITE_OPTIONS, **DATABASES["default"].get("OPTIONS", {})}
else:
    DATABASES["default"].setdefault("CONN_MAX_AGE", 60)
    DATABASES["default"].setdefault("CONN_HEALTH_CHECKS", True)

if env.str("CACHE_URL", default=""):
    CACHES = {"default": env.cache_url("CACHE_URL")}
    if "RedisCache" in CACHES["default"]["BACKEND"]:
        # A Redis that hangs must not hold a request. The address may set other timeouts in its query.
        CACHES["default"]["OPTIONS"] = {
            "socket_connect_timeout": 1,
            "socket_timeout": 1,
            **CACHES["default"].get("OPTIONS", {}),
        }
else:
    # Its add() is atomic, all processes share it, and it never waits for writers of the main database.
    CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.db.DatabaseCache",
            "LOCATION": "cache",
            "OPTIONS": {"MAX_ENTRIES": 10_000},
        }
    }
    DATABASES["cache"] = {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": VAR_DIR / "cache.sqlite3",
        "OPTIONS": SQLITE_OPTIONS,
    }
    DATABASE_ROUTERS = ["project.routers.CacheRouter"]

# --- The platform -----------------------------------------------------------------------------

GOVPAY: dict[str, object] = {}
if USES_SANDBOX:
    GOVPAY = {
        "CLIENT_ID": "sandbox-client",
        "CLIENT_SECRET": "sandbox-secret",
        "TOKEN_URL": f"http://127.0.0.1:{SANDBOX_PORT}/oauth2/token",
        "API_URL": f"http://127.0.0.1:{SANDBOX_PORT}",
        "SYNC_INTERVAL": 60,
        "CHECKOUT_ORIGINS": [f"http://{host}:{PORT}" for host in ("127.0.0.1", "localhost")],
        "COMPONENT_SCRIPT_URL": f"http://127.0.0.1:{SANDBOX_PORT}/component/govifi.js",
    }
for _name in ("CLIENT_ID", "CLIENT_SECRET", "TOKEN_URL", "API_URL", "SCOPE"):
    if env.str(f"GOVPAY_{_name}", default=""):
        GOVPAY[_name] = env.str(f"GOVPAY_{_name}")
GOVPAY["TRUSTED_PROXIES"] = TRUSTED_PROXIES
if env.list("GOVPAY_ENCRYPTION_KEYS", default=[]):
    GOVPAY["ENCRYPTION_KEYS"] = env.list("GOVPAY_ENCRYPTION_KEYS")

#: URL of the message broker. Empty: ``project/broker.py``, which needs no server.
CELERY_BROKER_URL: str = env.str("CELERY_BROKER_URL", default="")

# --- Logging ----------------------------------------------------------------------------------

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": env.str("LOG_LEVEL", default="INFO")},
    "loggers": {
        "django": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
        "django.server": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
    },
}
