"""Whether a shadow goes live by itself, and whether a live model is taken back: pure, and it says why."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from math import sqrt
from typing import Generic, Self, TypeVar

from core.settings import Settings
from proactive.record import Comparison, Record

_SHORT = 0.75
"""A model holds less than it promised when even the upper end of its interval is below this share of the promise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """promote: whether a shadow may go live by itself. watched: how long it must have watched. verdicts: answers of solved
    tickets without which nothing is decided. least_precision: below it a live model is taken back; 0 takes none back.
    """

    promote: bool
    watched: timedelta
    verdicts: int
    least_precision: float

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Those of the settings."""
        return cls(
            promote=settings.model_promotion,
            watched=settings.model_promotion_after,
            verdicts=settings.model_verdicts,
            least_precision=settings.model_least_precision,
        )


class Promotion(StrEnum):
    """What was decided about a shadow."""

    OFF = "a shadow goes live by a person's decision alone (FOREWARN_MODEL_PROMOTION is off)"
    OTHER_PROFILE = "it was learnt for another state of its profile, or by another release"
    TOO_SHORT = "it has not watched long enough"
    FEW_VERDICTS = "too few tickets with an answer"
    LESS_PRECISE = "it is confirmed less often than what is live"
    MORE_UNCONFIRMED = "it has more findings that nobody confirmed than what is live"
    PROMOTED = "confirmed as often as what is live, and no more findings that nobody confirmed"

    @property
    def acts(self) -> bool:
        """Whether the shadow goes live."""
        return self is Promotion.PROMOTED


class StepBack(StrEnum):
    """What was decided about a live model."""

    OFF = "models are taken back by a person's decision alone (FOREWARN_MODEL_LEAST_PRECISION is 0)"
    FEW_VERDICTS = "too few tickets with an answer"
    BELOW_BOUND = "its findings are confirmed too seldom"
    BELOW_PROMISE = "its findings are confirmed far less often than it promised"
    KEPT = "it holds what is asked of it"

    @property
    def acts(self) -> bool:
        """Whether the model is taken back."""
        return self in (StepBack.BELOW_BOUND, StepBack.BELOW_PROMISE)


Why = TypeVar("Why", Promotion, StepBack)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision(Generic[Why]):
    """What was decided, and the figures behind it in words."""

    why: Why
    figures: str

    def __str__(self) -> str:
        return f"{self.why}: {self.figures}" if self.figures else str(self.why)


def promotion(comparison: Comparison, rules: Rules, *, fits: bool) -> Decision[Promotion]:
    """Whether a shadow goes live. fits: whether it was learnt for the profile as it is."""
    live, shadow = comparison.live, comparison.shadow
    watched = comparison.until - comparison.since
    if not rules.promote:
        return Decision(why=Promotion.OFF, figures="")
    if not fits:
        return Decision(why=Promotion.OTHER_PROFILE, figures="")
    if watched < rules.watched:
        return Decision(why=Promotion.TOO_SHORT, figures=f"{_days(watched)} of {_days(rules.watched)} days")
    if shadow.precision is None or live.precision is None or min(shadow.verdicts, live.verdicts) < rules.verdicts:
        figures = f"the shadow has {shadow.verdicts}, what is live {live.verdicts}, each needs {rules.verdicts}"
        return Decision(why=Promotion.FEW_VERDICTS, figures=figures)
    figures = f"the shadow {_confirmed(shadow)}, what is live {_confirmed(live)}"
    if shadow.precision < live.precision:
        return Decision(why=Promotion.LESS_PRECISE, figures=figures)
    # Both judged the same device-months, so the counts are as good as rates.
    unconfirmed = [r.findings - r.confirmed for r in (shadow, live)]
    figures += f"; not confirmed {unconfirmed[0]} and {unconfirmed[1]}, in {_days(watched)} days"
    why = Promotion.MORE_UNCONFIRMED if unconfirmed[0] > unconfirmed[1] else Promotion.PROMOTED
    return Decision(why=why, figures=figures)


def step_back(record: Record, rules: Rules, *, promised: float | None) -> Decision[StepBack]:
    """Whether a live model is taken back. record: of the tickets that its findings opened. promised: by its card."""
    if not rules.least_precision:
        return Decision(why=StepBack.OFF, figures="")
    if record.precision is None or record.verdicts < rules.verdicts:
        return Decision(why=StepBack.FEW_VERDICTS, figures=f"{record.verdicts} of {rules.verdicts}")
    figures = f"{_confirmed(record)}"
    if record.precision < rules.least_precision:
        return Decision(why=StepBack.BELOW_BOUND, figures=f"{figures}, the bound is {rules.least_precision:.0%}")
    if promised is not None and upper(record.confirmed, record.verdicts) < _SHORT * promised:
        return Decision(why=StepBack.BELOW_PROMISE, figures=f"{figures}, promised were {promised:.0%}")
    return Decision(why=StepBack.KEPT, figures=figures)


def upper(hits: int, of: int) -> float:
    """The upper end of the 95 % interval of a share (Wilson 1927)."""
    z = 1.96
    share = hits / of
    middle = share + z * z / (2 * of)
    return (middle + z * sqrt(share * (1 - share) / of + z * z / (4 * of * of))) / (1 + z * z / of)


def _confirmed(record: Record) -> str:
    return f"{record.confirmed} of {record.verdicts} confirmed"


def _days(length: timedelta) -> str:
    return f"{length / timedelta(days=1):.3g}"
