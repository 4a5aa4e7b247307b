"""Message classes for graphs that are nobody else's.

protobuf keeps one pool of definitions per process, and TensorFlow puts its own there; a second
definition of the same name is an error there, whoever comes second. So these classes are built in
a pool of their own, from the table in `_schema`.
"""

from __future__ import annotations

import functools
import re
from typing import Any, Final

from . import _schema

_PACKAGE: Final = "tensorflow"
_NEEDED: Final = (
    "reading graphs without TensorFlow needs protobuf; "
    "install it with: pip install 'ckptfast[graph]'"
)


def message(name: str) -> Any:
    """The class of the messages called `name`, such as "GraphDef".

    Raises `ImportError` where protobuf is not installed.
    """
    return _classes()[name]


def pool() -> Any:
    """The descriptor pool of these classes: text of an `Any` is looked up in it."""
    return _classes()["GraphDef"].DESCRIPTOR.file.pool


@functools.cache
def _classes() -> dict[str, Any]:
    try:
        from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    except ImportError as error:
        raise ImportError(_NEEDED) from error
    schema = _Schema(descriptor_pb2)
    definitions = descriptor_pool.DescriptorPool()
    for file in schema.files():
        definitions.Add(file)
    return {
        name: message_factory.GetMessageClass(definitions.FindMessageTypeByName(_full(name)))
        for name in schema.messages
    }


def _full(name: str) -> str:
    return name if name.startswith("google.") else f"{_PACKAGE}.{name}"


class _Schema:
    """The tables of `_schema` as file descriptors."""

    def __init__(self, descriptor_pb2: Any) -> None:
        self._pb2 = descriptor_pb2
        self._types = descriptor_pb2.FieldDescriptorProto
        self._enums = {name for name, _ in _entries(_schema.ENUMS.replace("enum ", ""))}
        self.messages: list[str] = []

    def files(self) -> list[Any]:
        """The files in the order in which they use each other."""
        make = self._pb2.FileDescriptorProto
        any_file = make(
            name="google/protobuf/any.proto", package="google.protobuf", syntax="proto3"
        )
        proto2 = make(name="ckptfast/debug.proto", package=_PACKAGE, syntax="proto2")
        proto3 = make(
            name="ckptfast/graph.proto",
            package=_PACKAGE,
            syntax="proto3",
            dependency=[any_file.name, proto2.name],
        )
        for name, body in _entries(_schema.PROTO2):
            self._add_message(self._place(proto2, name), name, body)
        for name, body in _entries(_schema.PROTO3):
            if name == "google.protobuf.Any":
                self._add_message(any_file.message_type.add(name="Any"), name, body)
            else:
                self._add_message(self._place(proto3, name), name, body)
        for name, body in _entries(_schema.ENUMS.replace("enum ", "")):
            self._add_enum(proto3, name, body)
        return [any_file, proto2, proto3]

    def _place(self, file: Any, name: str) -> Any:
        """The (new) definition of a message, within those that its name names."""
        where = file.message_type
        for part in name.split("."):
            found = next((item for item in where if item.name == part), None)
            found = found if found is not None else where.add(name=part)
            where = found.nested_type
        return found

    def _add_enum(self, file: Any, name: str, body: str) -> None:
        scope, _, last = name.rpartition(".")
        where = self._place(file, scope).enum_type if scope else file.enum_type
        enum = where.add(name=last)
        for item in body.split(", "):
            value, number = item.split()
            enum.value.add(name=value, number=int(number))

    def _add_message(self, definition: Any, name: str, body: str) -> None:
        self.messages.append(name)
        oneofs: dict[str, int] = {}
        for item in body.split(", ") if body else ():
            field_name, number, kind = item.split(maxsplit=2)
            oneof, _, field_name = field_name.rpartition(".")
            field = definition.field.add(name=field_name, number=int(number))
            field.label = self._types.LABEL_OPTIONAL
            if kind.startswith("<"):
                self._add_map(definition, field, name, kind.strip("<>").split())
                continue
            self._set_type(field, kind.removesuffix("*"))
            if kind.endswith("*"):
                field.label = self._types.LABEL_REPEATED
                unpackable = (self._types.TYPE_STRING, self._types.TYPE_BYTES)
                if field.type not in (*unpackable, self._types.TYPE_MESSAGE):
                    field.options.packed = True
            if oneof:
                if oneof not in oneofs:
                    oneofs[oneof] = len(oneofs)
                    definition.oneof_decl.add(name=oneof)
                field.oneof_index = oneofs[oneof]

    def _add_map(self, definition: Any, field: Any, owner: str, kinds: list[str]) -> None:
        """A map is a repeated message of a key and a value, whose name protobuf prescribes."""
        camel = "".join(part.capitalize() for part in field.name.split("_"))
        entry = definition.nested_type.add(name=f"{camel}Entry")
        entry.options.map_entry = True
        for number, (name, kind) in enumerate(zip(("key", "value"), kinds, strict=True), 1):
            inner = entry.field.add(name=name, number=number, label=self._types.LABEL_OPTIONAL)
            self._set_type(inner, kind)
        field.label = self._types.LABEL_REPEATED
        field.type = self._types.TYPE_MESSAGE
        field.type_name = f".{_full(owner)}.{entry.name}"

    def _set_type(self, field: Any, kind: str) -> None:
        scalar = getattr(self._types, f"TYPE_{kind.upper()}", None)
        if scalar is not None:
            field.type = scalar
            return
        is_enum = kind in self._enums
        field.type = self._types.TYPE_ENUM if is_enum else self._types.TYPE_MESSAGE
        field.type_name = f".{_full(kind)}"


def _entries(table: str) -> list[tuple[str, str]]:
    """Name and body of every entry; lines that begin with a blank continue the one before."""
    lines = re.sub(r"\n +", " ", table.strip()).splitlines()
    pairs = (line.partition(":") for line in lines)
    return [(name, body.strip()) for name, _, body in pairs]
