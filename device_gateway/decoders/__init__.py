"""The payload formats the gateway reads, by name."""

from device_gateway.decoder import Decoder
from device_gateway.decoders.native import NativeDecoder

DECODERS: dict[str, type[Decoder]] = {"native": NativeDecoder}
