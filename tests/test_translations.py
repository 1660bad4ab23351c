"""The Spanish catalogue: complete, compiled, up to date, and used on the pages. English is in the code."""

from __future__ import annotations

import gettext
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import read_po
from django.apps import apps
from django.test import Client
from django.utils import timezone, translation

from govpay import operations
from govpay.models import Payment
from tests.admin.rows import ALL_MODELS, fill, relatives
from tests.operations.merchant import Merchant
from tests.processes import ROOT, bare_environment

LOCALES = ("es",)
APP = ROOT / "govpay"
PLACEHOLDER = re.compile(r"%\(\w+\)[a-z]|%[a-z%]|\{\w*\}")

each_locale = pytest.mark.parametrize("locale", LOCALES)


def catalogue(locale: str, app: Path = APP) -> Catalog:
    with (app / "locale" / locale / "LC_MESSAGES" / "django.po").open("rb") as file:
        return read_po(file, locale=locale)


def texts(locale: str, app: Path = APP) -> Iterator[Message]:
    return (message for message in catalogue(locale, app) if message.id)


def forms(text: Any) -> tuple[str, ...]:
    """Singular and plural, or the one text."""
    return tuple(text) if isinstance(text, list | tuple) else (text,)


def key(message: Message) -> tuple[str | None, tuple[str, ...]]:
    return message.context, forms(message.id)


# --- The files -----------------------------------------------------------------------------------


@each_locale
def test_nothing_is_left_untranslated(locale: str) -> None:
    for message in texts(locale):
        assert not message.fuzzy, message.id
        assert len(forms(message.string)) == len(forms(message.id)), message.id
        assert all(forms(message.string)), message.id
    assert catalogue(locale).num_plurals == 2


@each_locale
def test_placeholders_stay(locale: str) -> None:
    for message in texts(locale):
        wanted = {frozenset(PLACEHOLDER.findall(form)) for form in forms(message.id)}
        found = {frozenset(PLACEHOLDER.findall(form)) for form in forms(message.string)}
        assert found == wanted, message.id


@each_locale
def test_compiled_is_what_was_written(locale: str) -> None:
    with (APP / "locale" / locale / "LC_MESSAGES" / "django.mo").open("rb") as file:
        compiled: dict[Any, str] = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]
    written: dict[Any, str] = {}
    for message in texts(locale):
        name = "\x04".join(filter(None, (message.context, forms(message.id)[0])))
        if len(forms(message.id)) == 1:
            written[name] = forms(message.string)[0]
        else:
            written.update({(name, number): form for number, form in enumerate(forms(message.string))})
    assert {name: text for name, text in compiled.items() if name != ""} == written


@pytest.mark.skipif(not all(map(shutil.which, ("xgettext", "msgmerge"))), reason="GNU gettext is not installed")
def test_catalogues_have_what_the_code_has(tmp_path: Path) -> None:
    copy = tmp_path / "govpay"
    ignored = shutil.ignore_patterns("__pycache__", "*.mo")
    shutil.copytree(APP, copy, ignore=ignored)
    arguments = ["-v0", "--locale=de", "--no-obsolete", "--ignore=sandbox/*", "--ignore=testing/*"]
    subprocess.run(
        [sys.executable, "-m", "django", "makemessages", *arguments],
        cwd=copy,
        env=bare_environment(),
        stdin=subprocess.DEVNULL,
        timeout=300,
        check=True,
    )
    wanted = set(map(key, texts("de", copy)))
    for locale in LOCALES:
        found = set(map(key, texts(locale)))
        assert not wanted - found, f"not in {locale}: `make messages`, then translate"
        assert not found - wanted, f"no longer in the code, but in {locale}: `make messages`"


def test_every_model_and_field_has_a_name_that_is_translated() -> None:
    known = {form for message in texts("es") for form in forms(message.id)}
    for model in apps.get_app_config("govpay").get_models():
        with translation.override(None):
            names = {str(field.verbose_name) for field in model._meta.concrete_fields if not field.primary_key}
            names |= {str(model._meta.verbose_name), str(model._meta.verbose_name_plural)}
        assert names <= known, f"{model.__name__}: a verbose name is not in the catalogue"


# --- The pages -----------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    """The language of a request stays with its thread."""
    with translation.override("en-us"):
        yield


def spanish(client: Client, path: str) -> str:
    answer = client.get(path, secure=True, headers={"Accept-Language": "es"})
    assert answer["Content-Language"] == "es"
    return unescape(answer.content.decode())


@cache
def english_parts() -> list[str]:
    """What a Spanish page must not have: of each text, around placeholders, the longest part."""
    found = []
    for message in texts("es"):
        for theirs, ours in zip(forms(message.id), forms(message.string), strict=True):
            part = max(PLACEHOLDER.split(theirs), key=len).strip()
            if len(part) > 12 and part not in ours:
                found.append(part)
    return found


def english_in(page: str) -> list[str]:
    """Our own sentences, and longer words, that were left in English."""
    page = re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.DOTALL)
    page = re.sub(r'\b(class|id|for|name|href|src|action)="[^"]*"', "", page)
    return [part for part in english_parts() if part in page and re.search(rf"\b{re.escape(part)}", page)]


def test_english_is_found_on_a_page() -> None:
    part = english_parts()[0]
    assert part in english_in(f"<p>{part}</p>")


@pytest.mark.django_db
def test_admin_speaks_spanish(admin_client: Client) -> None:
    page = spanish(admin_client, "/admin/govpay/")
    for words in ("Pagos de Govifi", "Enlaces de pago", "Sesiones de pago", "Métodos de pago guardados"):
        assert words in page
    assert not english_in(page)


@pytest.mark.django_db
@pytest.mark.parametrize("model", ALL_MODELS, ids=lambda model: model.__name__)
def test_lists_and_pages_speak_spanish(model: Any, admin_client: Client) -> None:
    relatives()
    fill(model, 3)
    address = f"/admin/govpay/{model._meta.model_name}/"
    row = model._default_manager.order_by("pk").first()
    assert not english_in(spanish(admin_client, address))
    assert not english_in(spanish(admin_client, f"{address}{row.pk}/change/"))


def test_refusals_speak_spanish() -> None:
    row = Payment(status="captured")
    assert row.why_not_capturable(has_method=True).startswith("Only a payment that waits for capture can be captured")
    with translation.override("es"):
        assert "Capturado" in row.why_not_capturable(has_method=True)
        assert Payment(deleted_at=timezone.now()).why_not_voidable() == "La plataforma ya no tiene este pago."
        assert Payment._meta.get_field("processing_fee_amount").verbose_name == "cargo por servicio"


@pytest.fixture
def merchant(sandbox: Any, settings: Any) -> Merchant:
    settings.GOVPAY = {
        **settings.GOVPAY,
        "CHECKOUT_ORIGINS": ["https://testserver"],
        "COMPONENT_SCRIPT_URL": "https://cdn.example/govifi.js",
    }
    return Merchant(sandbox)


@pytest.mark.django_db(transaction=True)
def test_payers_read_spanish(merchant: Merchant, client: Client) -> None:
    link = operations.create_payment_link(account=merchant.account, amount=5000, description="Agua", reference_id="F-7")
    page = spanish(client, f"/govpay/pay/{link.public_id}/")
    for words in ("Concepto", "Referencia", "Monto", "Cargo por servicio", "Empezar de nuevo"):
        assert words in page
    assert not english_in(page)
    assert not english_in(spanish(client, f"/govpay/pay/{link.public_id}/done/"))

    operations.cancel_payment_link(link=link)
    for address in (f"/govpay/pay/{link.public_id}/", "/govpay/pay/nothing/"):
        page = spanish(client, address)
        assert "Esta página de pago" in page
        assert not english_in(page)


def test_english_sites_stay_english(client: Client, transactional_db: None) -> None:
    page = client.get("/govpay/pay/nothing/", headers={"Accept-Language": "en-us"}).content.decode()
    assert "This payment page does not exist." in page
