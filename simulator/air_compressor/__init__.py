"""The air compressor: its physics, the works it stands in, its faults and its sensors."""

from simulator.air_compressor.faults import COMPONENT
from simulator.air_compressor.stations import SIGNALS, Stations
from simulator.air_compressor.works import DURATION_HOURS, SERVICES, Harmless
from simulator.customers import Brand
from simulator.product import Product

PRODUCT = Product(
    brand=Brand(
        profile="air_compressor",
        prefix="compressor",
        serial="AC",
        models=("AeroBlock 22", "AeroBlock 22 Plus", "Stratos 22"),
        firmware=("5.0.3", "5.1.0", "5.1.2"),
    ),
    signals=SIGNALS,
    components={str(mode): component for mode, component in COMPONENT.items()},
    oddities={str(kind): hours for kind, hours in DURATION_HOURS.items()},
    offline=Harmless.NETWORK_OUTAGE,
    services=SERVICES,
    operate=Stations,
)
