"""Registered devices and their customers."""

from collections.abc import Sequence
from dataclasses import asdict

from psycopg.types.json import Jsonb

from core.database import Database, Row
from core.errors import InvalidInput, NotFound
from telemetry.device_list import Customer, Device, faults_of
from telemetry.store.sql import SQL
from telemetry.store.writer import translated


class DeviceStore:
    """Registers devices and finds them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def register(
        self,
        *,
        name: str,
        profile: str,
        model: str = "",
        serial: str = "",
        firmware: str = "",
        site: str = "",
        address: str = "",
        customer: str = "",
        customer_name: str = "",
        email: str = "",
        phone: str = "",
        language: str = "en",
        time_zone: str = "UTC",
        consent: bool = False,
    ) -> int:
        """Registers one device, or brings it to what is given; returns its number. `customer` is the external id of
        its customer, to whom what follows it belongs; empty registers a device without one.

        Raises InvalidInput for what cannot be registered. Which profiles there are is for the caller to know.
        """
        owner = Customer(
            external_id=customer,
            name=customer_name or customer,
            email=email,
            phone=phone,
            language=language,
            time_zone=time_zone,
            consent=consent,
        )
        device = Device(
            name=name,
            profile=profile,
            model=model,
            serial=serial,
            firmware=firmware,
            site=site,
            address=address,
            customer=owner if customer else None,
        )
        return self.register_all([device])[name]

    def register_all(self, devices: Sequence[Device]) -> dict[str, int]:
        """Registers devices, all or none; returns their numbers by name. Raises InvalidInput as `register` does."""
        wrong = [f"{d.name}: {column}: {reason}" for d in devices for column, reason in faults_of(d, None)]
        if wrong:
            raise InvalidInput("\n".join(wrong))
        customers = {d.customer.external_id: asdict(d.customer) for d in devices if d.customer}
        rows = [asdict(d) | {"customer": d.customer and d.customer.external_id} for d in devices]
        with translated(), self._database.transaction() as connection:
            connection.execute(SQL["put_customers"], {"customers": Jsonb(list(customers.values()))})
            found = connection.execute(SQL["put_devices"], {"devices": Jsonb(rows)})
            return {row["name"]: row["id"] for row in found}

    def by_name(self, name: str) -> Row:
        """The device and its customer. Raises NotFound."""
        with translated(), self._database.transaction() as connection:
            row = connection.execute(SQL["list_devices"], {"name": name}).fetchone()
        if row is None:
            raise NotFound("device", name)
        return row

    def list(self) -> list[Row]:
        """All devices and their customers, by name."""
        with translated(), self._database.transaction() as connection:
            return connection.execute(SQL["list_devices"], {"name": None}).fetchall()
