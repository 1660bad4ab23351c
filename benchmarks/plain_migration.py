"""Writes the one migration as plain ``CreateModel``s, parents first, with indexes and constraints inside.

``makemigrations`` adds most of these by operations of their own, and Django replays each on the state of
all models: that took eight times as long as making the tables. Run it after ``makemigrations``::

    DJANGO_SETTINGS_MODULE=tests.settings .venv/bin/python -m benchmarks.plain_migration
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import django
from django.db import migrations
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ModelState
from django.db.migrations.writer import MigrationWriter

APP, NAME = "govpay", "0001_initial"
FILE = Path(__file__).resolve().parent.parent / APP / "migrations" / f"{NAME}.py"


def main() -> None:
    django.setup()
    loader = MigrationLoader(None)
    state = loader.project_state([(APP, NAME)])
    models = {name: model for (app, name), model in state.models.items() if app == APP}
    plain = migrations.Migration(NAME, APP)
    plain.initial = True
    plain.dependencies = [("__setting__", "AUTH_USER_MODEL"), ("auth", "0001_initial")]
    plain.operations = [create(models[name]) for name in parents_first(models)]
    FILE.write_text(MigrationWriter(plain, include_header=False).as_string())


def create(model: ModelState) -> migrations.CreateModel:
    options = {name: value for name, value in model.options.items() if value not in ([], ())}
    return migrations.CreateModel(model.name, list(model.fields.items()), options, model.bases, model.managers)


def parents_first(models: dict[str, ModelState]) -> Iterator[str]:
    left = dict(sorted(models.items()))
    while left:
        ready = [name for name, model in left.items() if not (parents(model) - {name}) & left.keys()]
        if not ready:
            raise SystemExit(f"these point at each other: {', '.join(left)}")
        for name in ready:
            del left[name]
            yield name


def parents(model: ModelState) -> set[str]:
    remotes = (getattr(field.remote_field, "model", None) for field in model.fields.values() if field.remote_field)
    return {remote.lower().removeprefix(f"{APP}.") for remote in remotes if isinstance(remote, str)}


if __name__ == "__main__":
    main()
