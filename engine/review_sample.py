"""Which transactions are drawn for review, so that what is learnt from labels is not blind to what raised no alert."""

from collections.abc import Sequence
from hashlib import blake2b

from data.batches import ScoredTransaction

_BYTES = 8
_RANGE = 1 << (8 * _BYTES)


def review_sample(transactions: Sequence[ScoredTransaction], share: float) -> tuple[int, ...]:
    """Indices of those that are drawn: of the ones without an alert that did not come late, a ``share`` from 0 to 1.

    The draw depends on the transaction's id alone: neither how batches are cut nor a restart changes it.
    """
    if not share:
        return ()
    return tuple(
        index
        for index, row in enumerate(transactions)
        if not row.level_rank and not row.late and is_drawn(row.transaction_id, share)
    )


def is_drawn(transaction_id: str, share: float) -> bool:
    """Whether an id is among a ``share`` of all, from 0 to 1, by its hash; a smaller share is part of a larger one."""
    digest = blake2b(transaction_id.encode("utf-8", "surrogatepass"), digest_size=_BYTES).digest()
    return int.from_bytes(digest, "big") < share * _RANGE
