"""Rules of the house that no linter knows."""

import importlib
import re
from pathlib import Path

import click
import pytest

from cli.main import COMMANDS
from core.database import Queries

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("file", sorted(ROOT.glob("migrations/versions/*")), ids=lambda f: f.name)
def test_a_migration_has_a_number_and_a_name(file: Path) -> None:
    assert re.fullmatch(r"\d{4}_[a-z_]+\.sql", file.name)


def test_migration_numbers_stand_once() -> None:
    numbers = [f.name[:4] for f in ROOT.glob("migrations/versions/*.sql")]
    assert len(numbers) == len(set(numbers))


SQL = [f for f in ROOT.glob("*/*.sql") if f.parent.name not in ("migrations", "tests", "build")]


@pytest.mark.parametrize("file", sorted(SQL), ids=lambda f: f"{f.parent.name}/{f.name}")
def test_every_query_is_used(file: Path) -> None:
    names = Queries(file.parent.name, file.name).names()
    assert names
    code = "\n".join(f.read_text() for f in file.parent.rglob("*.py"))
    unused = [name for name in names if f'"{name}"' not in code]
    assert not unused


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_does(name: str) -> None:
    module, attribute = COMMANDS[name].split(":")
    command = getattr(importlib.import_module(module), attribute)
    assert isinstance(command, click.Command)
    assert command.help


def test_the_readme_names_only_make_targets_that_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"^\s*make ([a-z]+)", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert {"demo", "test"} <= named <= targets


@pytest.mark.parametrize("file", sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")]), ids=lambda f: f.name)
def test_links_between_documents_lead_somewhere(file: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", file.read_text()):
        assert (file.parent / target).exists(), target


@pytest.mark.parametrize("file", sorted(ROOT.glob("*/__init__.py")), ids=lambda f: f.parent.name)
def test_every_folder_says_what_it_is(file: Path) -> None:
    if file.parent.name != "tests":
        assert file.read_text().startswith('"""')
