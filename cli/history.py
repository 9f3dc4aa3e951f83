"""History of a profile and what really happened in it, from files or from the database: for `backtest` and `train`."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from anomaly.backtest import History, Labels
from core.clock import utc_now
from core.database import Database
from core.errors import InvalidInput
from core.profile import Profile, Profiles, load
from core.settings import Settings
from proactive.store import TicketStore
from telemetry import recorded
from telemetry.history import micros
from telemetry.recorded import Recording
from telemetry.stored import StoredHistory


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """The files that hold a history, and what happened in it."""

    telemetry: tuple[Path, ...] = ()
    events: Path | None = None
    maintenance: Path | None = None
    devices: Path | None = None
    failures: Path | None = None
    anomalies: Path | None = None
    remaining_life: Path | None = None


def opened(
    stack: ExitStack,
    settings: Settings,
    profile: Profile,
    files: Files,
    *,
    from_database: bool,
    since: str | None = None,
) -> tuple[History, Labels]:
    """The history that a person named, and what is known of it. Raises InvalidInput, BadTable."""
    if from_database and (files.telemetry or files.events or files.maintenance or files.devices):
        raise InvalidInput(
            "--from-database takes telemetry, events, maintenance and attributes from the database alone"
        )
    if from_database:
        url = settings.database_url.get_secret_value()
        database = stack.enter_context(Database(url, name="forewarn-history"))
        history: History = StoredHistory(database, profile, date(since, "--since") if since else None)
        if not history.devices:
            raise InvalidInput(f"nothing is stored of devices of the profile {profile.name}")
    elif files.telemetry or files.events:
        others = [file for file in (files.failures, files.remaining_life) if file]
        history = recorded_of(
            profile, files.telemetry, others, events=files.events, maintenance=files.maintenance, devices=files.devices
        )
    else:
        raise InvalidInput("give --telemetry FILE, --events FILE of devices that only send events, or --from-database")
    labels = labels_of(
        profile, history, failures=files.failures, anomalies=files.anomalies, remaining_life=files.remaining_life
    )
    if from_database and labels.failed is None:
        labels = _confirmed(labels, database, profile, history.devices)
    return history, labels


def profile_of(settings: Settings, name: str) -> Profile:
    """A profile by its name, or from its file."""
    path = Path(name)
    return load(path) if path.suffix in {".yaml", ".yml"} else Profiles(settings.profile_dir)[name]


def recorded_of(
    profile: Profile,
    telemetry: Sequence[Path],
    others: Sequence[Path] = (),
    *,
    events: Path | None = None,
    maintenance: Path | None = None,
    devices: Path | None = None,
) -> Recording:
    """History from files. Without telemetry the devices are those that stand in `events` and in `others`."""
    if telemetry:
        history = recorded.combined([recorded.telemetry(file, profile) for file in telemetry])
    else:
        assert events is not None
        history = recorded.eventful(profile, events, others, maintenance=maintenance)
    if events:
        history = replace(history, events=recorded.happenings(events, history.devices, "code"))
    if maintenance:
        replaced = recorded.happenings(maintenance, history.devices, "component")
        recorded.components(maintenance, replaced, profile)
        history = replace(history, replaced=replaced)
    if devices:
        history = replace(history, attributes=recorded.attributes(devices, history.devices))
    return history


def labels_of(
    profile: Profile,
    history: History,
    *,
    failures: Path | None = None,
    anomalies: Path | None = None,
    remaining_life: Path | None = None,
) -> Labels:
    """What really happened, from files."""
    failed = None
    if failures:
        found = recorded.happenings(failures, history.devices, "component")
        failed = (found.device, recorded.components(failures, found, profile), found.times)
    return Labels(
        failed=failed,
        anomalies=recorded.intervals(anomalies, history.devices) if anomalies else None,
        life=recorded.remaining_life(remaining_life, history.devices, profile) if remaining_life else None,
    )


@contextmanager
def bars(profile: Profile, history: History, console: Console) -> Iterator[Callable[[str], Callable[[int], None]]]:
    """Progress bars over the time of a history, one for each thing that is done."""
    first, last = history.spans()
    total = int(last.max() - first.min()) if len(last) else 0
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[day]}"))
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as progress:

        def bar(what: str) -> Callable[[int], None]:
            task = progress.add_task(f"{what} {profile.name}", total=total, day="")

            def told(time: int) -> None:
                day = f"{datetime.fromtimestamp(time / 1e6, tz=UTC):%Y-%m-%d}"
                progress.update(task, completed=time - int(first.min()), day=day)

            return told

        yield bar


def date(text: str, option: str) -> datetime:
    """A date as people write it, UTC unless it says otherwise. Raises InvalidInput, which names the option."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(f"{option} {text}: write a date like 2026-01-31, or with a time") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _confirmed(labels: Labels, database: Database, profile: Profile, devices: tuple[str, ...]) -> Labels:
    """With failures as far as the database knows them: the faults that people confirmed, when they were over, and since when they showed."""
    place = {name: at for at, name in enumerate(devices)}
    components = list(profile.components)
    rows = [
        (place[device], components.index(component), micros(at), micros(began))
        for device, component, began, at in TicketStore(database, utc_now).confirmed_faults(profile.name)
        if device in place and component in components
    ]
    device, component, time, began = np.array(rows, dtype=np.int64).reshape(len(rows), 4).T
    return replace(labels, failed=(device, component, time), began=began)
