"""Commands that prepare and explain: `migrate`, `settings`, `profile`."""

from pathlib import Path

import click

from core import settings as settings_module
from core.profile import Profiles, load
from core.settings import Settings
from migrations import runner


@click.command()
@click.pass_obj
def migrate(settings: Settings) -> None:
    """Bring the database to the current schema."""
    ran = runner.migrate(settings.database_url.get_secret_value())
    click.echo("\n".join(f"ran {name}" for name in ran) or "the schema is current")


@click.command("settings")
def show_settings() -> None:
    """Print the table of all settings."""
    click.echo(settings_module.table(), nl=False)


@click.group()
def profile() -> None:
    """Device profiles: list and check them."""


@profile.command("list")
@click.pass_obj
def list_profiles(settings: Settings) -> None:
    """Print each profile's name and title."""
    for name, found in Profiles(settings.profile_dir).items():
        click.echo(f"{name}\t{found.title}\t{len(found.signals)} signals, {len(found.failure_modes)} failure modes")


@profile.command("check")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
def check(files: tuple[Path, ...]) -> None:
    """Check profile FILES; stops at the first error with its file, line and field."""
    for file in files:
        click.echo(f"{file}: {load(file).name} is valid")
