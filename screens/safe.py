"""The render boundary: every string from outside passes here before it is drawn.

Transactions come from strangers. A terminal obeys control characters (ESC ]52 writes the clipboard), Textual obeys
markup (``[@click=app.quit]``), and readers are fooled by characters that reorder or hide text.
"""

import re

from textual.content import Content

DISPLAY_LIMIT = 256
"""Characters of one value that are ever drawn; the store keeps them all."""

REPLACEMENT = "\ufffd"
_CUT = "…"

UNSAFE = (
    "\x00-\x1f\x7f-\x9f"  # C0, DEL, C1
    "\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2"  # soft hyphen, joiners, Arabic format controls
    "\u115f\u1160\u17b4\u17b5\u180b-\u180f"  # fillers, vowels and separators without a width
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f"  # zero width, line separators, bidi embeddings, overrides and isolates
    "\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"  # fillers, surrogates, variation selectors, BOM
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff"  # tags and the other variation selectors
)
"""The inside of a character class: what is never sent to a terminal."""

_UNSAFE = re.compile(f"[{UNSAFE}]")


def clean(value: str, limit: int = DISPLAY_LIMIT) -> str:
    """A string that is one line of plain text, of at most ``limit`` characters.

    Control, bidirectional and invisible characters become U+FFFD, so that their presence shows.
    """
    if len(value) > limit:
        value = value[: limit - 1] + _CUT
    return _UNSAFE.sub(REPLACEMENT, value)


def text(value: str, style: str = "", limit: int = DISPLAY_LIMIT) -> Content:
    """A value as Textual content in one style; brackets in it are brackets, never markup."""
    return Content.styled(clean(value, limit), style)


def optional(value: str | None) -> str:
    """A value that may be missing, as text for a cell."""
    return "–" if value is None else value
