"""`forewarn storage`: what is done about stored readings growing old."""

import click

from core.clock import utc_now
from core.database import Database
from core.profile import Profiles
from core.settings import Settings
from telemetry import storage as telemetry_storage


@click.group()
def storage() -> None:
    """Stored readings: hours as one row each, and the dropping of old ones."""


@storage.command("tidy")
@click.pass_obj
def tidy(settings: Settings) -> None:
    """Do now what `forewarn engine` does each hour: make hourly rows, drop readings older than FOREWARN_RETENTION."""
    with Database(settings.database_url.get_secret_value(), size=1, name="forewarn-storage") as database:
        profiles = Profiles(settings.profile_dir)
        done = telemetry_storage.tidy(database, profiles, now=utc_now(), retention=settings.retention)
    click.echo(f"{done.hours} hours made, {done.dropped} {done.of} dropped, {done.batches} notes of batches pruned")
