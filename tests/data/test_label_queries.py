from data.label_writes import GivenLabel, LabelWriter
from data.models import LabelSource
from data.queries.labels import settled_until
from data.timestamps import to_microseconds

from .builders import DAY, NOON, World, scored

WEEK_US = 7 * 86_400_000_000
LATER = NOON + 60 * DAY


def label(world: World, transaction: str, source: LabelSource, days: int) -> None:
    given = [GivenLabel(1, transaction, True, to_microseconds(NOON + days * DAY))]
    list(LabelWriter(world.store, "ana").add(given, source, LATER))


def test_without_chargebacks_nothing_settles_by_itself(world: World) -> None:
    world.add(scored("t-1"), scored("t-2", at=NOON + 30 * DAY))
    assert settled_until(world.reader, WEEK_US) is None
    label(world, "t-1", LabelSource.DISPOSITION, 20)
    assert settled_until(world.reader, WEEK_US) is None


def test_what_came_the_delay_before_the_latest_chargeback_is_settled(world: World) -> None:
    world.add(scored("t-1"), scored("t-2", at=NOON + DAY), scored("t-3", at=NOON + 30 * DAY))
    label(world, "t-1", LabelSource.CHARGEBACK, 20)
    assert settled_until(world.reader, WEEK_US) == to_microseconds(NOON + 13 * DAY)
    label(world, "t-2", LabelSource.CHARGEBACK, 50)
    assert settled_until(world.reader, WEEK_US) == to_microseconds(NOON + 23 * DAY), "not beyond what has been seen"
