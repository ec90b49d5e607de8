from data.dispositions import DispositionWriter
from data.queries.labels import drawn_for_review, open_reviews, review_sample

from .builders import NOON, World, scored


def test_what_is_drawn_for_review_is_listed_newest_first_until_it_is_judged(world: World) -> None:
    assert (drawn_for_review(world.reader), open_reviews(world.reader)) == (0, 0)
    world.add(*(scored(f"t-{n}", merchant_name=None) for n in range(5)), review_sample=(1, 3, 4))
    assert [row.transaction_id for row in review_sample(world.reader, 10)] == ["t-4", "t-3", "t-1"]
    assert [row.transaction_id for row in review_sample(world.reader, 2)] == ["t-4", "t-3"]
    DispositionWriter(world.store, "ana").review(4, None, True, NOON)
    assert (drawn_for_review(world.reader), open_reviews(world.reader)) == (3, 2)
    assert [row.seq for row in review_sample(world.reader, 10)] == [5, 2]
    judged = review_sample(world.reader, 10, open_only=False)
    assert [(row.seq, row.fraud) for row in judged] == [(5, None), (4, True), (2, None)]
    assert {row.merchant for row in judged} == {"m-1"}
