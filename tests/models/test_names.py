"""Names of models and fields: each is translatable and stands in the model."""

from __future__ import annotations

from typing import Any

import pytest
from django.apps import apps
from django.utils.functional import Promise

MODELS = list(apps.get_app_config("govpay").get_models())


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_name_is_marked_for_translation(model: Any) -> None:
    names = {field.name: field._verbose_name for field in model._meta.concrete_fields if not field.primary_key}
    names["the model"] = model._meta.verbose_name
    names["the model's plural"] = model._meta.verbose_name_plural
    assert [name for name, text in names.items() if not isinstance(text, Promise)] == []
