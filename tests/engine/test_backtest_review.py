"""Analysts see the cards with the highest scores of a day, all of their transactions, but no card caught before."""

import numpy as np

from engine.backtest_review import CardReview


def test_all_transactions_of_the_cards_with_the_highest_scores_are_disposed_of() -> None:
    card = np.array([0, 1, 2, 0, 1])
    review = CardReview(card, np.array([0, 0, 1, 1, 0], dtype=np.int8), 2)
    assert review.of_day(0, np.array([0.1, 0.8, 0.3, 0.5, 0.0])).tolist() == [0, 1, 3, 4]


def test_a_card_that_was_caught_makes_room_for_the_next_and_an_innocent_one_does_not() -> None:
    card = np.array([0, 1, 2, 0, 1, 2])
    review = CardReview(card, np.array([1, 0, 0, 0, 0, 0], dtype=np.int8), 1)
    assert review.of_day(0, np.array([0.9, 0.8, 0.7])).tolist() == [0]
    assert review.of_day(3, np.array([0.9, 0.8, 0.7])).tolist() == [4]


def test_a_transaction_without_a_label_teaches_nothing_and_takes_no_ones_place() -> None:
    card = np.array([0, 1])
    review = CardReview(card, np.array([-1, 0], dtype=np.int8), 1)
    assert review.of_day(0, np.array([0.9, 0.1])).tolist() == [1]


def test_equal_scores_are_taken_by_card_number_and_a_quiet_day_has_fewer() -> None:
    card = np.array([3, 1, 2])
    review = CardReview(card, np.zeros(3, dtype=np.int8), 2)
    assert review.of_day(0, np.full(3, 0.5)).tolist() == [1, 2]
    assert CardReview(card, np.zeros(3, dtype=np.int8), 9).of_day(0, np.full(3, 0.5)).tolist() == [0, 1, 2]
