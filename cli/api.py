"""`forewarn api` serves the API and the pages; `forewarn token` makes and ends the bearer tokens for them."""

import click
import uvicorn

from api.access import FIRST, Role, new_token
from api.app import create_app
from api.store import TokenStore
from core import log
from core.clock import utc_now
from core.database import Database
from core.errors import Conflict
from core.settings import Settings

_log = log.get(__name__)


@click.command()
@click.option("--host", help="Address to listen on; FOREWARN_HTTP_HOST unless given.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; FOREWARN_HTTP_PORT unless given.")
@click.pass_obj
def api(settings: Settings, host: str | None, port: int | None) -> None:
    """Serve the REST API and the pages."""
    address = {"http_host": host or settings.http_host, "http_port": settings.http_port if port is None else port}
    settings = settings.model_copy(update=address)
    if not settings.admin_token.get_secret_value():
        _log.warning("FOREWARN_ADMIN_TOKEN is empty: only tokens of `forewarn token create` can sign in")
    with Database(
        settings.database_url.get_secret_value(), size=settings.database_pool, name="forewarn-api"
    ) as database:
        uvicorn.run(
            create_app(settings, database),
            host=settings.http_host,
            port=settings.http_port,
            # The program's own logging stands; requests are counted in /metrics, not logged one by one.
            log_config=None,
            access_log=False,
            server_header=False,
        )


@click.group()
def token() -> None:
    """Bearer tokens for the API and for signing in to the pages."""


@token.command("create")
@click.argument("name")
@click.option("--role", type=click.Choice([str(role) for role in Role]), default="viewer", show_default=True)
@click.pass_obj
def create(settings: Settings, name: str, role: str) -> None:
    """Make a token called NAME and print it, once: only its hash is kept."""
    if name == FIRST:
        raise Conflict(f"{FIRST!r} is the token of FOREWARN_ADMIN_TOKEN; choose another name")
    made = new_token()
    with Database(settings.database_url.get_secret_value(), size=1) as database:
        TokenStore(database).create(name=name, role=role, token=made, now=utc_now())
    click.echo(made)


@token.command("list")
@click.pass_obj
def list_tokens(settings: Settings) -> None:
    """Print name, role and state of each token."""
    with Database(settings.database_url.get_secret_value(), size=1) as database:
        for row in TokenStore(database).list():
            state = f"revoked {row['revoked_at']:%Y-%m-%d}" if row["revoked_at"] else "valid"
            click.echo(f"{row['name']}\t{row['role']}\t{row['created_at']:%Y-%m-%d}\t{state}")


@token.command("revoke")
@click.argument("name")
@click.pass_obj
def revoke(settings: Settings, name: str) -> None:
    """End the token NAME and the sessions made with it."""
    with Database(settings.database_url.get_secret_value(), size=1) as database:
        TokenStore(database).revoke(name=name, now=utc_now())
    click.echo(f"revoked {name}")
