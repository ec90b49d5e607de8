"""What would have to be otherwise for an alert not to have been raised: one thing at a time, found by scoring again."""

from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from typing import Final

from data.models import Alert
from engine import profiles
from engine.features import MICROSECONDS
from engine.gazetteer import is_anonymised
from engine.label_features import NO_KNOWN_FRAUD
from engine.profiles import DAY_S, HOUR_BINS, RATIO_BUCKET_S
from engine.rescoring import Detectors, Rescorer, Situation
from engine.scoring import Verdict

STEPS: Final = 48
"""Amounts between nothing and the alert's own that are tried before the bound is bisected."""
BIN_HOURS: Final = 24 // HOUR_BINS


class Change(StrEnum):
    """The one thing that is otherwise, all else being as it was."""

    AMOUNT = "amount"
    VELOCITY = "velocity"
    SMALL_AMOUNTS = "small_amounts"
    PLACE = "place"
    HOUR = "hour"
    MERCHANT = "merchant"
    KNOWN_FRAUD = "known_fraud"


@dataclass(frozen=True, slots=True)
class Clearing:
    """A change that clears the alert.

    Attributes:
        change: what is otherwise.
        text: where the alert clears, in words.
        score: the fused score there, from 0 to 1.
        bound: of an amount the cents, of a count the number, nearest to the alert's own that clears; else None.
    """

    change: Change
    text: str
    score: float
    bound: int | None = None


def clearings(alert: Alert, detectors: Detectors) -> tuple[Clearing, ...]:
    """Every single change that clears an alert, at most one of a kind; none if no single change does.

    An amount is bisected to the cent: the one above ``bound`` alerts (the one below it, where only more clears).

    Raises:
        RescoringError: the alert cannot be scored again as it was.
    """
    rescorer = Rescorer(alert, detectors)
    small_amount = round(detectors.new_state().small_amount * 100)
    found = (
        _amount(rescorer, small_amount),
        _count(rescorer, Change.VELOCITY, rescorer.situation.velocity, _with_velocity, "{} in the window"),
        _small_amounts(rescorer, small_amount),
        _first(rescorer, Change.PLACE, _known_places(rescorer.situation)),
        _first(rescorer, Change.HOUR, _usual_hours(rescorer.situation)),
        _first(rescorer, Change.MERCHANT, _known_merchant(rescorer.situation)),
        _first(rescorer, Change.KNOWN_FRAUD, _no_known_fraud(rescorer.situation)),
    )
    return tuple(each for each in found if each is not None)


def _cents(situation: Situation) -> int:
    return round(situation.event.amount * 100)


def _with_amount(situation: Situation, cents: int) -> Situation:
    return replace(situation, event=situation.event._replace(amount=cents / 100.0))


def _with_velocity(situation: Situation, count: int) -> Situation:
    return replace(situation, velocity=count)


def _with_small_amounts(situation: Situation, count: int) -> Situation:
    return replace(situation, memory=situation.memory._replace(small_amounts=count - 1))


def _amount(rescorer: Rescorer, small_amount: int) -> Clearing | None:
    own = _cents(rescorer.situation)
    steps = {round(own ** (step / STEPS)) for step in range(STEPS)}
    # A small amount counts towards card testing: the score may jump there, and up, as the amount falls.
    tried = sorted(value for value in {0, small_amount, small_amount + 1} | steps if value < own)
    stretch = _stretch(rescorer, tried, own, _with_amount)
    if stretch is not None:
        low, high, verdict = stretch
        start = f"from {low / 100:,.2f} to" if low else "below"
        end = high if low else high + 1
        return Clearing(Change.AMOUNT, f"{start} {end / 100:,.2f}", verdict.score, high)
    return None if own > small_amount else _more(rescorer, own, small_amount + 1)


def _more(rescorer: Rescorer, own: int, enough: int) -> Clearing | None:
    """That a small amount clears where it is more, up to ``enough`` for it to be no small one."""
    judged = partial(_judged, rescorer, _with_amount)
    if judged(enough).level is not None:
        return None
    bound = _edge(judged, enough, own)
    why = ", which is no small amount" if bound == enough else ""
    return Clearing(Change.AMOUNT, f"at {bound / 100:,.2f}{why}", judged(bound).score, bound)


def _small_amounts(rescorer: Rescorer, small_amount: int) -> Clearing | None:
    situation = rescorer.situation
    if situation.late or _cents(situation) > small_amount:
        return None
    own = situation.memory.small_amounts + 1
    return _count(rescorer, Change.SMALL_AMOUNTS, own, _with_small_amounts, "{} small amounts in their window")


def _count(
    rescorer: Rescorer, change: Change, own: int, changed: Callable[[Situation, int], Situation], text: str
) -> Clearing | None:
    tried = sorted({value for step in range(STEPS) if 1 <= (value := round(own ** (step / STEPS))) < own})
    stretch = _stretch(rescorer, tried, own, changed)
    if stretch is None:
        return None
    _, high, verdict = stretch
    return Clearing(change, f"at {text.format(high)}", verdict.score, high)


def _stretch(
    rescorer: Rescorer, tried: Sequence[int], own: int, changed: Callable[[Situation, int], Situation]
) -> tuple[int, int, Verdict] | None:
    """The values that clear, next below ``own``: the lowest, the highest, and the verdict there.

    ``tried`` ascends to below ``own``. Between two of these that agree, values are taken to agree with them.
    """
    if not tried:
        return None
    judged = partial(_judged, rescorer, changed)
    verdicts = rescorer.judge([changed(rescorer.situation, value) for value in tried])
    clear = [verdict.level is None for verdict in verdicts]
    if not any(clear):
        return None
    last = len(clear) - 1 - clear[::-1].index(True)
    high = _edge(judged, tried[last], tried[last + 1] if last + 1 < len(tried) else own)
    first = last
    while first > 0 and clear[first - 1]:
        first -= 1
    low = _edge(judged, tried[first], tried[first - 1]) if first > 0 else tried[0]
    return low, high, judged(high)


def _judged(rescorer: Rescorer, changed: Callable[[Situation, int], Situation], value: int) -> Verdict:
    (verdict,) = rescorer.judge([changed(rescorer.situation, value)])
    return verdict


def _edge(judged: Callable[[int], Verdict], clears: int, alerts: int) -> int:
    """The value nearest to ``alerts`` that clears, by bisection; the one after it alerts."""
    while abs(alerts - clears) > 1:
        middle = (clears + alerts) // 2
        if judged(middle).level is None:
            clears = middle
        else:
            alerts = middle
    return clears


def _first(rescorer: Rescorer, change: Change, options: Iterable[tuple[str, Situation]]) -> Clearing | None:
    """The first of the options, each with its words, that clears."""
    options = tuple(options)
    verdicts = rescorer.judge([situation for _, situation in options]) if options else []
    for (text, _), verdict in zip(options, verdicts, strict=True):
        if verdict.level is None:
            return Clearing(change, text, verdict.score)
    return None


def _known_places(situation: Situation) -> Iterable[tuple[str, Situation]]:
    """Where the card usually is and where it was last, in the open; only in the open, where no place is known."""
    event, card = situation.event, situation.memory.card
    hidden = situation.location is not None and is_anonymised(situation.location)
    if card[profiles.HOME_COUNT] == 0.0 or not event.present:
        return ((("at a place that is not hidden"), replace(situation, location=None)),) if hidden else ()
    home = card[profiles.HOME_LATITUDE], card[profiles.HOME_LONGITUDE]
    last = card[profiles.PLACE_LATITUDE], card[profiles.PLACE_LONGITUDE]
    return (
        (text, replace(situation, location=None, event=event._replace(latitude=place[0], longitude=place[1])))
        for text, place in (("at the card's usual place", home), ("at the card's last place", last))
        if hidden or place != (event.latitude, event.longitude)
    )


def _usual_hours(situation: Situation) -> Iterable[tuple[str, Situation]]:
    """The hours of the day at which the card usually pays, the most usual first."""
    own = profiles.hour_bin(situation.event.time / MICROSECONDS)
    for usual in profiles.usual_hour_bins(situation.memory.card):
        if usual != own:
            start = usual * BIN_HOURS
            yield f"at a usual hour, {start:02d}-{start + BIN_HOURS:02d} h UTC", _at_hour(situation, start)


def _at_hour(situation: Situation, hour: int) -> Situation:
    """The transaction in the middle of three hours of its day, and all that was remembered moved along with it.

    Spans of time stay what they were, so that only the hour of the day is another.
    """
    event, card = situation.event, situation.memory.card[:]
    of_day = event.time % (int(DAY_S) * MICROSECONDS)
    moved_us = (hour * 3_600 + BIN_HOURS * 1_800) * MICROSECONDS - of_day
    time = event.time + moved_us
    for field in (profiles.LAST_TIME, profiles.PLACE_TIME, profiles.FIRST_TIME):
        card[field] += moved_us / MICROSECONDS
    card[profiles.RATIO_BUCKET] += _ratio_bucket(time) - _ratio_bucket(event.time)
    count, mean, last_time, recent, suspicious = situation.memory.merchant
    merchant = (count, mean, last_time + moved_us / MICROSECONDS, recent, suspicious)
    memory = situation.memory._replace(card=card, merchant=merchant)
    return replace(situation, event=event._replace(time=time), memory=memory)


def _ratio_bucket(time: int) -> float:
    return time / MICROSECONDS // RATIO_BUCKET_S


def _known_merchant(situation: Situation) -> Iterable[tuple[str, Situation]]:
    """The same merchant, if it is new to the card, as one where the card has been."""
    if situation.event.merchant is None:
        return
    number = profiles.merchant_number(situation.event.merchant)
    card: array[float] = situation.memory.card[:]
    if number in card[profiles.MERCHANTS : profiles.FIRST_TIME]:
        return
    profiles.remember_merchant(card, number)
    yield "at a merchant known to the card", replace(situation, memory=situation.memory._replace(card=card))


def _no_known_fraud(situation: Situation) -> Iterable[tuple[str, Situation]]:
    """The same, with nothing known against the merchant and the card."""
    text, ranked = "with no fraud known of merchant and card", situation.ranked
    if ranked is None:
        if situation.prior:
            yield text, replace(situation, prior=0.0)
    elif any(each > 0.0 for each in ranked.memory.labels):
        unknown = replace(ranked, memory=ranked.memory._replace(labels=NO_KNOWN_FRAUD))
        yield text, replace(situation, prior=0.0, ranked=unknown)
