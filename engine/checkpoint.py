"""The engine's memory as bytes: exact, without pickle, so that a database can be shared and restored from."""

import struct
import zlib
from array import array
from itertools import chain

import numpy as np
import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from data.drift import SignalBins
from engine import profiles
from engine.calibration import QuantileCalibration
from engine.drift_reference import Reference
from engine.drift_watch import DriftWatch
from engine.features import FeatureState
from engine.sealed import CheckpointError
from engine.site_calibration import SiteCalibration

FORMAT = 4
_HEADER_LENGTH = struct.Struct("<I")
_MERCHANT = struct.Struct(f"{profiles.MERCHANT_FIELDS}d")
_CATEGORY = struct.Struct(f"{profiles.CATEGORY_FIELDS}d")


class _Site(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    model_version: str
    seen: list[float]
    decided: bool
    fitted: list[list[float]] | None


class _Signal(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    edges: list[float]
    counts: list[int]


class _Drift(BaseModel):
    """``rows`` are the numbers at the end of the body, not those of transactions."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model_version: str
    rows: int
    decided: bool
    site: list[_Signal] | None


class _Header(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    format: int
    layout: tuple[int, int, int] = Field(strict=False)
    velocity_window_s: int
    small_amount: float
    small_amount_window_s: int
    watermark: int
    hops: int
    impossible_share: float
    overall: profiles.Merchant = Field(strict=False)
    all_amounts: profiles.Category = Field(strict=False)
    novelty: profiles.Novelty = Field(strict=False)
    cards: list[str]
    merchants: list[str]
    categories: list[str]
    velocity: dict[str, list[int]]
    small_amounts: dict[str, list[int]]
    site: _Site
    drift: _Drift


_LAYOUT = (profiles.CARD_FIELDS, profiles.MERCHANT_FIELDS, profiles.CATEGORY_FIELDS)


def dump(state: FeatureState) -> bytes:
    """The state, compressed; ``load`` gives it back bit for bit."""
    header = orjson.dumps(
        {
            "format": FORMAT,
            "layout": _LAYOUT,
            "velocity_window_s": state.velocity_window_s,
            "small_amount": state.small_amount,
            "small_amount_window_s": state.small_amount_window_s,
            "watermark": state.watermark,
            "hops": state.hops,
            "impossible_share": state.impossible_share,
            "overall": state.overall,
            "all_amounts": state.all_amounts,
            "novelty": state.novelty,
            "cards": list(state.cards),
            "merchants": list(state.merchants),
            "categories": list(state.categories),
            "velocity": state.velocity.export(),
            "small_amounts": state.small_amounts.export(),
            "site": _site_of(state.site),
            "drift": _drift_of(state.drift),
        }
    )
    small = (*state.merchants.values(), *state.categories.values())
    parts = (*state.cards.values(), array("d", chain.from_iterable(small)), state.drift.rows)
    body = b"".join(part.tobytes() for part in parts)
    return zlib.compress(_HEADER_LENGTH.pack(len(header)) + header + body, level=1)


def load(data: bytes, state: FeatureState) -> None:
    """Fill an empty state from a checkpoint.

    Raises:
        CheckpointError: it is damaged, of another version, or taken with other windows; ``state`` is unchanged.
    """
    try:
        raw = zlib.decompress(data)
        (length,) = _HEADER_LENGTH.unpack_from(raw)
        header = _Header.model_validate(orjson.loads(raw[4 : 4 + length]))
    except (zlib.error, struct.error, orjson.JSONDecodeError, ValidationError) as error:
        raise CheckpointError(f"the checkpoint cannot be read: {str(error)[:80]}") from error
    taken_with = (header.velocity_window_s, header.small_amount, header.small_amount_window_s)
    wanted = (state.velocity_window_s, state.small_amount, state.small_amount_window_s)
    if header.format != FORMAT or header.layout != _LAYOUT or taken_with != wanted:
        raise CheckpointError("the checkpoint was taken by another version or with other windows")
    counts = (len(header.cards), len(header.merchants), len(header.categories))
    sizes = [8 * fields for fields in _LAYOUT]
    body = raw[4 + length :]
    watched = len(body) - 8 * header.drift.rows
    if watched != sum(count * size for count, size in zip(counts, sizes, strict=True)):
        raise CheckpointError("the checkpoint is cut short")
    try:
        site = _restored(header.site)
        drift = _restored_drift(header.drift, body[watched:])
    except ValueError as error:
        raise CheckpointError(f"the checkpoint's calibration is damaged: {error}") from error
    start = 0
    for name in header.cards:
        state.cards[name] = array("d", body[start : start + sizes[0]])
        start += sizes[0]
    for name in header.merchants:
        state.merchants[name] = _MERCHANT.unpack_from(body, start)
        start += _MERCHANT.size
    for name in header.categories:
        state.categories[name] = _CATEGORY.unpack_from(body, start)
        start += _CATEGORY.size
    state.watermark = header.watermark
    state.hops = header.hops
    state.impossible_share = header.impossible_share
    state.overall = header.overall
    state.all_amounts = header.all_amounts
    state.novelty = header.novelty
    state.velocity.restore(header.velocity)
    state.small_amounts.restore(header.small_amounts)
    state.site = site
    state.drift = drift


def _site_of(site: SiteCalibration) -> dict[str, object]:
    fitted = site.fitted
    return {
        "model_version": site.model_version,
        "seen": list(site.seen),
        "decided": site.decided,
        "fitted": None if fitted is None else [knots.tolist() for knots in (fitted.raw, fitted.score, fitted.share)],
    }


def _restored(saved: _Site) -> SiteCalibration:
    site = SiteCalibration()
    site.model_version = saved.model_version
    site.seen = array("d", saved.seen)
    site.decided = saved.decided
    if saved.fitted is not None:
        raw, score, share = (np.array(knots) for knots in saved.fitted)
        site.fitted = QuantileCalibration(raw, score, share)
    return site


def _drift_of(drift: DriftWatch) -> dict[str, object]:
    site = None
    if drift.site is not None:
        bins = drift.site.bins([""] * len(drift.site.edges))
        site = [{"edges": each.edges, "counts": each.counts} for each in bins]
    return {
        "model_version": drift.model_version,
        "rows": len(drift.rows),
        "decided": drift.decided,
        "site": site,
    }


def _restored_drift(saved: _Drift, rows: bytes) -> DriftWatch:
    drift = DriftWatch()
    drift.model_version = saved.model_version
    drift.rows = array("d", rows)
    drift.decided = saved.decided
    if saved.site is not None:
        drift.site = Reference.of_bins([SignalBins("", tuple(each.edges), tuple(each.counts)) for each in saved.site])
    return drift
