"""Units of signals: the IANA SenML units registry (RFC 8428, RFC 8798), primary and secondary.

Source: https://www.iana.org/assignments/senml/senml.xhtml
"""

COUNT = "count"
PRIMARY = frozenset(
    [
        "m",
        "kg",
        "g",
        "s",
        "A",
        "K",
        "cd",
        "mol",
        "Hz",
        "rad",
        "sr",
        "N",
        "Pa",
        "J",
        "W",
        "C",
        "V",
        "F",
        "Ohm",
        "S",
        "Wb",
        "T",
        "H",
        "Cel",
        "lm",
        "lx",
        "Bq",
        "Gy",
        "Sv",
        "kat",
        "m2",
        "m3",
        "l",
        "m/s",
        "m/s2",
        "m3/s",
        "l/s",
        "W/m2",
        "cd/m2",
        "bit",
        "bit/s",
        "lat",
        "lon",
        "pH",
        "dB",
        "dBW",
        "Bspl",
        COUNT,
        "/",
        "%",
        "%RH",
        "%EL",
        "EL",
        "1/s",
        "1/min",
        "beat/min",
        "beats",
        "S/m",
        "B",
        "VA",
        "VAs",
        "var",
        "vars",
        "J/m",
        "kg/m3",
        "deg",
        "NTU",
    ]
)
SECONDARY: dict[str, tuple[str, float, float]] = {
    "ms": ("s", 1e-3, 0.0),
    "min": ("s", 60.0, 0.0),
    "h": ("s", 3600.0, 0.0),
    "MHz": ("Hz", 1e6, 0.0),
    "kW": ("W", 1e3, 0.0),
    "kVA": ("VA", 1e3, 0.0),
    "kvar": ("var", 1e3, 0.0),
    "Ah": ("C", 3600.0, 0.0),
    "Wh": ("J", 3600.0, 0.0),
    "kWh": ("J", 3.6e6, 0.0),
    "varh": ("vars", 3600.0, 0.0),
    "kvarh": ("vars", 3.6e6, 0.0),
    "kVAh": ("VAs", 3.6e6, 0.0),
    "VAh": ("VAs", 3600.0, 0.0),
    "Wh/km": ("J/m", 3.6, 0.0),
    "KiB": ("B", 1024.0, 0.0),
    "GB": ("B", 1e9, 0.0),
    "Mbit/s": ("bit/s", 1e6, 0.0),
    "B/s": ("bit/s", 8.0, 0.0),
    "MB/s": ("bit/s", 8e6, 0.0),
    "mV": ("V", 1e-3, 0.0),
    "mA": ("A", 1e-3, 0.0),
    "dBm": ("dBW", 1.0, -30.0),
    "ug/m3": ("kg/m3", 1e-9, 0.0),
    "mg/l": ("kg/m3", 1e-3, 0.0),
    "ug/l": ("kg/m3", 1e-6, 0.0),
    "g/l": ("kg/m3", 1.0, 0.0),
    "mm/h": ("m/s", 1 / 3.6e6, 0.0),
    "m/h": ("m/s", 1 / 3600, 0.0),
    "km/h": ("m/s", 1 / 3.6, 0.0),
    "ppm": ("/", 1e-6, 0.0),
    "ppb": ("/", 1e-9, 0.0),
    "ppt": ("/", 1e-12, 0.0),
    "/100": ("/", 1e-2, 0.0),
    "/1000": ("/", 1e-3, 0.0),
    "hPa": ("Pa", 100.0, 0.0),
    "mm": ("m", 1e-3, 0.0),
    "cm": ("m", 1e-2, 0.0),
    "km": ("m", 1e3, 0.0),
}
"""Secondary units: the primary unit, and scale and offset that bring a value to it."""
# Primary units that measure the same as another one.
_SAME = {
    "Cel": ("K", 1.0, 273.15),
    "g": ("kg", 1e-3, 0.0),
    "l": ("m3", 1e-3, 0.0),
    "l/s": ("m3/s", 1e-3, 0.0),
    "%": ("/", 1e-2, 0.0),
    "1/min": ("1/s", 1 / 60, 0.0),
}
KNOWN = PRIMARY | SECONDARY.keys()

_SHOWN = {"Cel": "°C", "1/min": "rpm", "/": "", "m/s2": "m/s²", "m3/s": "m³/s", COUNT: "", "Ohm": "Ω"}


def conversion(unit: str, to: str) -> tuple[float, float] | None:
    """Scale and offset that bring a value in `unit` to the unit `to`; None when they do not measure the same."""
    if unit == to:
        return 1.0, 0.0
    primary, scale, offset = SECONDARY.get(unit) or _SAME.get(unit) or (unit, 1.0, 0.0)
    wanted, wanted_scale, wanted_offset = SECONDARY.get(to) or _SAME.get(to) or (to, 1.0, 0.0)
    if primary != wanted:
        return None
    return scale / wanted_scale, (offset - wanted_offset) / wanted_scale


def shown(unit: str) -> str:
    """The unit as people read it: `Cel` is °C, `Cel/h` °C/h."""
    if unit not in _SHOWN and unit.endswith("/h"):
        return shown(unit.removesuffix("/h")) + "/h"
    return _SHOWN.get(unit, unit)
