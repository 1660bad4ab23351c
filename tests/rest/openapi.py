"""``python -m tests.rest.openapi`` (``make schema``) writes the OpenAPI document."""

from __future__ import annotations

import json
import os
from typing import Any


def generated() -> dict[str, Any]:
    """The document as the views have it now."""
    from django.urls import path
    from drf_spectacular.generators import SchemaGenerator
    from drf_spectacular.settings import patched_settings

    from govpay.rest import urls
    from govpay.rest.schema import Schema

    def described(pattern: Any) -> Any:
        view = pattern.callback.cls
        return path(str(pattern.pattern), type(view.__name__, (view,), {"schema": Schema()}).as_view())

    # All that bears on it is named here, so that nobody's settings show in it.
    given = {
        "OAS_VERSION": "3.1.1",
        "TITLE": "govpay",
        "VERSION": "1",
        "DESCRIPTION": (
            "Payments of a merchant at the Govineer/Govifi platform, as this site knows them, and what staff may do "
            "with them. Amounts are whole minor units (cents) of the `currency` beside them."
        ),
        "SCHEMA_PATH_PREFIX": "/v1",
        "COMPONENT_NO_READ_ONLY_REQUIRED": False,
        "DISABLE_DOCSTRING_DESCRIPTIONS": True,
        "POSTPROCESSING_HOOKS": ["tests.rest.openapi.closed"],
        "PREPROCESSING_HOOKS": [],
        "SERVERS": [],
    }
    with patched_settings(given):
        found = SchemaGenerator(patterns=[described(each) for each in urls.V1]).get_schema(public=True)
    return json.loads(json.dumps(found))


def closed(result: Any, **_: Any) -> Any:
    """Bodies take nothing that is not listed."""
    for name, schema in result["components"]["schemas"].items():
        if name.endswith("Body"):
            schema["additionalProperties"] = False
    return result


def written(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def main() -> None:
    from govpay.rest.schema import FILE

    FILE.write_text(written(generated()))


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    import django

    django.setup()
    main()
