"""`forewarn detect`: judges stored readings as a process."""

import signal
import threading

import click

from anomaly.engine import DetectionEngine
from core import log
from core.clock import utc_now
from core.database import Database
from core.errors import DatabaseAway
from core.heartbeat import Heartbeat, this_process
from core.profile import Profiles
from core.settings import Settings

_log = log.get(__name__)


@click.command()
@click.option("--once", is_flag=True, help="Judge what is stored now and end.")
@click.pass_obj
def detect(settings: Settings, *, once: bool) -> None:
    """Judge stored readings and write findings."""
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    url = settings.database_url.get_secret_value()
    with Database(url, size=settings.database_pool, name="forewarn-detect") as database:
        engine = DetectionEngine(database, Profiles(settings.profile_dir), utc_now)
        _log.info("detection runs", interval_s=settings.detection_interval.total_seconds())
        with Heartbeat(database, part="detect", instance=this_process(), now=utc_now):
            _run(settings, engine, stop, once=once)


def _run(settings: Settings, engine: DetectionEngine, stop: threading.Event, *, once: bool) -> None:
    while not stop.is_set():
        try:
            turn = engine.turn()
        except DatabaseAway as error:
            if once:
                raise
            _log.warning("the database is away; waiting", error=str(error))
            stop.wait(5)
            continue
        if turn.readings:
            _log.info("judged", readings=turn.readings, findings=turn.findings)
        if turn.more:
            continue
        if once:
            break
        stop.wait(settings.detection_interval.total_seconds())
