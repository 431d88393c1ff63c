"""Text files, plain or gzip, read line by line and written all or not at all.

Lines end at LF or CRLF and nowhere else; a byte-order mark is passed over; text is UTF-8. What is gzip is told by its
first bytes, not by its name; what is to be gzip is told by its name (``.gz``).
"""

from __future__ import annotations

import gzip
import io
import json
import mmap
import os
import secrets
import shutil
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeAlias

from shortlist.errors import InvalidFile, InvalidInput

PathLike: TypeAlias = str | Path
JsonObject: TypeAlias = dict[str, Any]
Stream: TypeAlias = IO[bytes] | gzip.GzipFile

BOM = b"\xef\xbb\xbf"


# ------------------------------------------------------------------------------------------------ reading


@contextmanager
def open_binary(path: PathLike) -> Iterator[Stream]:
    """The file's bytes, decompressed if it is gzip.

    Raises:
        InvalidFile: it is missing, a folder, not readable, or broken gzip (also while it is being read).
    """
    path = Path(path)
    if path.is_dir():
        raise InvalidFile(path, "is a folder; give a file in it")
    try:
        with path.open("rb") as raw:
            if raw.peek(2)[:2] == b"\x1f\x8b":
                with gzip.GzipFile(fileobj=raw) as unpacked:
                    yield unpacked
            else:
                yield raw
    except FileNotFoundError:
        raise InvalidFile(path, f"no such file{_beside(path)}") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as problem:
        raise InvalidFile(path, f"broken gzip ({problem}); fetch it again") from problem
    except PermissionError as problem:
        raise InvalidFile(path, f"cannot be opened ({problem.strerror})") from problem


def _beside(path: Path) -> str:
    """What there is instead of a file that is missing."""
    if not path.parent.is_dir():
        return f" (nor its folder {path.parent})"
    names = sorted(other.name for other in path.parent.iterdir() if not other.name.startswith("."))
    return f" (in its folder: {', '.join(names[:8])}{' …' if len(names) > 8 else ''})" if names else ""


def read_lines(path: PathLike) -> Iterator[tuple[int, str]]:
    """Line numbers, from 1, and lines without their ends; blank lines are passed over.

    Raises:
        InvalidFile: as :func:`open_binary`, or bytes that are not UTF-8, with the line.
    """
    with open_binary(path) as file:
        for number, raw in enumerate(file, 1):
            line = decode(raw, path, number).rstrip("\r\n")
            if line and not line.isspace():
                yield number, line


def decode(raw: bytes, path: PathLike, line: int) -> str:
    """The bytes of a line as text; ``line`` 1 may begin with a byte-order mark."""
    try:
        return (raw.removeprefix(BOM) if line == 1 else raw).decode()
    except UnicodeDecodeError as problem:
        raise InvalidFile(
            path, f"not UTF-8 (byte {problem.start + 1}); convert it, e.g. with iconv", line=line
        ) from None


def read_jsonl(path: PathLike) -> Iterator[tuple[int, JsonObject]]:
    """Line numbers and JSON objects, one a line.

    Raises:
        InvalidFile: as :func:`read_lines`, or a line that is not a JSON object.
    """
    for number, line in read_lines(path):
        yield number, parse_object(line, path, number)


def parse_object(line: str, path: PathLike, number: int | None) -> JsonObject:
    """A line's JSON object, or :class:`InvalidFile`."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as problem:
        raise InvalidFile(path, f"not JSON ({problem}): {line[:60]!r}", line=number) from None
    if not isinstance(value, dict):
        raise InvalidFile(path, f"a JSON {type(value).__name__}, not an object: {line[:60]!r}", line=number)
    return value


def read_json_records(path: PathLike) -> Iterator[tuple[int | None, JsonObject]]:
    """Objects of a JSONL file, with their lines, or of one JSON array of objects, without; both as a stream."""
    with open_binary(path) as file:
        head = file.read(4096)
        if not head.removeprefix(BOM).lstrip().startswith(b"["):
            yield from read_jsonl(path)
            return
    yield from ((None, record) for record in _read_array(path))


def _read_array(path: PathLike) -> Iterator[JsonObject]:
    """The objects of a JSON array, holding one of them, and a block, at a time."""
    parse = json.JSONDecoder().raw_decode
    with open_binary(path) as raw, io.TextIOWrapper(raw, encoding="utf-8-sig") as text:
        left, want = _block(text, _BLOCK, path).lstrip()[1:], _BLOCK
        while not (left := left.lstrip(" \t\r\n,")).startswith("]"):
            try:
                record, end = parse(left)
            except (ValueError, RecursionError) as problem:
                more, want = _block(text, want, path), want * 2  # a long record is tried a few times, not once a block
                if not more:
                    raise InvalidFile(path, f"a JSON array that breaks off or does not parse ({problem})") from None
                left += more
                continue
            if not isinstance(record, dict):
                raise InvalidFile(path, f"an array holding a JSON {type(record).__name__}, not objects")
            yield record
            left, want = left[end:], _BLOCK


_BLOCK = 1 << 16


def _block(text: io.TextIOWrapper, size: int, path: PathLike) -> str:
    try:
        return text.read(size)
    except UnicodeDecodeError as problem:
        raise InvalidFile(path, f"not UTF-8 ({problem.reason}); convert it, e.g. with iconv") from None


def map_file(path: PathLike) -> mmap.mmap | bytes:
    """The whole file as bytes that need no memory: mapped, by way of an unnamed temporary file if it is gzip.

    The temporary file takes as much disk as the unpacked text, in the folder that ``TMPDIR`` names, and goes with it.
    """
    with open_binary(path) as file:
        if not isinstance(file, gzip.GzipFile):
            return _mapped(file)
        with tempfile.TemporaryFile() as plain:
            shutil.copyfileobj(file, plain, 1 << 20)
            plain.flush()
            return _mapped(plain)


def _mapped(file: Any) -> mmap.mmap | bytes:
    """A map outlives the file it was made of; nothing cannot be mapped."""
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if os.fstat(file.fileno()).st_size else b""


def lines_of(data: mmap.mmap | bytes) -> Iterator[tuple[int, bytes]]:
    """The offset of every line and the line, with its end."""
    start, size = 0, len(data)
    while start < size:
        end = data.find(b"\n", start) + 1 or size
        yield start, data[start:end]
        start = end


def line_at(data: mmap.mmap | bytes, offset: int) -> int:
    """The number, from 1, of the line that begins at an offset."""
    return next(number for number, (start, _) in enumerate(lines_of(data), 1) if start >= offset)


# ------------------------------------------------------------------------------------------------ writing


@contextmanager
def atomic_writer(path: PathLike) -> Iterator[Stream]:
    """A file to write that takes its name only when all is written; an error leaves what was there before.

    Missing folders are made; ``.gz`` compresses, with the same bytes for the same text. What is no regular file (a
    pipe, a terminal) is written straight.
    """
    path = Path(path).resolve()
    if path.is_dir():
        raise InvalidInput(f"{path} is a folder; give the name of a file to write")
    if path.exists() and not path.is_file():
        with path.open("wb") as direct:
            yield direct
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as raw:
            if path.suffix == ".gz":
                with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed:
                    yield packed
            else:
                yield raw
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_lines(path: PathLike, lines: Iterable[str]) -> int:
    """Write lines (given without their ends), all or none; gives how many."""
    count = 0
    with atomic_writer(path) as file:
        for line in lines:
            file.write(line.encode() + b"\n")
            count += 1
    return count


def write_jsonl(path: PathLike, records: Iterable[Mapping[str, Any]]) -> int:
    """Write objects one a line, all or none; gives how many."""
    return write_lines(path, map(json_line, records))


def json_line(record: Mapping[str, Any]) -> str:
    """An object on one line, readable where it can be: half a surrogate pair, which UTF-8 has no form for, is escaped.

    Raises:
        InvalidInput: it holds NaN, an infinity, or something that JSON has no form for.
    """
    try:
        line = json.dumps(record, ensure_ascii=False, allow_nan=False)
        line.encode()
    except UnicodeEncodeError:
        return json.dumps(record, allow_nan=False)
    except (TypeError, ValueError) as problem:
        raise InvalidInput(f"cannot be written as JSON ({problem}): {str(record)[:80]}") from problem
    return line
