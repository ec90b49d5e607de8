import sys
import unicodedata

from hypothesis import given
from hypothesis import strategies as st
from textual.content import Content

from screens.safe import DISPLAY_LIMIT, clean, text

from .worlds import HOSTILE

INVISIBLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def test_every_control_and_format_character_is_replaced() -> None:
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        if unicodedata.category(character) in INVISIBLE:
            assert clean(character) == "\ufffd", f"U+{code:04X}"


def test_letters_marks_and_symbols_are_left_alone() -> None:
    kept = "Zürich, 漢字 🎉 e\u0301 [red] {0} %s \\ $x – 1,234.50"
    assert clean(kept) == kept


@given(st.text())
def test_cleaning_twice_is_cleaning_once(value: str) -> None:
    assert clean(clean(value)) == clean(value)


@given(st.text(max_size=600), st.integers(1, 300))
def test_what_is_shown_is_bounded_and_says_that_it_was_cut(value: str, limit: int) -> None:
    shown = clean(value, limit)
    assert len(shown) == min(len(value), limit)
    assert shown.endswith("…") or len(value) <= limit


def test_a_megabyte_is_cut_before_it_is_searched() -> None:
    assert len(clean("\x1b" * 1_000_000)) == DISPLAY_LIMIT


def test_markup_in_a_value_is_text() -> None:
    for value in HOSTILE:
        content = text(value, "bold")
        assert isinstance(content, Content)
        assert content.plain == clean(value)
        assert [str(span.style) for span in content.spans] == ["bold"]
