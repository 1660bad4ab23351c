"""Each code block of a document works when it is pasted: shell commands, settings of the demo site, files."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from io import StringIO
from pathlib import Path
from typing import Any

import environ
import pytest
from celery.bin.worker import worker
from django.core.management import CommandError, call_command, get_commands, load_command_class

from govpay.schedule import TASK_QUEUES
from tests.documents.blocks import BLOCKS, DOCUMENTS, INDENTED, Block, prose_of, written_in
from tests.operations.merchant import Merchant
from tests.processes import ROOT, bare_environment

#: Languages with a test: here, in ``test_python.py``, or (nginx) in ``tests/security/test_deployment.py``.
#: ``text`` is what a program prints.
TESTED = {"sh", "python", "ini", "csv", "nginx", "text"}

MAKEFILE = (ROOT / "Makefile").read_text()
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_block_names_a_language_that_is_tested(block: Block) -> None:
    assert block.language in TESTED


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_no_block_is_hidden_by_its_indentation(path: Path) -> None:
    assert INDENTED.findall(prose_of(path.read_text(encoding="utf-8"))) == []


# --- Shell ----------------------------------------------------------------------------------------


def commands_in(block: Block) -> list[list[str]]:
    lines = block.code.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


COMMANDS = [(block, words) for block in written_in("sh") for words in commands_in(block)]


@pytest.mark.parametrize(("block", "words"), COMMANDS, ids=[f"{block} {' '.join(words)}" for block, words in COMMANDS])
def test_a_command_exists_with_its_options(block: Block, words: list[str]) -> None:
    while re.fullmatch(r"[A-Z_]+=\S*", words[0]):
        words = words[1:]
    if words[:2] == ["flock", "-n"]:
        words = words[3:]
    match words:
        case ["make", *arguments]:
            check_make(arguments)
        case ["python", "manage.py", command, *arguments] | ["manage.py", command, *arguments]:
            check_management(command, arguments)
        case ["celery", "-A", _, "worker", *arguments]:
            check_worker(arguments)
        case ["pip", "install", what]:
            assert set(re.findall(r"[\w]+", "".join(re.findall(r"\[(.*)\]", what)))) <= set(EXTRAS)
        case ["python", "-c", code]:
            subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, env=bare_environment())
        case _:
            pytest.fail(f"No test knows this command: {words}")


def check_make(arguments: list[str]) -> None:
    for each in arguments:
        name, is_variable, _ = each.partition("=")
        assert re.search(rf"(?m)^{re.escape(name)} \?=" if is_variable else rf"(?m)^{re.escape(name)}:", MAKEFILE), each


def check_management(name: str, arguments: list[str]) -> None:
    command = load_command_class(get_commands()[name], name)
    command.create_parser("manage.py", name).parse_args(arguments)


def check_worker(arguments: list[str]) -> None:
    known = {option for each in worker.params for option in each.opts}
    assert {each for each in arguments if each.startswith("-")} <= known
    with worker.make_context("worker", [*arguments], resilient_parsing=True) as context:
        assert set(context.params["queues"]) <= {queue.name for queue in TASK_QUEUES}


def test_commands_that_do_not_work_are_found() -> None:
    (block,) = {block for block, words in COMMANDS if words[:2] == ["make", "demo"]}
    for line, error in {
        "make demos": AssertionError,
        "make test PYTEST=1": AssertionError,
        "manage.py govpay_sync --nosuch": CommandError,
        "manage.py govpay_synk": KeyError,
        "celery -A site worker -Q govpay.mony": AssertionError,
        "celery -A site worker --nosuch": AssertionError,
        "pip install path[reddis]": AssertionError,
        "rm -r .": pytest.fail.Exception,
    }.items():
        with pytest.raises(error):
            test_a_command_exists_with_its_options(block, line.split())


# --- Files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", written_in("ini"), ids=str)
def test_an_environment_is_read_and_each_variable_is_known(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environ.Env, "ENVIRON", {})
    file = tmp_path / "env"
    file.write_text(block.code)
    environ.Env.read_env(str(file))
    listed = set(re.findall(r"(?m)^# ([A-Z_]+)=", (ROOT / ".env.example").read_text()))
    names = {line.partition("=")[0] for line in block.code.splitlines() if not line.startswith("#")}
    assert names == set(environ.Env.ENVIRON)
    assert names <= listed


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("block", written_in("csv"), ids=str)
def test_a_file_of_payment_methods_can_be_imported(block: Block, sandbox: Any, tmp_path: Path) -> None:
    merchant = Merchant(sandbox)
    for reference in re.findall(r"(?m)^(CIT-\d+),", block.code):
        sandbox.add_customer(merchant.account.uid, reference_id=reference)
    merchant.sync("customers")
    (tmp_path / "methods.csv").write_text(block.code)
    out = StringIO()
    call_command("govpay_import_methods", str(tmp_path / "methods.csv"), "--account", merchant.account.uid, stdout=out)
    rows = len(block.code.splitlines()) - 1
    assert f"imported={rows} refused=0" in out.getvalue()
