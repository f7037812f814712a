"""An object store in memory, for what must work where there are no folders and no renames: ``bucket://``."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from typing import BinaryIO

from apache_beam.io.filesystem import (
    BeamIOError,
    CompressedFile,
    CompressionTypes,
    FileMetadata,
    FileSystem,
)

# Path -> bytes and time of the last update. One process only: not for runs with several workers.
FILES: dict[str, tuple[bytes, float]] = {}
_clock = itertools.count(1_700_000_000)


class _Upload(io.BytesIO):
    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def close(self) -> None:
        """As object stores do: closing publishes, also when an exception closes."""
        if not self.closed:
            FILES[self._path] = (self.getvalue(), next(_clock) + 0.25)
        super().close()


class Bucket(FileSystem):
    @classmethod
    def scheme(cls) -> str:
        return "bucket"

    def join(self, basepath: str, *paths: str) -> str:
        return "/".join([basepath.rstrip("/"), *(path.strip("/") for path in paths)])

    def split(self, path: str) -> tuple[str, str]:
        head, _, tail = path.rpartition("/")
        return head, tail

    def mkdirs(self, path: str) -> None:
        raise AssertionError("an object store has no folders")

    def has_dirs(self) -> bool:
        return False

    def _list(self, dir_or_prefix: str) -> Iterator[FileMetadata]:
        for path, (data, updated) in sorted(FILES.items()):
            if path.startswith(dir_or_prefix):
                yield FileMetadata(path, len(data), updated)

    def create(self, path: str, mime_type: str = "", compression_type: str = CompressionTypes.AUTO) -> BinaryIO:
        assert compression_type == CompressionTypes.UNCOMPRESSED, path
        return _Upload(path)

    def open(self, path: str, mime_type: str = "", compression_type: str = CompressionTypes.AUTO) -> BinaryIO:
        if path not in FILES:
            raise BeamIOError(f"no such object: {path}")
        kind = FileSystem._get_compression_type(path, compression_type)
        file = io.BytesIO(FILES[path][0])
        return file if kind == CompressionTypes.UNCOMPRESSED else CompressedFile(file, compression_type=kind)

    def copy(self, source_file_names: list[str], destination_file_names: list[str]) -> None:
        raise NotImplementedError

    def rename(self, source_file_names: list[str], destination_file_names: list[str]) -> None:
        raise NotImplementedError

    def exists(self, path: str) -> bool:
        return path in FILES

    def size(self, path: str) -> int:
        return self.metadata(path).size_in_bytes

    def last_updated(self, path: str) -> float:
        return self.metadata(path).last_updated_in_seconds

    def checksum(self, path: str) -> str:
        return f"{self.size(path)}-{self.last_updated(path)}"

    def metadata(self, path: str) -> FileMetadata:
        if path not in FILES:
            raise BeamIOError(f"no such object: {path}")
        return FileMetadata(path, len(FILES[path][0]), FILES[path][1])

    def delete(self, paths: list[str]) -> None:
        for path in paths:
            del FILES[path]  # by exact name, as the clients of real ones do
