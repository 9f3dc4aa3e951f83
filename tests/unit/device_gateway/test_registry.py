"""The registry asks the database for what it does not know, and not too often."""

from collections.abc import Collection

from core.profile import Profiles
from device_gateway.registry import Found, Registry

PROFILES = dict(Profiles())
SIGNALS = list(PROFILES["fridge"].signals)


class Database:
    """What the look-up finds, and how often it was asked."""

    def __init__(self) -> None:
        self.devices: dict[str, Found] = {}
        self.asked = 0

    def add(self, name: str, profile: str = "fridge") -> None:
        number = len(self.devices) + 1
        signals = PROFILES[profile].signals if profile in PROFILES else ()
        series = {signal: 100 * number + at for at, signal in enumerate(signals)}
        self.devices[name] = Found(name=name, id=number, profile=profile, series=series)

    def __call__(self, names: Collection[str]) -> list[Found]:
        self.asked += 1
        return [self.devices[n] for n in names if n in self.devices]


def test_a_device_is_known_after_a_refresh() -> None:
    database = Database()
    registry = Registry(PROFILES, database, lambda: 0.0)
    assert registry.get("f1") is None
    assert not registry.refresh({"f1": ()})
    database.add("f1")
    assert registry.refresh({"f1": ()})
    known = registry.get("f1")
    assert known
    assert known.offsets
    slot = known.base + known.offsets["power"]
    assert registry.series[slot] == 100 + SIGNALS.index("power")
    assert (registry.low[slot], registry.high[slot]) == (0, 1000)
    assert known.offsets["humidity"] == -1


def test_slots_of_many_devices_stay_apart() -> None:
    database = Database()
    for n in range(500):
        database.add(f"f{n}")
    registry = Registry(PROFILES, database, lambda: 0.0)
    registry.refresh({f"f{n}": () for n in range(500)})
    last = registry.get("f499")
    assert last
    assert registry.device[last.base] == 500
    assert len(set(registry.series[: 500 * len(SIGNALS)].tolist())) == 500 * len(SIGNALS)


def test_a_flood_of_strangers_asks_seldom_and_patience_is_rewarded() -> None:
    now = [0.0]
    database = Database()
    registry = Registry(PROFILES, database, lambda: now[0], burst=5, interval=1.0)
    for n in range(100):
        registry.refresh({f"stranger{n}": ()})
    assert database.asked == 5
    now[0] += 1.0
    database.add("f1")
    assert registry.refresh({"f1": ()})
    assert not registry.refresh({"f1": ()})
    assert database.asked == 6


def test_a_changed_profile_is_noticed_and_an_unknown_one_has_no_signals() -> None:
    database = Database()
    database.add("f1")
    registry = Registry(PROFILES, database, lambda: 0.0)
    registry.refresh({"f1": ()})
    assert not registry.refresh({"f1": ()})
    database.devices.clear()
    database.add("f1", "toaster")
    assert registry.refresh({"f1": ()})
    known = registry.get("f1")
    assert known
    assert known.offsets is None
