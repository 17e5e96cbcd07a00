"""Read an uploaded form: in memory, with a size limit, and with known parts only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from pixq.http.body import Body
from pixq.http.errors import RequestError

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

__all__ = ["Form", "Upload", "read_form"]

#: Bytes of a form besides its files: boundaries, headers, short fields.
_SLACK = 16 << 10
#: The longest value of a field that is not a file, in bytes.
_SHORT = 64
#: The most characters of a file's name in messages.
_NAME = 80


@dataclass(frozen=True)
class Upload:
    """An uploaded file: its name, for messages, and its bytes."""

    name: str
    data: bytes


@dataclass(frozen=True)
class Form:
    """The files and short texts of a form, by the names of their parts."""

    files: dict[str, Upload]
    fields: dict[str, str]


@dataclass
class _Part:
    name: str = ""
    filename: str | None = None
    data: bytearray = field(default_factory=bytearray)


async def read_form(request: Request, files: tuple[str, ...], fields: tuple[str, ...], limit: int) -> Form:
    """Read the parts of a `multipart/form-data` request.

    Parameters
    ----------
    request
        The request.
    files
        Names of the parts that are files; all are required.
    fields
        Names of further parts, which are optional.
    limit
        The largest size of a file, in bytes.

    Returns
    -------
    Form
        All of `files`, and those of `fields` that were sent.

    Raises
    ------
    RequestError
        If it is not such a form, a part is missing, unknown or sent twice, or a file is too large.
    ClientDisconnect
        If the client disconnects.
    """
    kind, options = parse_options_header(request.headers.get("content-type"))
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        wanted = " and ".join(files)
        raise RequestError(415, f"send {wanted} as multipart/form-data")
    largest = len(files) * limit + _SLACK
    parts, body = _Parts(files, fields, limit), Body(request)
    try:
        if int(request.headers.get("content-length", 0)) > largest:
            raise _too_large(limit)
        parser = MultipartParser(boundary, parts.callbacks())
        received = 0
        async for chunk in body.chunks():
            # Before the size check, since the parser can name the file that is too large.
            parser.write(chunk)
            received += len(chunk)
            if received > largest:
                raise _too_large(limit)
        parser.finalize()
    except (FormParserError, ValueError):
        await body.drain()
        raise RequestError(400, "this is not a complete multipart/form-data body; send it again") from None
    except RequestError:
        await body.drain()
        raise
    return parts.form()


def _too_large(limit: int, name: str = "", image: str | None = None) -> RequestError:
    what = f"{name}: is" if name else "the upload is"
    return RequestError(
        413, f"{what} larger than the limit of {limit / (1 << 20):g} MiB per file; send a smaller one", image
    )


class _Parts:
    """Collects the parts as the parser reports them."""

    def __init__(self, files: tuple[str, ...], fields: tuple[str, ...], limit: int) -> None:
        self._files = files
        self._fields = fields
        self._limit = limit
        self._by_name: dict[str, _Part] = {}
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
            raise RequestError(400, f"unknown part {name[:_NAME]!r}; send {', '.join((*self._files, *self._fields))}")
        if name in self._by_name:
            raise RequestError(400, f"the part {name} was sent twice; send it once")
        if name in self._files:
            self._part.filename = _short_name(options.get(b"filename", b"").decode("utf-8", "replace")) or name
        self._part.name = name
        self._by_name[name] = self._part

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        part = self._part
        size = len(part.data) + end - start
        if part.filename is not None and size > self._limit:
            raise _too_large(self._limit, part.filename, part.name)
        if part.filename is None and size > _SHORT:
            raise RequestError(400, f"the part {part.name} is too long; send at most {_SHORT} bytes")
        part.data += data[start:end]

    def _end(self) -> None:
        self._ended = True

    def form(self) -> Form:
        if not self._ended:
            raise RequestError(400, "the upload is incomplete; send it again")
        for name in self._files:
            if name not in self._by_name:
                raise RequestError(400, f"the {name} image is missing; send it as the part {name}", name)
        uploads, texts = {}, {}
        for name, part in self._by_name.items():
            if part.filename is not None:
                uploads[name] = Upload(part.filename, bytes(part.data))
            else:
                texts[name] = part.data.decode("utf-8", "replace")
        return Form(uploads, texts)


def _short_name(name: str) -> str:
    """A file's name without folders, on one line, and shortened if it is long."""
    last = name.replace("\\", "/").rpartition("/")[2]
    plain = "".join(character if character.isprintable() else "�" for character in last)
    return plain if len(plain) <= _NAME else f"{plain[: _NAME - 1]}…"
