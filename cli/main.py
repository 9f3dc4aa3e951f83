"""`forewarn`: one command for each part of the platform. Modules are imported only when their command runs."""

import importlib
import sys

import click

from core import log, settings
from core.errors import ForewarnError

COMMANDS = {
    "migrate": "cli.setup:migrate",
    "settings": "cli.setup:show_settings",
    "profile": "cli.setup:profile",
    "device": "cli.device:device",
    "gateway": "cli.gateway:gateway",
    "dead-letters": "cli.gateway:dead_letters",
    "storage": "cli.storage:storage",
    "detect": "cli.detect:detect",
    "engine": "cli.engine:engine",
    "api": "cli.api:api",
    "token": "cli.api:token",
    "simulate": "cli.simulate:simulate",
    "replay": "cli.replay:replay",
    "backtest": "cli.backtest:backtest",
    "train": "cli.train:train",
    "model": "cli.model:model",
    "demo": "cli.demo:demo",
}


class _Lazy(click.Group):
    """A group whose commands are found in `COMMANDS` and imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 — click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 — as above
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name].split(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command


@click.group(cls=_Lazy)
@click.version_option(package_name="forewarn")
@click.pass_context
def forewarn(context: click.Context) -> None:
    """Proactive support for connected products. Settings come from FOREWARN_* variables: see `forewarn settings`."""
    context.obj = settings.load()
    log.configure(context.obj.log_level, context.obj.log_format)


def main() -> None:
    """The console command. An error of Forewarn is one line on stderr and exit code 1, never a traceback."""
    try:
        forewarn()
    except ForewarnError as error:
        print(f"forewarn: {error}", file=sys.stderr)
        sys.exit(1)
