"""Device profiles: what a product measures, which parts it has, how they fail, and how Forewarn judges and speaks.

A profile is a YAML file. The shipped ones stand in `core/profiles/`; a folder of one's own comes by
`FOREWARN_PROFILE_DIR`. Errors name file, line and field.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from core import units
from core.detection import Baseline, Counters, Detectors, Sensors
from core.duration import Duration
from core.errors import InvalidProfile, NotFound
from core.part import NAME, Name, Part

SHIPPED = Path(__file__).parent / "profiles"
LANGUAGES = ("en", "de")


def _text(value: object) -> object:
    return {"en": value} if isinstance(value, str) else value


class Text(BaseModel):
    """A text in the languages customers read; English stands in for a missing one."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    en: str
    de: str | None = None

    def get(self, language: str) -> str:
        """The text in `language`, else in English."""
        return getattr(self, language, None) or self.en

    def __str__(self) -> str:
        return self.en


Words = Annotated[Text, BeforeValidator(_text)]


class Role(StrEnum):
    """What a signal is for: judged itself, or only the context others are judged in (weather, load), or a number for the mode that
    the device operates in, which is a context too, but nothing that has a mean.
    """

    MEASURE = "measure"
    CONTEXT = "context"
    MODE = "mode"


class Signal(Part):
    """A measured quantity. `range` is what the sensor can give (outside it: a quality mark), in `unit`."""

    title: Words
    unit: str
    range: tuple[float, float]
    interval: Duration
    role: Role = Role.MEASURE
    component: Name | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.unit not in units.KNOWN:
            raise ValueError(f"unit {self.unit!r} is not in the SenML units registry, like Cel, W, % or 1/min")
        if not self.range[0] < self.range[1]:
            raise ValueError(f"range {list(self.range)} has no room: write [least, greatest]")
        if self.interval <= timedelta(0):
            raise ValueError("interval must be longer than nothing")
        return self


class Component(Part):
    """A part that can fail."""

    title: Words


class Playbook(Part):
    """What is said and done about a failure mode: cause for the engineer, words and self-help for the customer."""

    cause: str
    customer: Words
    steps: tuple[Words, ...] = ()
    parts: tuple[str, ...] = ()


class FailureMode(Part):
    """A way in which a component fails, and how it shows: signal -> `high` or `low` against its normal band.

    symptoms: what it is recognised by. codes: error codes by which the device itself tells of it. consequences: what it drags along
    later; that does not help to recognise it, but keeps another failure mode with such symptoms from being blamed for the same fault.
    """

    title: Words
    component: Name
    symptoms: dict[Name, Literal["high", "low"]] = Field(default_factory=dict)
    codes: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    consequences: dict[Name, Literal["high", "low"]] = Field(default_factory=dict)
    severity: Literal["critical", "major", "minor", "warning"] = "major"
    playbook: Playbook | None = None


def _column(value: object) -> object:
    return {"signal": value} if isinstance(value, str) else value


class Column(Part):
    """Which signal a foreign name is, of a recorded file or a device; `factor` brings its values to the signal's unit."""

    signal: Name
    factor: float = 1.0


class Profile(Part):
    """The model of one kind of device.

    lateness: how long judging a tick waits for readings that come out of order. late_within: what comes later than that, up to
    so long before the last judged tick, makes it be judged again (24 ticks); 0h: it is stored only.
    horizon: how long before a failure it is to be foreseen; what models that learn from failures look for.
    false_alarms: how many a device-month may cost; `forewarn train` sets thresholds by it.
    """

    profile: Name
    title: Words
    tick: Duration
    lateness: Duration = timedelta(0)
    late_within: Duration | None = None
    horizon: Duration = timedelta(hours=48)
    false_alarms: Annotated[float, Field(gt=0)] = 0.1
    silence_after: Duration
    unknown_signals: Literal["dead_letter", "ignore", "keep"] = "dead_letter"
    signals: dict[Name, Signal] = Field(min_length=1)
    components: dict[Name, Component] = Field(min_length=1)
    failure_modes: dict[Name, FailureMode] = Field(default_factory=dict)
    detectors: Detectors = Detectors(sensors=Sensors(), baseline=Baseline(), counters=Counters())
    columns: dict[str, Annotated[Column, BeforeValidator(_column)]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> Self:
        def known(name: str | None, names: Iterable[str], kind: str, place: str) -> None:
            if name is not None and name not in names:
                raise ValueError(f"{place}: no {kind} {name!r}; there is {', '.join(names)}")

        for name, signal in self.signals.items():
            known(signal.component, self.components, "component", f"signals.{name}.component")
        for name, mode in self.failure_modes.items():
            known(mode.component, self.components, "component", f"failure_modes.{name}.component")
            for field in ("symptoms", "consequences"):
                for shown in getattr(mode, field):
                    known(shown, self.signals, "signal", f"failure_modes.{name}.{field}")
            if mode.codes and self.detectors.counters is None:
                raise ValueError(
                    f"failure_modes.{name}.codes: nothing looks at them: write `counters: {{}}` into `detectors`"
                )
        for at, limit in enumerate(self.detectors.limits):
            known(limit.signal, self.signals, "signal", f"detectors.limits.{at}.signal")
            known(limit.failure_mode, self.failure_modes, "failure mode", f"detectors.limits.{at}.failure_mode")
        for name, column in self.columns.items():
            known(column.signal, self.signals, "signal", f"columns.{name}")
        if self.tick <= timedelta(0):
            raise ValueError("tick must be longer than nothing")
        if self.horizon < self.tick:
            raise ValueError("horizon must not be shorter than a tick")
        return self

    @property
    def name(self) -> str:
        """The profile's name: what a device refers to."""
        return self.profile

    @property
    def measured(self) -> tuple[str, ...]:
        """Names of the signals that are judged."""
        return tuple(n for n, s in self.signals.items() if s.role is Role.MEASURE)

    @property
    def codes(self) -> tuple[str, ...]:
        """The error codes that tell of a failure mode, where a detector looks at them."""
        told = (code for mode in self.failure_modes.values() for code in mode.codes)
        return tuple(dict.fromkeys(told)) if self.detectors.counters is not None else ()

    @property
    def contexts(self) -> tuple[str, ...]:
        """Names of the signals that only explain the others."""
        return tuple(n for n, s in self.signals.items() if s.role is not Role.MEASURE)


def load(file: Path) -> Profile:
    """The profile in `file`. Raises InvalidProfile, which names file, line and field."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidProfile(file, None, "", f"cannot be read: {error}") from None
    return parse(text, file)


def parse(text: str, file: Path | str) -> Profile:
    """The profile written in `text`; `file` is only named in errors."""
    lines: dict[tuple[str | int, ...], int] = {}
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        value = _plain(node, (), lines, file) if node is not None else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise InvalidProfile(file, mark.line + 1 if mark else None, "", f"not YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise InvalidProfile(file, None, "", f"not YAML: {error}") from None
    if not isinstance(value, dict):
        raise InvalidProfile(file, 1, "", "is empty or not a mapping of fields")
    try:
        return Profile.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = tuple(p for p in first["loc"] if p != "[key]")
        message = first["msg"].removeprefix("Value error, ")
        named = re.match(r"^([a-z_0-9]+(?:\.[\w]+)+): (.*)$", message)
        if named:
            place = tuple(int(p) if p.isdigit() else p for p in named[1].split("."))
            message = named[2]
        if first["type"] == "string_pattern_mismatch" and NAME in message:
            message = f"{first['input']!r} is not a name: use a-z, 0-9 and _, a letter first"
        line = next((lines[place[:n]] for n in range(len(place), -1, -1) if place[:n] in lines), None)
        raise InvalidProfile(file, line, ".".join(map(str, place)), message) from None


def _plain(
    node: yaml.Node, place: tuple[str | int, ...], lines: dict[tuple[str | int, ...], int], file: Path | str
) -> Any:
    """The value of a YAML node; `lines` learns the line of each place. Doubled keys are refused."""
    lines.setdefault(place, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        result: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = _plain(key_node, (*place, "?"), {}, file)
            if not isinstance(key, str):
                key = key_node.value
            line = key_node.start_mark.line + 1
            if key in result:
                raise InvalidProfile(file, line, ".".join(map(str, (*place, key))), "stands twice")
            lines[(*place, key)] = line
            result[key] = _plain(value_node, (*place, key), lines, file)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_plain(child, (*place, at), lines, file) for at, child in enumerate(node.value)]
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_object(node, deep=True)
    finally:
        loader.dispose()


class Profiles(Mapping[str, Profile]):
    """All profiles by name: the shipped ones, then those of one's own folder, which may replace a shipped one."""

    def __init__(self, own: Path | None = None) -> None:
        self._by_name: dict[str, Profile] = {}
        for folder in (SHIPPED, own):
            seen: dict[str, Path] = {}
            for file in sorted(folder.glob("*.y*ml")) if folder else ():
                profile = load(file)
                if profile.name in seen:
                    raise InvalidProfile(file, 1, "profile", f"{profile.name!r} stands in {seen[profile.name]} too")
                seen[profile.name] = file
                self._by_name[profile.name] = profile

    def __getitem__(self, name: str) -> Profile:
        try:
            return self._by_name[name]
        except KeyError:
            raise NotFound("device profile", name) from None

    def get(self, name: str, default: Any = None, /) -> Any:
        """The profile, or `default`: that of `Mapping` waits for a KeyError."""
        return self._by_name.get(name, default)

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __iter__(self) -> Any:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)
