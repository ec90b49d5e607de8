"""Messages by which a screen asks for another one; the app answers them, so that screens need not know each other."""

from collections.abc import Callable

from textual.message import Message


class OpenAlert(Message):
    """Show one alert out of a list, so that the next and the previous are a key away.

    ``on_return`` is told which alert was on show when the analyst came back.
    """

    def __init__(self, alert_id: int, alert_ids: tuple[int, ...], on_return: Callable[[int], None]) -> None:
        super().__init__()
        self.alert_id = alert_id
        self.alert_ids = alert_ids
        self.on_return = on_return


class OpenCase(Message):
    """Show one case."""

    def __init__(self, case_id: int) -> None:
        super().__init__()
        self.case_id = case_id


class OpenRings(Message):
    """Show the merchants at which cards seem to be taken."""


class OpenCustomer(Message):
    """Show the profile of one card."""

    def __init__(self, card_id: str) -> None:
        super().__init__()
        self.card_id = card_id


class OpenModels(Message):
    """Show the models that learn from labels."""


class OpenComparison(Message):
    """Show champion and challenger on the same transactions."""
