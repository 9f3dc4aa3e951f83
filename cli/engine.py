"""`forewarn engine`: the proactive engine as a process, its turns scheduled by APScheduler."""

import signal
import subprocess
import sys
from collections.abc import Callable

import click
from apscheduler.schedulers.blocking import BlockingScheduler

from anomaly import watch
from core import log
from core.clock import utc_now
from core.database import Database
from core.errors import DatabaseAway
from core.heartbeat import Heartbeat, this_process
from core.profile import Profiles
from core.settings import Settings
from proactive.channels.email import Email
from proactive.contact import QuietHours
from proactive.engine import Engine
from proactive.letter import Sender
from proactive.models import ModelStore
from proactive.staging import Rules
from proactive.store import Outbox, TicketStore
from telemetry import storage

_log = log.get(__name__)


def build(settings: Settings, database: Database) -> Engine:
    """The engine with the parts that the settings name."""
    email = Email(
        host=settings.smtp_host,
        port=settings.smtp_port,
        sender=settings.mail_from,
        clock=utc_now,
        username=settings.smtp_username,
        password=settings.smtp_password.get_secret_value(),
        starttls=settings.smtp_starttls,
    )
    return Engine(
        tickets=TicketStore(database, utc_now),
        outbox=Outbox(database, utc_now),
        channels={email.name: email},
        profiles=Profiles(settings.profile_dir),
        sender=Sender(brand=settings.brand, phone=settings.support_phone),
        quiet=QuietHours.parse(settings.quiet_hours),
        clock=utc_now,
    )


def model_store(settings: Settings, database: Database) -> ModelStore:
    """What stages models, by the rules of the settings."""
    return ModelStore(database, Profiles(settings.profile_dir), Rules.of(settings), utc_now)


@click.command()
@click.option("--once", is_flag=True, help="Do one turn and end.")
@click.pass_obj
def engine(settings: Settings, *, once: bool) -> None:
    """Open tickets for findings and send notices to customers."""
    url = settings.database_url.get_secret_value()
    with Database(url, size=settings.database_pool, name="forewarn-engine") as database:
        running = build(settings, database)
        if once:
            running.triage()
            running.send_due()
            running.tidy()
            model_store(settings, database).review()
            return
        scheduler = BlockingScheduler(timezone="UTC", job_defaults={"coalesce": True, "max_instances": 1})
        often = settings.engine_interval.total_seconds()
        scheduler.add_job(_unless_away(running.triage), "interval", seconds=often)
        scheduler.add_job(_unless_away(running.send_due), "interval", seconds=often)
        scheduler.add_job(_unless_away(running.tidy), "interval", minutes=5)
        models, profiles = model_store(settings, database), Profiles(settings.profile_dir)
        scheduler.add_job(_unless_away(lambda: storage.roll_up(database, profiles)), "interval", minutes=5)
        scheduler.add_job(_unless_away(lambda: _tidy(settings, database, profiles)), "interval", hours=1)
        scheduler.add_job(_unless_away(models.review), "interval", minutes=5)
        scheduler.add_job(_unless_away(lambda: watch.look(database, profiles, utc_now())), "interval", hours=1)
        if settings.train_every:
            scheduler.add_job(_learn, "interval", seconds=settings.train_every.total_seconds())
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: scheduler.shutdown(wait=False))
        _log.info("engine runs", interval_s=often)
        with Heartbeat(database, part="engine", instance=this_process(), now=utc_now):
            scheduler.start()


def _learn() -> None:
    """Learns models anew where that is due, in a process of its own: it takes long and all of a core."""
    done = subprocess.run([sys.executable, "-m", "cli", "train", "--when-due", "--jobs", "1"], check=False)
    if done.returncode:
        _log.error("learning models failed; it is tried again next time", exit_code=done.returncode)


def _tidy(settings: Settings, database: Database, profiles: Profiles) -> None:
    done = storage.tidy(database, profiles, now=utc_now(), retention=settings.retention)
    _log.info("storage tidied", hours=done.hours, dropped=done.dropped, of=done.of, batches=done.batches)


def _unless_away(job: Callable[[], object]) -> Callable[[], None]:
    """The job, skipped with a log line while the database is away: the next turn takes up what waits."""

    def run() -> None:
        try:
            job()
        except DatabaseAway as error:
            _log.warning("the database is away; waiting", error=str(error))

    return run
