"""Memory as bytes: a header and a body, compressed under a digest, so that damage is found before anything is read."""

import struct
import zlib
from hashlib import blake2b
from typing import Final

DIGEST_BYTES: Final = 16
_HEADER_LENGTH = struct.Struct("<I")


class CheckpointError(ValueError):
    """The bytes are no checkpoint of this version and these windows; the caller rebuilds from stored history."""


def seal(header: bytes, body: bytes, level: int = 1) -> bytes:
    """Pack both parts; the same parts give the same bytes. ``level`` 0 compresses nothing, for what is compressed."""
    payload = zlib.compress(_HEADER_LENGTH.pack(len(header)) + header + body, level=level)
    return _digest(payload) + payload


def unseal(data: bytes) -> tuple[bytes, bytes]:
    """The header and the body that were sealed.

    Raises:
        CheckpointError: a byte is missing, changed or too many.
    """
    digest, payload = data[:DIGEST_BYTES], data[DIGEST_BYTES:]
    if _digest(payload) != digest:
        raise CheckpointError("the checkpoint is damaged: its contents do not match their digest")
    try:
        raw = zlib.decompress(payload)
        (length,) = _HEADER_LENGTH.unpack_from(raw)
    except (zlib.error, struct.error) as error:
        raise CheckpointError(f"the checkpoint cannot be read: {str(error)[:80]}") from error
    start = _HEADER_LENGTH.size
    return raw[start : start + length], raw[start + length :]


def _digest(payload: bytes) -> bytes:
    return blake2b(payload, digest_size=DIGEST_BYTES).digest()
