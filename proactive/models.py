"""Models and what became of their findings: staging by people, and by the stated rules. Each change is one transaction."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from anomaly import registry
from anomaly.detectors.failure_model import FailureModel
from anomaly.drift import Drift
from anomaly.learning.model import hash_of
from anomaly.registry import Entry, Stage, StageChange
from core import log
from core.clock import Clock
from core.database import Connection, Database, Queries
from core.errors import Conflict, InvalidInput, NotFound
from core.profile import Profile
from proactive.record import MONTH, Comparison, Found, Record, Verdict, compare
from proactive.staging import Decision, Promotion, Rules, StepBack, promotion, step_back
from proactive.store import ENGINE

_SQL = Queries("proactive", "models.sql")
_log = log.get(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A model with all that is known of it.

    fits: whether the profile is as it was when the model was learnt. record: of the tickets that its findings opened since
    it went live; None unless it is live. comparison: with what is live; None unless it is a shadow with components.
    decision: what the rules say of it now; None for a retired one.
    """

    entry: Entry
    fits: bool
    changes: list[StageChange]
    drift: tuple[datetime, Drift] | None
    record: Record | None
    comparison: Comparison | None
    decision: Decision[Promotion] | Decision[StepBack] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Performance:
    """How the findings of a detector's version ended. ahead: median time from a confirmed finding to the end of its ticket."""

    profile: str
    detector: str
    version: str
    findings: int
    confirmed: int
    no_fault_found: int
    ahead: timedelta | None
    newest: datetime

    @property
    def precision(self) -> float | None:
        """The confirmed share of the findings with an answer."""
        answered = self.confirmed + self.no_fault_found
        return self.confirmed / answered if answered else None


class ModelStore:
    """What people and the engine do to models."""

    def __init__(self, database: Database, profiles: Mapping[str, Profile], rules: Rules, clock: Clock) -> None:
        self._database = database
        self._profiles = profiles
        self._rules = rules
        self._clock = clock

    def entries(self, profile: str | None = None) -> list[Entry]:
        """All models, or those of a profile, newest first."""
        with self._database.transaction() as connection:
            return registry.entries(connection, profile)

    def standing(self, profile: str, version: str) -> Standing:
        """All that is known of a model. Raises NotFound."""
        with self._database.transaction() as connection:
            entry = registry.find(connection, profile, version)
            record = self._record(connection, entry) if entry.stage == "live" else None
            comparison = self._comparison(connection, entry) if entry.stage == "shadow" else None
            return Standing(
                entry=entry,
                fits=self._fits(entry),
                changes=registry.changes(connection, entry.id),
                drift=registry.drift_of(connection, entry.id),
                record=record,
                comparison=comparison,
                decision=self._decision(entry, record, comparison),
            )

    def comparison(self, profile: str) -> tuple[Entry, Comparison]:
        """The shadow of a profile beside what is live. Raises NotFound where no shadow with components watches."""
        with self._database.transaction() as connection:
            shadow = registry.staged(connection, profile).get("shadow")
            found = self._comparison(connection, shadow) if shadow else None
            if shadow is None or found is None:
                raise NotFound("shadow model that speaks for a component of", profile)
            return shadow, found

    def performance(self, profile: str | None = None) -> list[Performance]:
        """By profile: each detector's versions, the newest findings first."""
        with self._database.transaction() as connection:
            return [Performance(**row) for row in connection.execute(_SQL["performance"], {"profile": profile})]

    def promote(self, profile: str, version: str, *, actor: str, reason: str) -> Entry:
        """Makes a model live. Raises NotFound, Conflict, InvalidInput."""
        reason = _sentence(reason)
        with self._database.transaction() as connection:
            registry.lock(connection, profile)
            entry = registry.find(connection, profile, version)
            if not self._fits(entry):
                raise Conflict(
                    f"{profile} {version} was learnt for another state of its profile, or by another release; train a new one with `forewarn train`"
                )
            return self._stage(connection, entry, "live", actor=actor, reason=reason)

    def retire(self, profile: str, version: str, *, actor: str, reason: str) -> Entry:
        """Retires a model; nothing takes its place. Raises NotFound, Conflict, InvalidInput."""
        reason = _sentence(reason)
        with self._database.transaction() as connection:
            registry.lock(connection, profile)
            return self._stage(
                connection, registry.find(connection, profile, version), "retired", actor=actor, reason=reason
            )

    def review(self) -> int:
        """Promotes and takes back what the rules say; returns how many models changed. One transaction a profile."""
        with self._database.transaction() as connection:
            profiles = sorted({profile for profile, _ in registry.in_use(connection)})
        return sum(self._review(profile) for profile in profiles)

    def _review(self, profile: str) -> bool:
        with self._database.transaction() as connection:
            # Under the lock, so that of several engines one decides and the others see what came of it.
            registry.lock(connection, profile)
            staged = registry.staged(connection, profile)
            if live := staged.get("live"):
                back = step_back(self._record(connection, live), self._rules, promised=live.promised)
                if back.why.acts:
                    after = registry.step_back(
                        connection, profile, live.version, actor=ENGINE, reason=str(back), now=self._clock()
                    )
                    now_live = after.version if after.stage == "live" else None
                    _log.warning(
                        "model taken back",
                        profile=profile,
                        version=live.version,
                        reason=str(back),
                        live_again=now_live,
                    )
                    return True
            if shadow := staged.get("shadow"):
                found = self._comparison(connection, shadow)
                decision = promotion(found, self._rules, fits=self._fits(shadow)) if found else None
                if decision and decision.why.acts:
                    self._stage(connection, shadow, "live", actor=ENGINE, reason=str(decision))
                    return True
        return False

    def _stage(self, connection: Connection, entry: Entry, to: Stage, *, actor: str, reason: str) -> Entry:
        after = registry.stage(
            connection, entry.profile, entry.version, to, actor=actor, reason=reason, now=self._clock()
        )
        _log.info("model staged", profile=entry.profile, version=entry.version, stage=to, actor=actor, reason=reason)
        return after

    def _fits(self, entry: Entry) -> bool:
        profile = self._profiles.get(entry.profile)
        return profile is not None and hash_of(profile) == entry.profile_hash

    def _decision(
        self, entry: Entry, record: Record | None, comparison: Comparison | None
    ) -> Decision[Promotion] | Decision[StepBack] | None:
        if record is not None:
            return step_back(record, self._rules, promised=entry.promised)
        return promotion(comparison, self._rules, fits=self._fits(entry)) if comparison is not None else None

    def _record(self, connection: Connection, live: Entry) -> Record:
        values: dict[str, Any] = {
            "profile": live.profile,
            "version": live.version,
            "since": live.staged_at,
            "detector": FailureModel.name,
            "learnt": bool(live.components),
        }
        row = connection.execute(_SQL["opened_by"], values).fetchone()
        assert row is not None
        return Record(
            findings=row["tickets"],
            confirmed=row["confirmed"],
            no_fault_found=row["no_fault_found"],
            months=self._months(connection, live.profile, live.staged_at),
        )

    def _months(self, connection: Connection, profile: str, since: datetime) -> float:
        values = {"profile": profile, "since": since, "until": self._clock()}
        row = connection.execute(_SQL["judged_days"], values).fetchone()
        assert row is not None
        months: float = timedelta(days=row["days"]) / MONTH
        return months

    def _comparison(self, connection: Connection, shadow: Entry) -> Comparison | None:
        profile = self._profiles.get(shadow.profile)
        if profile is None or not shadow.components:
            return None
        live = registry.staged(connection, shadow.profile).get("live")
        since = max(shadow.staged_at, live.staged_at) if live else shadow.staged_at
        asked: dict[str, Any] = {"profile": shadow.profile, "since": since, "components": shadow.components}
        found = connection.execute(_SQL["live_findings"], asked).fetchall()
        watched = connection.execute(_SQL["shadow_findings"], {"model": shadow.id}).fetchall()
        answers = connection.execute(_SQL["verdicts"], asked).fetchall()
        return compare(
            [Found(**row) for row in found],
            [Found(**row) for row in watched],
            [Verdict(**row) for row in answers],
            since=since,
            until=self._clock(),
            horizon=profile.horizon,
            months=self._months(connection, shadow.profile, since),
        )


def _sentence(reason: str) -> str:
    if not reason.strip():
        raise InvalidInput("say why, in a sentence: whoever looks later reads it in the model's history")
    return reason.strip()
