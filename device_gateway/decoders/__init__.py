"""The payload formats the gateway reads, by name."""

from device_gateway.decoder import Decoder
from device_gateway.decoders.native import NativeDecoder
from device_gateway.decoders.senml import SenmlCborDecoder, SenmlJsonDecoder
from device_gateway.decoders.sparkplug_b import SparkplugBDecoder
from device_gateway.decoders.tasmota import TasmotaDecoder
from device_gateway.decoders.zigbee2mqtt import Zigbee2MqttDecoder

DECODERS: dict[str, type[Decoder]] = {
    "native": NativeDecoder,
    "senml_json": SenmlJsonDecoder,
    "senml_cbor": SenmlCborDecoder,
    "sparkplug_b": SparkplugBDecoder,
    "tasmota": TasmotaDecoder,
    "zigbee2mqtt": Zigbee2MqttDecoder,
}
