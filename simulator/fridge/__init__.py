"""The refrigerator: its physics, the homes it stands in, its faults and its sensors."""

from simulator.customers import Brand
from simulator.fridge.faults import COMPONENT
from simulator.fridge.homes import DURATION_HOURS, Harmless
from simulator.fridge.refrigerators import SIGNALS, Kitchens
from simulator.product import Product

PRODUCT = Product(
    brand=Brand(
        profile="fridge",
        prefix="fridge",
        serial="FR",
        models=("Polar 310", "Polar 340 NoFrost", "Fjord 280"),
        firmware=("2.3.1", "2.4.0", "2.4.2"),
    ),
    signals=SIGNALS,
    components={str(mode): component for mode, component in COMPONENT.items()},
    oddities={str(kind): hours for kind, hours in DURATION_HOURS.items()},
    offline=Harmless.WIFI_OUTAGE,
    services={},
    operate=Kitchens,
)
