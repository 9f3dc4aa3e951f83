"""What a profile says of how its devices are judged: a section for each detector."""

from datetime import timedelta
from typing import Annotated, Self

from pydantic import Field, model_validator

from core.duration import Duration
from core.part import Name, Part


class Limit(Part):
    """An alarm limit of one signal (ISA-18.2): it is exceeded for `on_delay` before it counts, and is back by
    `deadband` for `off_delay` before it is over. `high`, `low` and `deadband` are in the signal's unit; `rate` is in that unit
    an hour, from one measured tick to the next: above 0 it must not rise faster, below 0 not fall faster.
    """

    signal: Name
    failure_mode: Name
    high: float | None = None
    low: float | None = None
    rate: float | None = None
    deadband: Annotated[float, Field(ge=0)] = 0.0
    on_delay: Duration = timedelta(0)
    off_delay: Duration = timedelta(0)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if [self.high, self.low, self.rate].count(None) != 2:
            raise ValueError("give either high or low or rate")
        if self.rate == 0:
            raise ValueError(
                "rate must not be 0: above 0 it limits how fast the signal rises, below 0 how fast it falls"
            )
        return self


class Baseline(Part):
    """How a device is compared with its own past. A duration that is left out is so many ticks as stands in brackets.

    warm_up: measured time before it judges (168 ticks, or four weeks where that is less, but no fewer than 28). memory: time
    constant of the normal band (336, or twice the warm-up). smooth: time constant of the value that is held against it (12, of a
    device older than the horizon up to a quarter of that, and then the memory is 28 times as long). threshold: deviation, in widths
    of the normal band, that counts as abnormal. on_delay, off_delay: how long it must be abnormal, or normal again (a quarter
    of `smooth`, all of it). drift: whether weak deviations are added up, so that one that lasts is abnormal too.
    """

    warm_up: Duration | None = None
    memory: Duration | None = None
    smooth: Duration | None = None
    threshold: Annotated[float, Field(gt=0)] = 5.0
    deadband: Annotated[float, Field(ge=0)] = 1.0
    on_delay: Duration | None = None
    off_delay: Duration | None = None
    drift: bool = False


class Surprise(Part):
    """How a device is compared with the strangest it has been. A duration that is left out is so many ticks.

    warm_up: measured time before it judges (as of the baseline). memory: time constant of what is usual (1,008); records fade by
    half in eight times that. smooth: time constant of the smoothed views (12). margin: how much of a record counts as
    abnormal. off_delay: how long nothing more surprising must come for it to be over (48).
    """

    warm_up: Duration | None = None
    memory: Duration | None = None
    smooth: Duration | None = None
    margin: Annotated[float, Field(ge=1)] = 1.2
    off_delay: Duration | None = None


class Sensors(Part):
    """When a sensor is not to be believed, against what its signal did before.

    warm_up: time a signal must be known before it is judged (as of the baseline). times: how many times longer than ever it stands
    still or stays away. noise: how many times its usual steps it jumps about.
    """

    warm_up: Duration | None = None
    times: Annotated[float, Field(gt=1)] = 4.0
    noise: Annotated[float, Field(gt=1)] = 4.0


class Counters(Part):
    """How counters that stand still are judged, signals of the unit `count` and error codes of failure modes: by how seldom this
    device and its fleet count.

    memory: over how long counts are added up (30 days). How seldom is told of is set by the profile's `false_alarms`.
    """

    memory: Duration | None = None


class Correlation(Part):
    """How a device's signals are held against each other (PCA: T2 and Q).

    warm_up: time of measured data before it judges. memory: time constant of mean and covariance. smooth: time constant
    of what is held against them; each by the tick where not given. threshold: spreads of the statistic, beyond its
    usual size, that count as abnormal. on_delay, off_delay: ticks.
    """

    warm_up: Duration | None = None
    memory: Duration | None = None
    smooth: Duration | None = None
    threshold: Annotated[float, Field(gt=0)] = 5.0
    on_delay: Annotated[int, Field(ge=1)] = 1
    off_delay: Annotated[int, Field(ge=1)] = 3


class Fleet(Part):
    """How a device is compared with the others of its profile at the same time; needs at least 8 of them.

    warm_up, memory, smooth: as of the baseline, but by the tick where not given. threshold: deviation, in spreads of
    the device and of the fleet, that counts as abnormal. on_delay, off_delay: ticks.
    """

    warm_up: Duration | None = None
    memory: Duration | None = None
    smooth: Duration | None = None
    threshold: Annotated[float, Field(gt=0)] = 5.0
    on_delay: Annotated[int, Field(ge=1)] = 3
    off_delay: Annotated[int, Field(ge=1)] = 12


class Detectors(Part):
    """Which detectors judge this profile; a section that is absent switches its detector off."""

    limits: tuple[Limit, ...] = ()
    sensors: Sensors | None = None
    baseline: Baseline | None = None
    counters: Counters | None = None
    surprise: Surprise | None = None
    correlation: Correlation | None = None
    fleet: Fleet | None = None
