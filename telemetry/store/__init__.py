"""Where telemetry is kept: the only files of this stage that talk to the database about readings and devices."""

from telemetry.device_list import Customer, Device
from telemetry.store.copying import Rows
from telemetry.store.dead_letters import DeadLetterStore, StoredLetter, Which
from telemetry.store.devices import DeviceStore
from telemetry.store.writer import DeviceLookUp, Stored, TelemetryWriter

__all__ = [
    "Customer",
    "DeadLetterStore",
    "Device",
    "DeviceLookUp",
    "DeviceStore",
    "Rows",
    "Stored",
    "StoredLetter",
    "TelemetryWriter",
    "Which",
]
