"""Reading what was uploaded: in memory, of limited size, and of known parts only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from pixq.http.body import Body
from pixq.http.errors import Refused

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

__all__ = ["Form", "Upload", "read_form"]

#: Bytes of a form beside its files: boundaries, headers, short fields.
_SLACK = 16 << 10
#: The longest value of a field that is no file, in bytes.
_SHORT = 64
#: Characters of a file's name that are kept for messages.
_NAME = 80


@dataclass(frozen=True)
class Upload:
    """A file as it came: its own name, for messages, and its bytes."""

    name: str
    data: bytes


@dataclass(frozen=True)
class Form:
    """Uploads and short texts, by the names of their parts."""

    files: dict[str, Upload]
    fields: dict[str, str]


@dataclass
class _Part:
    name: str = ""
    filename: str | None = None
    data: bytearray = field(default_factory=bytearray)


async def read_form(request: Request, files: tuple[str, ...], fields: tuple[str, ...], limit: int) -> Form:
    """The parts of a `multipart/form-data` request.

    Parameters
    ----------
    request
        Whose body is read.
    files
        Names of parts that are files; all must be there.
    fields
        Names of other parts that may be there.
    limit
        Of each file, in bytes.

    Returns
    -------
    Form
        All of `files`, and those of `fields` that are there.

    Raises
    ------
    Refused
        If it is no such form, a part is missing, unknown or there twice, or a file is too large.
    ClientDisconnect
        If the client went away.
    """
    kind, options = parse_options_header(request.headers.get("content-type"))
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        wanted = " and ".join(files)
        raise Refused(415, f"send {wanted} as multipart/form-data")
    most = len(files) * limit + _SLACK
    parts, body = _Parts(files, fields, limit), Body(request)
    try:
        if int(request.headers.get("content-length", 0)) > most:
            raise _too_large(limit)
        parser = MultipartParser(boundary, parts.callbacks())
        received = 0
        async for chunk in body.chunks():
            # First, since it can name the file that is too large.
            parser.write(chunk)
            received += len(chunk)
            if received > most:
                raise _too_large(limit)
        parser.finalize()
    except (FormParserError, ValueError):
        await body.drain()
        raise Refused(400, "this is no whole multipart/form-data; send it again") from None
    except Refused:
        await body.drain()
        raise
    return parts.form()


def _too_large(limit: int, name: str = "", image: str | None = None) -> Refused:
    which = f"{name}: is" if name else "the upload is"
    return Refused(413, f"{which} larger than the {limit / (1 << 20):g} MiB that a file may have", image)


class _Parts:
    """Collects parts as a parser meets them."""

    def __init__(self, files: tuple[str, ...], fields: tuple[str, ...], limit: int) -> None:
        self._files = files
        self._fields = fields
        self._limit = limit
        self._found: dict[str, _Part] = {}
        self._part = _Part()
        self._header = bytearray()
        self._value = bytearray()
        self._disposition = b""
        self._ended = False

    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._part_begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._part_data,
            "on_end": self._end,
        }

    def _part_begin(self) -> None:
        self._part, self._disposition = _Part(), b""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._header, self._value = bytearray(), bytearray()

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if name not in (*self._files, *self._fields):
            raise Refused(400, f"there is no part {name[:_NAME]!r}; send {', '.join((*self._files, *self._fields))}")
        if name in self._found:
            raise Refused(400, f"the part {name} is there twice")
        if name in self._files:
            self._part.filename = _shown(options.get(b"filename", b"").decode("utf-8", "replace")) or name
        self._part.name = name
        self._found[name] = self._part

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        part = self._part
        size = len(part.data) + end - start
        if part.filename is not None and size > self._limit:
            raise _too_large(self._limit, part.filename, part.name)
        if part.filename is None and size > _SHORT:
            raise Refused(400, f"the part {part.name} is too long")
        part.data += data[start:end]

    def _end(self) -> None:
        self._ended = True

    def form(self) -> Form:
        if not self._ended:
            raise Refused(400, "the upload was cut short; send it again")
        for name in self._files:
            if name not in self._found:
                raise Refused(400, f"the {name} image is missing; send it as the part {name}", name)
        uploads, texts = {}, {}
        for name, part in self._found.items():
            if part.filename is not None:
                uploads[name] = Upload(part.filename, bytes(part.data))
            else:
                texts[name] = part.data.decode("utf-8", "replace")
        return Form(uploads, texts)


def _shown(name: str) -> str:
    """A file's own name, without folders, on one line, cut where it is long."""
    last = name.replace("\\", "/").rpartition("/")[2]
    plain = "".join(character if character.isprintable() else "�" for character in last)
    return plain if len(plain) <= _NAME else f"{plain[: _NAME - 1]}…"
