"""Our own two themes: quiet surfaces, so that the colours of severity stand out."""

from textual.theme import Theme

DARK = Theme(
    name="sentinel-dark",
    primary="#4f8fd0",
    secondary="#7fb2c9",
    accent="#e8863a",
    foreground="#d6dbe1",
    background="#0f1317",
    surface="#141a20",
    panel="#1d252d",
    warning="#d9b13b",
    error="#e5484d",
    success="#4fae7b",
    dark=True,
)

LIGHT = Theme(
    name="sentinel-light",
    primary="#1f5fa8",
    secondary="#2b6f86",
    accent="#b65410",
    foreground="#1c2329",
    background="#f4f5f6",
    surface="#fbfbfc",
    panel="#e4e8ec",
    warning="#8a6a00",
    error="#b4232a",
    success="#1f7a4a",
    dark=False,
)
