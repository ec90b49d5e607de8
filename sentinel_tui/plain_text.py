"""Text of the database for a terminal that no widget guards."""


def printable(text: str) -> str:
    """The text without what a terminal would obey; each such character becomes U+FFFD."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
