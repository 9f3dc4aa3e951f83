"""From the names and units of a device to the signals of its profile, and what a profile says of events. Pure."""

import json
from collections.abc import Sequence
from math import isfinite

from core import units
from device_gateway.decoder import Reason, Said, Sample, Undecodable, shown
from device_gateway.registry import Known

_LONGEST_NAME, _LONGEST_VALUE = 64, 256


def renamed(samples: Sequence[Sample], device: Known) -> tuple[list[Sample], list[Undecodable]]:
    """The samples with the names and scales that the profile's `columns` give; a signal's own name stays."""
    columns = device.columns
    result: list[Sample] = []
    refused: list[Undecodable] = []
    for sample in samples:
        values: dict[str, float] = {}
        for name, value in sample.values.items():
            column = columns.get(name)
            if column is None or name in device.units:
                values[name] = value
            elif isfinite(value * column.factor):
                values.setdefault(column.signal, value * column.factor)
            else:
                refused.append(
                    Undecodable(Reason.NOT_FINITE, f"{shown(name)}: {value:g} x {column.factor:g} is too large")
                )
        if values:
            result.append(Sample(sample.ts, values))
    return result, refused


def in_units(samples: Sequence[Sample], named: dict[str, str], device: Known) -> tuple[list[Sample], list[Undecodable]]:
    """The samples with values in the units of their signals, `named` being those they came in; and what has none such.

    A name that the profile maps by `columns` with a factor of its own is left to that.
    """
    factors: dict[str, tuple[float, float]] = {}
    refused: dict[str, Undecodable] = {}
    for name, unit in named.items():
        column = device.columns.get(name)
        wanted = device.units.get(name) or (device.units[column.signal] if column and column.factor == 1 else None)
        if wanted is None or wanted == unit:
            continue
        found = units.conversion(unit, wanted)
        if found is None:
            detail = f"{shown(name)} came in {shown(unit)}, which is not of the same kind as the profile's {wanted}"
            refused[name] = Undecodable(Reason.BAD_UNIT, detail)
        else:
            factors[name] = found
    if not factors and not refused:
        return list(samples), []
    result = []
    for sample in samples:
        values = {}
        for name, value in sample.values.items():
            if name not in refused:
                scale, offset = factors.get(name, (1.0, 0.0))
                number = value * scale + offset
                if isfinite(number):
                    values[name] = number
                else:
                    refused[name] = Undecodable(Reason.NOT_FINITE, f"{shown(name)}: {value:g} is too large to convert")
        if values:
            result.append(Sample(sample.ts, values))
    return result, list(refused.values())


def fault_of(said: Said, device: Known) -> Undecodable | None:
    """Why an event cannot be kept: maintenance has to name a component of the device's profile."""
    if said.kind != "maintenance":
        return None
    component = json.loads(said.detail).get("component")
    if isinstance(component, str) and (component in device.components or not device.components):
        return None
    there = ", ".join(device.components) or "any"
    return Undecodable(
        Reason.BAD_EVENT, f"maintenance of {shown(component)}: write a `component` of the profile: {there}"
    )


def attributes_of(said: Said) -> tuple[dict[str, str], list[Undecodable]]:
    """The attributes in an event of that kind, as texts, and what of it is none."""
    found: dict[str, str] = {}
    refused: list[Undecodable] = []
    for name, value in json.loads(said.detail).items():
        text = value if isinstance(value, str) else json.dumps(value)
        simple = isinstance(value, str | int | float)
        if simple and 0 < len(name) <= _LONGEST_NAME and len(text) <= _LONGEST_VALUE and (name + text).isprintable():
            found[name] = text
        else:
            detail = (
                f"attribute {shown(name)}: {shown(value)} is no text or number of at most {_LONGEST_VALUE} characters"
            )
            refused.append(Undecodable(Reason.BAD_EVENT, detail))
    if not found and not refused:
        refused.append(Undecodable(Reason.BAD_EVENT, "there is no attribute beside the kind"))
    return found, refused
