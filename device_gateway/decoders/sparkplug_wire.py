"""The protobuf message of Sparkplug B, as a table of its fields; protobuf itself reads and writes it.

Only the fields that the gateway uses stand here; protobuf skips the others. Names are bytes, so that one that is no UTF-8
is refused by us with a reason. The classes live in a pool of their own: other packages may have loaded the same message.

Source: Sparkplug Specification 3.0.0, chapter 6, and the `sparkplug_b.proto` it contains.
"""

import zlib
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

_PACKAGE = "forewarn.sparkplug"
_TYPES = {
    "bytes": descriptor_pb2.FieldDescriptorProto.TYPE_BYTES,
    "uint32": descriptor_pb2.FieldDescriptorProto.TYPE_UINT32,
    "uint64": descriptor_pb2.FieldDescriptorProto.TYPE_UINT64,
    "float": descriptor_pb2.FieldDescriptorProto.TYPE_FLOAT,
    "double": descriptor_pb2.FieldDescriptorProto.TYPE_DOUBLE,
    "bool": descriptor_pb2.FieldDescriptorProto.TYPE_BOOL,
    "Metric": descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE,
}
# Message -> (number, name, type, repeated, in the oneof `value`).
_FIELDS = {
    "Payload": (
        (1, "timestamp", "uint64", False, False),
        (2, "metrics", "Metric", True, False),
        (3, "seq", "uint64", False, False),
        (4, "uuid", "bytes", False, False),
        (5, "body", "bytes", False, False),
    ),
    "Metric": (
        (1, "name", "bytes", False, False),
        (2, "alias", "uint64", False, False),
        (3, "timestamp", "uint64", False, False),
        (4, "datatype", "uint32", False, False),
        (5, "is_historical", "bool", False, False),
        (7, "is_null", "bool", False, False),
        (10, "int_value", "uint32", False, True),
        (11, "long_value", "uint64", False, True),
        (12, "float_value", "float", False, True),
        (13, "double_value", "double", False, True),
        (14, "boolean_value", "bool", False, True),
        (15, "string_value", "bytes", False, True),
        (16, "bytes_value", "bytes", False, True),
        (17, "dataset_value", "bytes", False, True),
        (18, "template_value", "bytes", False, True),
        (19, "extension_value", "bytes", False, True),
    ),
}
SIGNED_BITS = {1: 8, 2: 16, 3: 32, 4: 64}
"""Bits of the data types that are sent as unsigned two's complements: Int8, Int16, Int32, Int64."""


def _load() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="forewarn_sparkplug_b.proto", package=_PACKAGE, syntax="proto2")
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        if any(field[4] for field in fields):
            message.oneof_decl.add(name="value")
        for number, field_name, kind, repeated, in_value in fields:
            label = "LABEL_REPEATED" if repeated else "LABEL_OPTIONAL"
            field = message.field.add(
                name=field_name,
                number=number,
                type=_TYPES[kind],
                label=descriptor_pb2.FieldDescriptorProto.Label.Value(label),
            )
            if kind == "Metric":
                field.type_name = f".{_PACKAGE}.Metric"
            if in_value:
                field.oneof_index = 0
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Payload"))


PAYLOAD = _load()
"""The class of the message."""
_COMPRESSED = b"SPBV1.0_COMPRESSED"
_MOST_BYTES = 4 * 1024 * 1024
_ZLIB_OR_GZIP = 47


class Unreadable(Exception):
    """The bytes are no Sparkplug B message; the text says why."""


def parse(payload: bytes) -> Any:
    """The message in `payload`, also where it is packed into another one (DEFLATE or GZIP). Raises Unreadable."""
    try:
        message = PAYLOAD.FromString(payload)
        if message.uuid != _COMPRESSED:
            return message
        unpacking = zlib.decompressobj(_ZLIB_OR_GZIP)
        body = unpacking.decompress(message.body, _MOST_BYTES)
        if not unpacking.eof:
            raise Unreadable(f"the packed message is cut off or larger than {_MOST_BYTES} bytes")
        inner = PAYLOAD.FromString(body)
    except (DecodeError, zlib.error) as error:
        raise Unreadable(str(error)) from None
    if message.HasField("seq"):
        inner.seq = message.seq  # The sequence number of what was published stands outside.
    return inner
