"""A model on disk: one ``.npz`` of a card and flat arrays, sealed by a checksum, read without trusting it.

NumPy opens the file as any other ``.npz``. The archive's comment is the SHA-256 of all bytes before it, so that a
damaged byte is found wherever it is. Who can write the file can also seal it again: what is read is therefore checked
as if it were hostile: nothing is unpickled, and nothing may unpack to more than the size of the file.
"""

import os
import stat
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, ZipFile, ZipInfo

import numpy as np
from numpy.typing import NDArray

from data.errors import ModelError

LARGEST_FILE_BYTES = 64 * 1024 * 1024

_CARD = "card"
_SEAL_BYTES = 64
_LONGEST_HEADER = 1_024
_FIRST_BYTES = b"PK\x03\x04"


@dataclass(frozen=True, slots=True)
class ModelFile:
    """The card as JSON, and one-dimensional arrays by name."""

    card: bytes
    arrays: Mapping[str, NDArray[Any]]


def unusable(path: Path, problem: str, kind: type[ModelError] = ModelError) -> ModelError:
    """The error for a file that cannot serve as a model."""
    return kind(
        f"The model file {str(path)!r} {problem}: delete it and start again to train a new one, "
        "or set MODEL_PATH to another file"
    )


def write(path: Path, contents: ModelFile) -> None:
    """Write or replace a file as a whole, readable by its owner only: after a crash it is the old one or the new one.

    Raises:
        ModelError: the file cannot be written.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _replace(path, _encode(contents))
    except OSError as error:
        raise ModelError(
            f"The model file {str(path)!r} cannot be written ({error.strerror or error}): "
            "make room or set MODEL_PATH to another file"
        ) from error


def read(path: Path) -> ModelFile:
    """Read a file back. Its arrays are as it declares them: names, types and contents are for the caller to check.

    Raises:
        FileNotFoundError: there is no such file.
        ModelError: the file is damaged, too large, not a model, or cannot be read.
    """
    sealed = _read_bytes(path)
    if not sealed.startswith(_FIRST_BYTES) or f"{_CARD}.npy".encode() not in sealed[:_SEAL_BYTES]:
        raise unusable(path, "is not a model of this program")
    if sha256(sealed[:-_SEAL_BYTES]).hexdigest().encode() != sealed[-_SEAL_BYTES:]:
        raise unusable(path, "is damaged or cut short (its checksum does not match)")
    try:
        arrays = _decode(sealed)
        card = arrays.pop(_CARD).tobytes()
    except Exception as error:
        # zipfile and NumPy meet hostile bytes with a dozen kinds of exception; each says the same about the file.
        raise unusable(path, f"is not a model of this program ({type(error).__name__})") from error
    return ModelFile(card, arrays)


def _replace(path: Path, data: bytes) -> None:
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            os.fchmod(descriptor, 0o600)
            stream.write(data)
            stream.flush()
            os.fsync(descriptor)
        Path(name).replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            Path(name).unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _read_bytes(path: Path) -> bytes:
    try:
        with open(path, "rb", opener=_without_waiting) as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise unusable(path, "is not a regular file")
            if status.st_size > LARGEST_FILE_BYTES:
                raise unusable(path, f"is larger than {LARGEST_FILE_BYTES:,} bytes")
            return stream.read(status.st_size)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise unusable(path, f"cannot be read ({error.strerror or error})") from error


def _without_waiting(path: str, flags: int) -> int:
    """Open a file; a named pipe too, which otherwise waits for a writer."""
    return os.open(path, flags | os.O_NONBLOCK)


def _encode(contents: ModelFile) -> bytes:
    buffer = BytesIO()
    with ZipFile(buffer, "w", ZIP_STORED) as archive:
        members = {_CARD: np.frombuffer(contents.card, dtype=np.uint8), **contents.arrays}
        for name, array in members.items():
            member = BytesIO()
            np.lib.format.write_array(member, array, version=(1, 0), allow_pickle=False)
            # A member's default time is the clock's; a fixed one gives the same bytes for the same model.
            archive.writestr(ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0)), member.getvalue())
        archive.comment = bytes(_SEAL_BYTES)
    body = buffer.getvalue()[:-_SEAL_BYTES]
    return body + sha256(body).hexdigest().encode()


def _decode(sealed: bytes) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {}
    with ZipFile(BytesIO(sealed)) as archive:
        members = archive.infolist()
        # Compressed or overlapping members could unpack to more than memory holds.
        if sum(member.file_size for member in members) > len(sealed):
            raise ValueError("the members are larger than the file")
        for member in members:
            name = member.filename.removesuffix(".npy")
            if name in arrays:
                raise ValueError("a member stands there twice")
            arrays[name] = _array(archive.read(member))
    return arrays


def _array(member: bytes) -> NDArray[Any]:
    stream = BytesIO(member)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError("another version of the .npy format")
    shape, _, dtype = np.lib.format.read_array_header_1_0(stream, max_header_size=_LONGEST_HEADER)
    # NumPy allocates what a header declares before it reads; only what is really there may be declared.
    if len(shape) != 1 or dtype.hasobject or shape[0] * dtype.itemsize != len(member) - stream.tell():
        raise ValueError("a header does not match its array")
    stream.seek(0)
    array: NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
    return array
