"""What models know of a device: numbers drawn from its past, the same while training and live.

Everything is followed in a state of fixed size: running means over shares of the profile's horizon, how long ago each
error code came, how long each component has been in place. A replaced component starts anew, with its signals.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anomaly.detector import Columns, Field, Layout
from anomaly.learning.conditions import Conditions
from core.profile import Profile
from telemetry.window import Bools, Floats, Marks, Tick

_SHARES = (1 / 16, 1 / 4, 1 / 2)
"""Running means look back over these shares of the horizon."""
_OWN = 4.0
"""A device's usual value is that of so many horizons."""
_SETTLED = 4.0
"""It is known once it was measured for so many times the longest running mean."""
_FIRST = 1 / 8
"""What a component was like when it was new: the mean of its first ticks, a share of the horizon."""
_COUNTS = (1 / 2, 4.0)
"""Error codes are counted with these shares of the horizon as time constants."""
_SHARED = 3
"""A text that fewer devices bear says more about who they are than about how they fail, and counts as not known."""
_MOST_TEXTS = 200
"""Boosting tells no more categories apart."""
VERSION = 2
"""Of what is drawn. A model that learnt from other numbers is not used."""
MAINTAINED = "last maintenance"
"""What the time since any component was replaced is drawn from."""

Matrix = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """What beside the signals may be told of a device, as a model met it while it learnt.

    codes: error codes. attributes: by name, the texts that were seen on several devices; none where the attribute is a
    number.
    """

    codes: tuple[str, ...] = ()
    attributes: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, codes: Sequence[str], attributes: Mapping[str, Sequence[str]]) -> "Vocabulary":
        """From the codes and the texts of each attribute that stand in a history."""
        texts: dict[str, tuple[str, ...]] = {}
        for name, column in sorted(attributes.items()):
            borne = Counter(text for text in column if text)
            if len(borne) > 1 and all(np.isfinite(_number(text)) for text in borne):
                texts[name] = ()
            else:
                shared = sorted(text for text, devices in borne.most_common(_MOST_TEXTS) if devices >= _SHARED)
                if len(shared) > 1:
                    texts[name] = tuple(shared)
        return cls(codes=tuple(sorted(set(codes))), attributes=texts)


class Features:
    """Draws F numbers from each device's past. It holds no state of devices: `Columns` goes in and moves."""

    def __init__(self, profile: Profile, vocabulary: Vocabulary, conditions: Conditions | None = None) -> None:
        tick = profile.tick.total_seconds()
        horizon = profile.horizon.total_seconds() / tick
        self._tick = round(tick * 1e6)
        self._spans = np.array([max(1.0, horizon * share) for share in _SHARES], dtype=np.float32)
        self._own = max(2.0, horizon * _OWN)
        self._first = max(3.0, horizon * _FIRST)
        self._counts = np.array([max(1.0, horizon * share) for share in _COUNTS], dtype=np.float32)
        self._signals = tuple(profile.signals)
        self._components = tuple(profile.components)
        self._codes = vocabulary.codes
        self._conditions = conditions
        if conditions is not None:
            self._contexts, self._corrected = conditions.places(self._signals)
        self._attributes = vocabulary.attributes
        # The attributes of a window are the same at all of its ticks: they are read once.
        self._told: Mapping[str, tuple[str, ...]] | None = None
        self._numbers_told: Floats = np.empty((0, 0))
        self._component_of = [profile.signals[name].component for name in self._signals]
        names, sources = [], []
        for what in ("now", *(f"mean_{share:g}" for share in _SHARES), "spread", "trend", "from_usual", "from_new"):
            names += [f"{signal}.{what}" for signal in self._signals]
            sources += list(self._signals)
        for what in ("ago", "after", *(f"count_{share:g}" for share in _COUNTS)):
            names += [f"{code}.{what}" for code in self._codes]
            sources += list(self._codes)
        names += [f"{component}.in_place" for component in self._components]
        sources += list(self._components)
        names.append(f"{MAINTAINED}.ago")
        sources.append(MAINTAINED)
        names += list(self._attributes)
        sources += list(self._attributes)
        self.names = tuple(names)
        """[F] what each number is."""
        self.categories: Bools = np.array([bool(self._attributes.get(name)) for name in names], dtype=bool)
        """[F] whether each number is but the place of a text among texts."""
        self.sources = tuple(sources)
        """[F] the signal, error code, component or attribute it is drawn from."""
        s, e, c, a = len(self._signals), len(self._codes), len(self._components), len(self._attributes)
        self.layout: Layout = {
            "time": Field(start=np.nan),  # of the last tick, in ticks since the epoch
            "seen_at": Field(shape=(s,), start=np.nan),
            "n": Field(shape=(s,), dtype="<f4"),
            "now": Field(shape=(s,), dtype="<f4", start=np.nan),
            "mean": Field(shape=(s, len(_SHARES)), dtype="<f4", start=np.nan),
            "variance": Field(shape=(s,), dtype="<f4"),
            "own": Field(shape=(s,), dtype="<f4", start=np.nan),
            "own_variance": Field(shape=(s,), dtype="<f4"),
            "new": Field(shape=(s,), dtype="<f4", start=np.nan),
            "code_at": Field(shape=(e,), start=np.nan),
            "code_after": Field(shape=(e,), dtype="<f4", start=np.nan),  # ticks since the last maintenance, as it came
            "code_n": Field(shape=(e, len(_COUNTS)), dtype="<f4"),
            "since": Field(shape=(c,), start=np.nan),
            "attributes": Field(shape=(a,), dtype="<f4", start=np.nan),
        }

    def follow(self, tick: Tick, state: Columns) -> None:
        """Takes a tick into the devices' past."""
        now = tick.time / self._tick
        self._replace(tick.replaced, now, state)
        passed = np.where(np.isfinite(state["time"]), now - state["time"], 0.0)
        touched = tick.heard.copy()
        touched[tick.events.device] = True
        state["since"] = np.where(tick.heard[:, None] & np.isnan(state["since"]), now, state["since"])
        if self._codes:
            fade = np.exp(-passed[:, None, None] / self._counts).astype(np.float32)
            state["code_n"] *= np.where(touched[:, None, None], fade, np.float32(1.0))
            self._count(tick.events, now, state)
        state["time"] = np.where(touched, now, state["time"])
        self._measure(self._in_usual_conditions(tick.values, now, state), now, state)
        if self._attributes and tick.attributes is not self._told:
            self._told, self._numbers_told = tick.attributes, self._numbers(tick.attributes, len(tick.heard))
        if self._attributes:
            state["attributes"][:] = self._numbers_told

    def read(self, state: Columns) -> Matrix:
        """[D, F] the numbers of each device as they stand; NaN where nothing is known."""
        now = state["time"][:, None]
        stale = now - state["seen_at"] > self._spans[1]
        mean = state["mean"]
        with np.errstate(invalid="ignore", divide="ignore"):
            spread = np.sqrt(state["variance"])
            usual = (mean[:, :, 1] - state["own"]) / np.sqrt(state["own_variance"])
            # What is usual takes long to know, and to be new is over before one can look back at it.
            usual = np.where(state["n"] >= _SETTLED * self._spans[-1], usual, np.nan)
            from_new = np.where(state["n"] >= 2 * self._first, mean[:, :, 1] - state["new"], np.nan)
            parts = [
                np.where(stale, np.nan, state["now"]),
                *(mean[:, :, at] for at in range(len(_SHARES))),
                spread,
                mean[:, :, 0] - mean[:, :, 2],
                np.where(np.isfinite(usual), usual, np.nan),
                from_new,
                now - state["code_at"],
                state["code_after"],
                *(state["code_n"][:, :, at] for at in range(len(_COUNTS))),
                now - state["since"],
                now - _latest(state["since"])[:, None],
                state["attributes"],
            ]
        return np.concatenate(parts, axis=1).astype(np.float32)

    def shown(self, row: Matrix, signal: str, values: Floats) -> Floats:
        """[N] values of a signal as its features hold them, as they would be measured in the conditions of a device's numbers, [F]."""
        if self._conditions is None or signal not in self._conditions.signals:
            return values
        context = np.array(
            [row[self.names.index(f"{name}.now")] for name in self._conditions.contexts], dtype=np.float64
        )
        whole = np.zeros((len(values), len(self._conditions.signals)))
        at = self._conditions.signals.index(signal)
        whole[:, at] = values
        measured: Floats = self._conditions.as_measured(whole, context)[:, at]
        return measured

    def _in_usual_conditions(self, values: Floats, now: float, state: Columns) -> Floats:
        if self._conditions is None:
            return values
        at = self._contexts
        recent = now - state["seen_at"][:, at] <= self._spans[1]
        last = np.where(recent, state["now"][:, at], np.nan)
        context = np.where(np.isfinite(values[:, at]), values[:, at], last)
        corrected = values.copy()
        corrected[:, self._corrected] = self._conditions.corrected(values[:, self._corrected], context)
        return corrected

    def _replace(self, replaced: Marks, now: float, state: Columns) -> None:
        for device, what in zip(replaced.device.tolist(), replaced.what.tolist(), strict=True):
            name = replaced.names[what]
            if name not in self._components:
                continue
            state["since"][device, self._components.index(name)] = now
            for signal, component in enumerate(self._component_of):
                if component == name:
                    for field in ("seen_at", "n", "now", "mean", "variance", "own", "own_variance", "new"):
                        state[field][device, signal] = self.layout[field].start

    def _count(self, events: Marks, now: float, state: Columns) -> None:
        if not len(events.at):
            return
        place = np.array([self._codes.index(name) if name in self._codes else -1 for name in events.names])
        code = place[events.what]
        known = code >= 0
        state["code_at"][events.device[known], code[known]] = now
        after = now - _latest(state["since"][events.device[known]])
        state["code_after"][events.device[known], code[known]] = after
        np.add.at(state["code_n"], (events.device[known], code[known]), 1.0)

    def _measure(self, values: Floats, now: float, state: Columns) -> None:
        seen: Bools = np.isfinite(values)
        y = np.where(seen, values, 0.0).astype(np.float32)
        state["n"] += seen
        n = np.maximum(state["n"], 1.0)
        age = np.where(np.isfinite(state["seen_at"]), now - state["seen_at"], 1.0)

        def step(span: Floats | float) -> Floats:
            share: Floats = np.maximum(1.0 - np.exp(-age / span), 1.0 / n) * seen
            return share

        def moved(mean: Matrix, share: Floats) -> Matrix:
            return (np.where(np.isnan(mean), y, mean + share * (y - mean)) * seen + np.where(seen, 0.0, mean)).astype(
                "f4"
            )

        slow = step(float(self._spans[-1]))
        away = np.where(np.isnan(state["mean"][:, :, -1]), 0.0, y - state["mean"][:, :, -1])
        state["variance"] += np.where(seen, slow * (away**2 - state["variance"]), 0.0)
        for at, span in enumerate(self._spans):
            state["mean"][:, :, at] = moved(state["mean"][:, :, at], step(float(span)))
        usual = step(self._own)
        away = np.where(np.isnan(state["own"]), 0.0, y - state["own"])
        state["own_variance"] += np.where(seen, usual * (away**2 - state["own_variance"]), 0.0)
        state["own"] = moved(state["own"], usual)
        state["new"] = np.where(state["n"] <= self._first, moved(state["new"], 1.0 / n), state["new"])
        state["now"] = np.where(seen, y, state["now"])
        state["seen_at"] = np.where(seen, now, state["seen_at"])

    def _numbers(self, attributes: Mapping[str, tuple[str, ...]], devices: int) -> Floats:
        result = np.full((devices, len(self._attributes)), np.nan)
        for at, (name, texts) in enumerate(self._attributes.items()):
            column = attributes.get(name, ())
            if texts:
                place = {text: float(position) for position, text in enumerate(texts)}
                result[: len(column), at] = [place.get(text, np.nan) for text in column]
            else:
                result[: len(column), at] = [_number(text) for text in column]
        return result


def _latest(since: Floats) -> Floats:
    """[D] the latest of the times since when components are in place; NaN where none is known."""
    latest = np.where(np.isnan(since), -np.inf, since).max(axis=1, initial=-np.inf)
    return np.where(np.isfinite(latest), latest, np.nan)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan
