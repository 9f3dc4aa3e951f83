"""Reads a list of devices, `devices.csv`, and checks it as a whole. Pure: text in, devices out, or what is wrong."""

import csv
import io
import re
import zoneinfo
from collections.abc import Container
from dataclasses import dataclass, fields

from core.errors import InvalidInput
from core.profile import LANGUAGES

_DEVICE_NAME = re.compile(r"^[A-Za-z0-9._:-]{1,128}$")
_EMAIL = re.compile(r"^[^@\s<>,;\"]+@[^@\s<>,;\".]+(\.[^@\s<>,;\".]+)+$")
_PHONE = re.compile(r"^\+?[0-9 ()/.-]{3,32}$")
_YES = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False, "": False}
_MOST_NAMED = 20
_LONGEST = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """Who owns devices. `external_id` is the number of the customer where it comes from."""

    external_id: str
    name: str = ""
    email: str = ""
    phone: str = ""
    language: str = "en"
    time_zone: str = "UTC"
    consent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A connected product, as it is registered."""

    name: str
    profile: str
    model: str = ""
    serial: str = ""
    firmware: str = ""
    site: str = ""
    address: str = ""
    customer: Customer | None = None


# Where each field of a customer stands in the list.
_CUSTOMER_COLUMNS = {
    "external_id": "customer",
    "name": "customer_name",
    "email": "email",
    "phone": "phone",
    "language": "language",
    "time_zone": "time_zone",
    "consent": "consent",
}
_DEVICE_COLUMNS = {f.name: "device" if f.name == "name" else f.name for f in fields(Device) if f.name != "customer"}
COLUMNS = (*_DEVICE_COLUMNS.values(), *_CUSTOMER_COLUMNS.values())
"""All columns of the list; `device` and `profile` must be there, the others may."""


def parse(text: str, file: str, profiles: Container[str]) -> list[Device]:
    """The devices in `text`. Raises InvalidInput, which names `file`, and line and column of each fault."""
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    faults: list[str] = []
    devices: dict[str, Device] = {}
    customers: dict[str, tuple[Customer, int]] = {}
    try:
        header = [h.strip() for h in next(reader, [])]
        for fault in _check_header(header):
            raise InvalidInput(f"{file}:1: {fault}")
        while (row := next(reader, None)) is not None:
            line = reader.line_num
            if not any(map(str.strip, row)):
                continue
            if len(row) != len(header):
                faults.append(f"{file}:{line}: has {len(row)} columns, the header has {len(header)}")
                continue
            device, wrong = read(dict(zip(header, map(str.strip, row), strict=True)), profiles)
            if device.name in devices:
                wrong.append(("device", f"{device.name!r} stands in the list twice"))
            if device.customer:
                first, at = customers.setdefault(device.customer.external_id, (device.customer, line))
                if first != device.customer:
                    other = next(
                        f.name for f in fields(Customer) if getattr(first, f.name) != getattr(device.customer, f.name)
                    )
                    wrong.append((_CUSTOMER_COLUMNS[other], f"differs from that of the same customer in line {at}"))
            faults += [f"{file}:{line}: {column}: {reason}" for column, reason in wrong]
            devices[device.name] = device
    except csv.Error as error:
        faults.append(f"{file}:{reader.line_num}: is not CSV: {error}")
    if faults:
        more = [f"and {len(faults) - _MOST_NAMED} more"] if len(faults) > _MOST_NAMED else []
        raise InvalidInput("\n".join([*faults[:_MOST_NAMED], *more]))
    if not devices:
        raise InvalidInput(f"{file}: holds no device")
    return list(devices.values())


def _check_header(header: list[str]) -> list[str]:
    faults = [f"{name}: no such column; there are {', '.join(COLUMNS)}" for name in header if name not in COLUMNS]
    faults += [f"{name}: this column must be there" for name in ("device", "profile") if name not in header]
    faults += [f"{name}: this column stands twice" for name in dict.fromkeys(header) if header.count(name) > 1]
    return faults


def read(row: dict[str, str], profiles: Container[str]) -> tuple[Device, list[tuple[str, str]]]:
    """One device out of its columns, and what is wrong with it: column and reason."""
    given = {column: row.get(column, "") for column in COLUMNS}
    wrong: list[tuple[str, str]] = []
    customer = None
    of_customer = {field: given[column] for field, column in _CUSTOMER_COLUMNS.items() if field != "consent"}
    if given["customer"]:
        defaults = {"name": given["customer"], "language": "en", "time_zone": "UTC"}
        customer = Customer(
            **{f: v or defaults.get(f, "") for f, v in of_customer.items()},
            consent=_YES.get(given["consent"].lower(), False),
        )
    else:
        wrong += [
            (column, "is given, but the column customer is empty")
            for column in _CUSTOMER_COLUMNS.values()
            if given[column] and not (column == "consent" and not _YES.get(given[column].lower(), True))
        ]
    if given["consent"].lower() not in _YES:
        wrong.append(("consent", f"{given['consent']!r} is neither true nor false"))
    device = Device(**{field: given[column] for field, column in _DEVICE_COLUMNS.items()}, customer=customer)
    return device, wrong + faults_of(device, profiles)


def faults_of(device: Device, profiles: Container[str] | None) -> list[tuple[str, str]]:
    """What is wrong with a device: column and reason. Without `profiles`, the profile is not checked."""
    wrong = []
    if not _DEVICE_NAME.match(device.name):
        wrong.append(("device", f"{device.name!r} is no device name: use 1 to 128 of a-z, A-Z, 0-9 and . _ - :"))
    if profiles is not None and device.profile not in profiles:
        wrong.append(("profile", f"there is no profile {device.profile!r}"))
    customer = device.customer
    if customer:
        if customer.email and not _EMAIL.match(customer.email):
            wrong.append(("email", f"{customer.email!r} is no email address"))
        if customer.phone and not _PHONE.match(customer.phone):
            wrong.append(("phone", f"{customer.phone!r} is no phone number"))
        if customer.language not in LANGUAGES:
            wrong.append(("language", f"{customer.language!r} is not one of {', '.join(LANGUAGES)}"))
        if not _is_time_zone(customer.time_zone):
            wrong.append(("time_zone", f"{customer.time_zone!r} is no IANA time zone, like Europe/Berlin"))
    texts = [(_DEVICE_COLUMNS[f], getattr(device, f)) for f in _DEVICE_COLUMNS if f not in ("name", "profile")]
    if customer:
        texts += [(c, getattr(customer, f)) for f, c in _CUSTOMER_COLUMNS.items() if f != "consent"]
    for column, text in texts:
        if len(text) > _LONGEST or any(not (ch.isprintable() or ch == "\n") for ch in text):
            wrong.append((column, f"is longer than {_LONGEST} characters or holds a control character"))
    return wrong


def _is_time_zone(name: str) -> bool:
    try:
        zoneinfo.ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True
