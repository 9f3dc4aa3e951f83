"""Invented owners of the devices, so that notices, languages and time zones of a demonstration look like life.

Names, addresses and numbers are made up: mail goes to example.com and example.org, phone numbers stand in the ranges
that Ofcom and the Bundesnetzagentur keep free for fiction.
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One device and its owner: the columns of `devices.csv`."""

    device: str
    profile: str
    model: str
    serial: str
    firmware: str
    site: str
    address: str
    customer: str
    customer_name: str
    email: str
    phone: str
    language: str
    time_zone: str
    consent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Brand:
    """What a maker writes on its devices: `fridge-0001` of the profile `fridge`, serial number FR and eight digits."""

    profile: str
    prefix: str
    serial: str
    models: tuple[str, ...]
    firmware: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Country:
    language: str
    time_zone: str
    phone: str
    first: tuple[str, ...]
    last: tuple[str, ...]
    streets: tuple[str, ...]
    number_first: bool
    cities: tuple[tuple[str, str], ...]


_COUNTRIES = (
    _Country(
        language="en",
        time_zone="Europe/London",
        phone="+44 7700 900{:03d}",
        first=("Amelia", "Oliver", "Grace", "Harry", "Priya", "Callum", "Zara", "Thomas", "Niamh", "Samuel"),
        last=("Whitfield", "Okafor", "Harding", "Mistry", "Lockwood", "Farrell", "Pemberton", "Ashby", "Doyle"),
        streets=("Mill Lane", "Station Road", "Orchard Close", "Church Street", "Victoria Terrace", "Elm Grove"),
        number_first=True,
        cities=(("Leeds", "LS1"), ("Bristol", "BS3"), ("Norwich", "NR2"), ("Cardiff", "CF10")),
    ),
    _Country(
        language="de",
        time_zone="Europe/Berlin",
        phone="+49 30 23125 {:03d}",
        first=("Anna", "Jonas", "Greta", "Mehmet", "Katharina", "Lukas", "Ayla", "Friedrich", "Svenja", "Paul"),
        last=("Brandt", "Yılmaz", "Hoffmann", "Lindner", "Krüger", "Seidel", "Großmann", "Vogt", "Petersen"),
        streets=("Lindenstraße", "Am Mühlbach", "Gartenweg", "Schulstraße", "Bergallee", "Kirchgasse"),
        number_first=False,
        cities=(("Hamburg", "20095"), ("Leipzig", "04109"), ("Köln", "50667"), ("Freiburg", "79098")),
    ),
)
_ASCII = str.maketrans({"ü": "ue", "ö": "oe", "ä": "ae", "ß": "ss", "ı": "i"})


def draw_devices(brand: Brand, seed: int, count: int) -> tuple[Device, ...]:
    """`count` devices of a brand with their owners. The first devices of a seed do not depend on `count`."""
    return tuple(_draw(brand, np.random.default_rng([seed, 2, at]), at) for at in range(count))


def _draw(brand: Brand, rng: np.random.Generator, at: int) -> Device:
    def one(choices: tuple[T, ...]) -> T:
        return choices[int(rng.integers(len(choices)))]

    country = one(_COUNTRIES)
    first, last = one(country.first), one(country.last)
    city, postcode = one(country.cities)
    street, number = one(country.streets), int(rng.integers(1, 120))
    line = f"{number} {street}" if country.number_first else f"{street} {number}"
    town = f"{city} {postcode}" if country.number_first else f"{postcode} {city}"
    account = f"{first}.{last}.{at + 1}".lower().translate(_ASCII)
    return Device(
        device=f"{brand.prefix}-{at + 1:04d}",
        profile=brand.profile,
        model=one(brand.models),
        serial=f"{brand.serial}{int(rng.integers(10**7, 10**8))}",
        firmware=one(brand.firmware),
        site=city,
        address=f"{line}, {town}",
        customer=f"C-{10001 + at}",
        customer_name=f"{first} {last}",
        email=f"{account}@{one(('example.com', 'example.org'))}",
        phone=country.phone.format(int(rng.integers(0, 1000))),
        language=country.language,
        time_zone=country.time_zone,
        consent="true" if rng.random() < 0.92 else "false",
    )
