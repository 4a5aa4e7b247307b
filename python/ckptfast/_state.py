"""The state file: the text file `checkpoint`, which lists the checkpoints of a directory.

It is the message `tensorflow.CheckpointState` (checkpoint_state.proto) in protobuf's text format:

    model_checkpoint_path: "model.ckpt-200"
    all_model_checkpoint_paths: "model.ckpt-100"
    all_model_checkpoint_paths: "model.ckpt-200"

`parse` takes what `text_format.Merge` takes for these four fields: any order, comments, lists in
brackets, adjacent strings, either quote, every escape; of a repeated singular field the last one
holds. `format` writes what `text_format.MessageToString` writes, with non-ASCII bytes in octal:
every protobuf release reads that, while only recent ones write such bytes as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NoReturn, TypeVar

from . import _files
from ._files import Durability
from .errors import CheckpointError, DataLossError, _located

_T = TypeVar("_T")

# More than a hundred thousand paths; whatever is longer is not a state file.
MAX_BYTES: Final = 16 << 20


@dataclass(slots=True)
class CheckpointState:
    """What a state file says; the attributes are the fields of TensorFlow's message.

    - `model_checkpoint_path`: the latest checkpoint.
    - `all_model_checkpoint_paths`: those not yet deleted, oldest first.
    - `all_model_checkpoint_timestamps`: for each of them, seconds since the epoch.
    - `last_preserved_timestamp`: when the last one that is kept for good was written.
    """

    model_checkpoint_path: str = ""
    all_model_checkpoint_paths: list[str] = field(default_factory=list)
    all_model_checkpoint_timestamps: list[float] = field(default_factory=list)
    last_preserved_timestamp: float = 0.0

    def __str__(self) -> str:
        """The text of the state file, which is what printing TensorFlow's message gives."""
        return format(self).decode("ascii")


# ------------------------------------------------------------------------------------- parsing

# No two alternatives match the same text, and no quantifier gives back what it took (`*+`, `++`):
# time is proportional to length for hostile files too.
_TOKEN: Final = re.compile(
    rb"""
      (?P<space>   (?: [ \t\r\n\f\v]++ | \#[^\n]*+ )++ )
    | (?P<word>    [A-Za-z_][A-Za-z0-9_]*+ )
    | (?P<number>  (?: (?:0(?![0-9])|[1-9][0-9]*+) (?:\.[0-9]*+)?+ | \.[0-9]++ )
                   (?:[eE][-+]?+[0-9]++)?+ [fF]?+ (?![A-Za-z0-9_.]) )
    | (?P<sign>    [-+](?=[A-Za-z0-9.]) )
    | (?P<string>  " [^"\\\n]*+ (?:\\[^\n][^"\\\n]*+)*+ " | ' [^'\\\n]*+ (?:\\[^\n][^'\\\n]*+)*+ ' )
    | (?P<mark>    [:,;\[\]] )
    """,
    re.VERBOSE,
)
_ESCAPE: Final = re.compile(
    rb"""\\(?:
      (?P<octal> [0-7]{1,3} )
    | [xX] (?P<hex> [0-9A-Fa-f]{1,2} )
    | (?: u (?P<u4> [0-9A-Fa-f]{4} ) | U (?P<u8> [0-9A-Fa-f]{8} ) )
    | (?P<named> . )
    )""",
    re.VERBOSE | re.DOTALL,
)
_NAMED: Final = dict(zip(b"abfnrtv\\'\"?", b"\a\b\f\n\r\t\v\\'\"?", strict=True))
_WORD_FLOATS: Final = ("inf", "inff", "infinity", "infinityf", "nan", "nanf")


def parse(data: bytes) -> CheckpointState:
    """The state that the bytes of a state file describe; paths as written, relative or absolute.

    Raises `DataLossError` with line and column for anything but these four fields. Paths need not
    be UTF-8: other bytes come through with surrogateescape.
    """
    return _Parser(data).state()


class _Parser:
    """A cursor over the tokens of one file; `kind` and `text` are those of the token it is on."""

    def __init__(self, data: bytes) -> None:
        if len(data) > MAX_BYTES:
            raise DataLossError(f"not a state file: it is {len(data)} bytes long")
        self.data = data
        self.start = self.end = 0
        self.kind = ""  # empty at the end of the file
        self.text = b""
        self.advance()

    def fail(self, message: str) -> NoReturn:
        line = self.data.count(b"\n", 0, self.start) + 1
        column = self.start - self.data.rfind(b"\n", 0, self.start)
        raise DataLossError(f"not a state file: line {line}, column {column}: {message}")

    def advance(self) -> None:
        self.start = self.end
        token = _TOKEN.match(self.data, self.start)
        if token is not None and token.lastgroup == "space":
            self.start = token.end()
            token = _TOKEN.match(self.data, self.start)
        if token is not None and token.lastgroup is not None:
            self.kind, self.text, self.end = token.lastgroup, token[0], token.end()
        elif self.start == len(self.data):
            self.kind, self.text = "", b""
        elif self.data.startswith((b'"', b"'"), self.start):
            self.fail("a string without an end")
        else:
            self.fail("not a token of the text format")

    def take(self, *marks: bytes) -> bool:
        """Step over the current token if it is one of `marks`."""
        found = self.kind == "mark" and self.text in marks
        if found:
            self.advance()
        return found

    def state(self) -> CheckpointState:
        state = CheckpointState()
        while self.kind:
            self.field_of(state)
            if not self.take(b","):
                self.take(b";")
        return state

    def field_of(self, state: CheckpointState) -> None:
        match self.text:
            case b"model_checkpoint_path":
                self.colon()
                state.model_checkpoint_path = self.path()
            case b"all_model_checkpoint_paths":
                self.colon()
                self.repeated(self.path, state.all_model_checkpoint_paths)
            case b"all_model_checkpoint_timestamps":
                self.colon()
                self.repeated(self.double, state.all_model_checkpoint_timestamps)
            case b"last_preserved_timestamp":
                self.colon()
                state.last_preserved_timestamp = self.double()
            case name:
                shown = name[:60].decode("utf-8", "replace")
                self.fail(f"expected one of the four fields, found {shown!r}")

    def colon(self) -> None:
        self.advance()
        if not self.take(b":"):
            self.fail("expected ':'")

    def repeated(self, value: Callable[[], _T], into: list[_T]) -> None:
        """One value, or a list of them in brackets."""
        if not self.take(b"["):
            into.append(value())
            return
        if self.take(b"]"):
            return
        into.append(value())
        while not self.take(b"]"):
            if not self.take(b","):
                self.fail("expected ',' or ']'")
            into.append(value())

    def path(self) -> str:
        if self.kind != "string":
            self.fail("expected a string in quotes")
        parts = []
        while self.kind == "string":
            parts.append(_ESCAPE.sub(self.unescape, self.text[1:-1]))
            self.advance()
        return b"".join(parts).decode("utf-8", "surrogateescape")

    def unescape(self, escape: re.Match[bytes]) -> bytes:
        body = escape[0][2:]
        match escape.lastgroup:
            case "octal":
                value = int(escape["octal"], 8)
            case "hex":
                value = int(body, 16)
            case "u4" | "u8":
                try:
                    return chr(int(body, 16)).encode("utf-8")
                except (ValueError, OverflowError):
                    self.fail("an escape that is not a character")
            case _:
                value = _NAMED.get(escape[0][1], 256)
        if value > 255:
            self.fail("an escape that the text format does not have")
        return bytes((value,))

    def double(self) -> float:
        sign = -1.0 if self.text == b"-" else 1.0
        if self.kind == "sign":
            self.advance()
        text = self.text.decode("ascii", "replace").lower()
        if self.kind == "number" or (self.kind == "word" and text in _WORD_FLOATS):
            self.advance()
            return sign * float(text if text == "inf" else text.removesuffix("f"))
        self.fail("expected a number")


# ------------------------------------------------------------------------------------- writing

_ESCAPES: Final = {byte: f"\\{byte:03o}" for byte in range(256) if not 32 <= byte < 127}
_ESCAPES.update({ord(c): f"\\{n}" for c, n in zip("\t\n\r\"'\\", "tnr\"'\\", strict=True)})


def format(state: CheckpointState) -> bytes:
    """The bytes of the state file for `state`: one field a line, in the order of their numbers."""
    lines = []
    if state.model_checkpoint_path:
        lines.append(f'model_checkpoint_path: "{_escape(state.model_checkpoint_path)}"\n')
    for path in state.all_model_checkpoint_paths:
        lines.append(f'all_model_checkpoint_paths: "{_escape(path)}"\n')
    for timestamp in state.all_model_checkpoint_timestamps:
        lines.append(f"all_model_checkpoint_timestamps: {float(timestamp)}\n")
    # proto3 leaves a field out when its bits are all zero, so -0.0 is written.
    if str(float(state.last_preserved_timestamp)) != "0.0":
        lines.append(f"last_preserved_timestamp: {float(state.last_preserved_timestamp)}\n")
    return "".join(lines).encode("ascii")


def _escape(path: str) -> str:
    return path.encode("utf-8", "surrogateescape").decode("latin-1").translate(_ESCAPES)


# --------------------------------------------------------------------------------------- files


def read(path: str) -> CheckpointState:
    """Parse the state file at `path`. Raises `OSError`, or `DataLossError` naming the file."""
    with _files.naming(path), open(path, "rb") as file:
        data = file.read(MAX_BYTES + 1)
    try:
        return parse(data)
    except DataLossError as error:
        raise _in_file(error, path) from None


def _in_file(error: DataLossError, path: str) -> CheckpointError:
    return _located(DataLossError(f"{path}: {error}"), path=path)


def write(path: str, state: CheckpointState, *, durability: Durability = "full") -> None:
    """Replace the state file at `path` at once: readers see the old one or the new one, whole.

    As for `ckptfast.save`: `durability="full"` returns when file and directory are on disk;
    "rename" flushes the file before it is renamed, so that no power failure leaves an empty one;
    "none" flushes nothing. Raises `OSError`; the old file is then still there, unless
    only the last step (making the rename durable) failed.
    """
    with _files.replacing(path, durability=durability) as file:
        file.write(format(state))
