"""Registering devices, by the store and by the command line."""

from pathlib import Path

import pytest

from core.database import Database
from core.errors import InvalidInput, NotFound
from telemetry.store import DeviceStore
from tests.gateways import run

HEADER = (
    "device,profile,model,serial,firmware,site,address,customer,customer_name,email,phone,language,time_zone,consent\n"
)
GOOD = HEADER + (
    'f1,fridge,M1,S1,1.0,north,"Am Ring 1, Köln",C1,Anna Öz,anna@example.com,+49 221 1,de,Europe/Berlin,true\n'
    "f2,fridge,,,,,,C1,Anna Öz,anna@example.com,+49 221 1,de,Europe/Berlin,true\n"
    "f3,fridge,,,,,,,,,,,,\n"
)


def test_a_list_is_imported_and_importing_it_again_changes_nothing(
    database_url: str, database: Database, tmp_path: Path
) -> None:
    file = tmp_path / "devices.csv"
    file.write_text(GOOD)
    assert run(database_url, "device", "import", str(file)).stdout == "3 devices are registered\n"
    first = DeviceStore(database).list()
    assert run(database_url, "device", "import", str(file)).returncode == 0
    assert DeviceStore(database).list() == first
    assert [(d["name"], d["customer_name"], d["consent"]) for d in first] == [
        ("f1", "Anna Öz", True),
        ("f2", "Anna Öz", True),
        ("f3", None, None),
    ]
    shown = run(database_url, "device", "show", "f1").stdout
    assert "address: Am Ring 1, Köln" in shown


def test_a_list_with_a_fault_imports_nothing_and_names_the_place(
    database_url: str, database: Database, tmp_path: Path
) -> None:
    file = tmp_path / "devices.csv"
    file.write_text(GOOD + "f4,toaster,,,,,,,,,,,,\n")
    done = run(database_url, "device", "import", str(file))
    assert done.returncode == 1
    assert done.stderr == f"forewarn: {file}:5: profile: there is no profile 'toaster'\n"
    assert DeviceStore(database).list() == []


def test_sql_in_a_device_text_is_only_text(database: Database) -> None:
    store = DeviceStore(database)
    text = "'); DROP TABLE device; --"
    store.register(name="f1", profile="fridge", model=text, customer="C'1", customer_name=text)
    assert store.by_name("f1")["model"] == text
    assert store.by_name("f1")["customer_name"] == text


def test_registering_again_keeps_the_number(database: Database) -> None:
    store = DeviceStore(database)
    assert store.register(name="f1", profile="fridge") == store.register(name="f1", profile="fridge", site="north")
    assert store.by_name("f1")["site"] == "north"


def test_what_cannot_be_a_device_is_refused(database: Database) -> None:
    store = DeviceStore(database)
    with pytest.raises(InvalidInput, match="no device name"):
        store.register(name="a/b", profile="fridge")
    with pytest.raises(InvalidInput, match="control character"):
        store.register(name="f1", profile="fridge", model="a\0b")
    with pytest.raises(NotFound, match="no device 'nobody'"):
        store.by_name("nobody")
