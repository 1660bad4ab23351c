"""Settings of a host whose own settings for libraries differ from ours in everything. DRF reads them once."""

from __future__ import annotations

from tests.settings import *  # noqa: F403 - a site's settings are those with some of its own

REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.BrowsableAPIRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.FormParser"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAdminUser"],
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_VERSIONING_CLASS": "rest_framework.versioning.NamespaceVersioning",
    "DEFAULT_VERSION": "v9",
    "ALLOWED_VERSIONS": ["v9"],
    "DEFAULT_PAGINATION_CLASS": "rest_framework.pagination.PageNumberPagination",
    "DEFAULT_FILTER_BACKENDS": ["rest_framework.filters.SearchFilter"],
    "DEFAULT_THROTTLE_CLASSES": ["rest_framework.throttling.AnonRateThrottle"],
    "DEFAULT_THROTTLE_RATES": {"anon": "1/day"},
    "DEFAULT_SCHEMA_CLASS": "rest_framework.schemas.openapi.AutoSchema",
    "DEFAULT_METADATA_CLASS": None,
    "DATETIME_FORMAT": "%d.%m.%Y",
    "DATETIME_INPUT_FORMATS": ["%d.%m.%Y"],
    "NON_FIELD_ERRORS_KEY": "all",
    "EXCEPTION_HANDLER": "host.handler",
    "VIEW_NAME_FUNCTION": "host.name",
    "UNAUTHENTICATED_USER": None,
    "UNAUTHENTICATED_TOKEN": None,
    "FORMAT_SUFFIX_KWARG": "uid",
    "URL_FORMAT_OVERRIDE": "status",
    "COMPACT_JSON": False,
    "UNICODE_JSON": False,
    "STRICT_JSON": False,
    "COERCE_DECIMAL_TO_STRING": False,
    "COERCE_BIGINT_TO_STRING": True,
    "NUM_PROXIES": 3,
}
FILTERS_DEFAULT_LOOKUP_EXPR = "icontains"
FILTERS_EMPTY_CHOICE_LABEL = None
FILTERS_NULL_CHOICE_LABEL = "nothing"
FILTERS_NULL_CHOICE_VALUE = "captured"
FILTERS_DISABLE_HELP_TEXT = True
FILTERS_VERBOSE_LOOKUPS = None
USE_THOUSAND_SEPARATOR = True
FORMAT_MODULE_PATH = "tests.formats"
SPECTACULAR_SETTINGS = {"OAS_VERSION": "3.0.3", "CAMELIZE_NAMES": True}
