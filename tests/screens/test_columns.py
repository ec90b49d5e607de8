from hypothesis import given
from hypothesis import strategies as st

from screens.record_columns import ALERT_COLUMNS, CASE_COLUMNS, CUSTOMER_COLUMNS, FEED_COLUMNS, TRANSACTION_COLUMNS
from screens.widgets.columns import LEFT_MARGIN, Cell, Column, fit

ALL = (ALERT_COLUMNS, CASE_COLUMNS, CUSTOMER_COLUMNS, FEED_COLUMNS, TRANSACTION_COLUMNS)

columns = st.lists(
    st.builds(
        Column,
        title=st.just("t"),
        width=st.integers(1, 30),
        cell=st.just(lambda record: Cell(str(record))),
        grow=st.integers(0, 4),
        rank=st.integers(1, 9),
    ),
    max_size=12,
).map(lambda those: [Column("first", 5, lambda record: Cell(str(record))), *those])


@given(columns, st.integers(10, 300))
def test_columns_never_need_more_than_the_width_there_is(those: list[Column[int]], width: int) -> None:
    fitted, gap = fit(those, width)
    assert LEFT_MARGIN - gap + sum(gap + each.width for each in fitted) <= width


@given(columns, st.integers(10, 299))
def test_a_wider_list_shows_at_least_the_columns_of_a_narrower_one(those: list[Column[int]], width: int) -> None:
    narrow = {id(each.column) for each in fit(those, width)[0]}
    wide = {id(each.column) for each in fit(those, width + 40)[0]}
    assert narrow <= wide or fit(those, width)[1] != fit(those, width + 40)[1]


def test_the_essential_columns_of_every_list_fit_into_80_cells() -> None:
    for those in ALL:
        fitted, gap = fit(those, 79)
        shown = {each.column.title for each in fitted}
        assert {column.title for column in those if column.rank == 0} <= shown
        assert LEFT_MARGIN - gap + sum(gap + each.width for each in fitted) <= 79


def test_a_200_column_terminal_shows_every_column() -> None:
    for those in (ALERT_COLUMNS, CASE_COLUMNS, CUSTOMER_COLUMNS):
        assert len(fit(those, 199)[0]) == len(those)
