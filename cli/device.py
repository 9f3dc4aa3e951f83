"""Commands about devices: `device add`, `import`, `list`, `show`."""

from pathlib import Path

import click

from core.database import Database
from core.errors import InvalidInput
from core.profile import Profiles
from core.settings import Settings
from telemetry import device_list
from telemetry.store import DeviceStore


@click.group()
def device() -> None:
    """Devices: register and show them."""


def _database(settings: Settings) -> Database:
    return Database(settings.database_url.get_secret_value(), size=settings.database_pool, name="forewarn-device")


@device.command("add")
@click.argument("name")
@click.argument("profile")
@click.option("--model", default="")
@click.option("--serial", default="")
@click.option("--firmware", default="")
@click.option("--site", default="")
@click.option("--address", default="")
@click.option("--customer", default="", help="The customer's number where it comes from.")
@click.option("--customer-name", default="")
@click.option("--email", default="")
@click.option("--phone", default="")
@click.option("--language", default="")
@click.option("--time-zone", default="")
@click.option("--consent", is_flag=True, help="The customer agreed to get notices.")
@click.pass_obj
def add(settings: Settings, /, name: str, consent: bool, **given: str) -> None:
    """Register the device NAME with PROFILE, or bring it to what is given here."""
    row = {"device": name, "consent": "true" if consent else "", **given}
    found, wrong = device_list.read(row, Profiles(settings.profile_dir))
    if wrong:
        raise InvalidInput("; ".join(f"{column}: {reason}" for column, reason in wrong))
    with _database(settings) as database:
        number = DeviceStore(database).register_all([found])[name]
    click.echo(f"device {name} is registered, number {number}")


@device.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.pass_obj
def import_file(settings: Settings, file: Path) -> None:
    """Register all devices in FILE (CSV), or none when there is a fault in it."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file}: cannot be read: {error}") from None
    devices = device_list.parse(text, str(file), Profiles(settings.profile_dir))
    with _database(settings) as database:
        DeviceStore(database).register_all(devices)
    click.echo(f"{len(devices)} devices are registered")


@device.command("list")
@click.pass_obj
def list_devices(settings: Settings) -> None:
    """Print each device's name, profile, status and customer."""
    with _database(settings) as database:
        for row in DeviceStore(database).list():
            click.echo(f"{row['name']}\t{row['profile']}\t{row['status']}\t{row['customer_name'] or ''}")


@device.command("show")
@click.argument("name")
@click.pass_obj
def show(settings: Settings, name: str) -> None:
    """Print all that is known of the device NAME."""
    with _database(settings) as database:
        for field, value in DeviceStore(database).by_name(name).items():
            click.echo(f"{field}: {'' if value is None else value}")
