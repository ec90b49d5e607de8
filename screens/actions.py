"""The one registry of what an analyst can do. Bindings, footer, help and palette are all made from it."""

from dataclasses import dataclass

from textual.binding import Binding

MODES: tuple[tuple[str, str, str], ...] = (
    ("dashboard", "Dashboard", "What is happening now: figures and live streams"),
    ("alerts", "Alerts", "Detections awaiting review, newest first"),
    ("cases", "Cases", "Investigations, the soonest due first"),
    ("analytics", "Analytics", "Trends, categories, reasons, rules, latency"),
    ("customers", "Customers", "Cards by risk, and the profile of each"),
    ("model", "Model", "What scores, and how far traffic has moved from what it was calibrated on"),
)
"""Name, title and purpose of the top-level screens, in the order of their keys."""


@dataclass(frozen=True, slots=True)
class Action:
    """Something an analyst can do. ``id`` is stable: a keymap of the user's own refers to it."""

    id: str
    keys: str
    method: str
    label: str
    help: str
    footer: bool = True
    display: str | None = None
    priority: bool = False
    group: Binding.Group | None = None

    def binding(self) -> Binding:
        """The Textual binding; help and palette read the long text from its tooltip."""
        return Binding(
            self.keys,
            self.method,
            self.label,
            show=self.footer,
            key_display=self.display,
            priority=self.priority,
            tooltip=self.help,
            id=self.id,
            group=self.group,
        )


def bindings(*actions: Action) -> list[Binding]:
    """The bindings of some actions, in order."""
    return [action.binding() for action in actions]


_SCREENS = Binding.Group("Screens", compact=True)

GLOBAL = (
    *(
        Action(f"app.{name}", str(key), f"show_screen('{name}')", title, purpose, group=_SCREENS)
        for key, (name, title, purpose) in enumerate(MODES, start=1)
    ),
    Action(
        "app.review", "r", "review", "Review", "Judge transactions that raised no alert, drawn at random", footer=False
    ),
    Action("app.help", "question_mark", "help", "Help", "The keys of this screen", display="?"),
    Action("app.palette", "ctrl+p", "command_palette", "Palette", "Find any screen or action by name", display="^p"),
    Action("app.theme", "T", "change_theme", "Theme", "Choose a dark or light theme", footer=False),
    Action("app.quit", "q", "quit", "Quit", "Leave; everything is stored already"),
    Action("app.quit_always", "ctrl+c", "quit", "Quit", "Leave, also while typing", footer=False, priority=True),
)

GIVEN_UP_FIRST: tuple[frozenset[str], ...] = (
    frozenset(f"app.{name}" for name, *_ in MODES),
    frozenset({"app.palette"}),
)
"""What the footer leaves out, in this order, where it is too narrow: the masthead shows the keys of the screens."""

OPEN_RECORD = Action("list.open", "enter", "open", "Open", "Show the line under the cursor in full", display="↵")

LIST = (
    OPEN_RECORD,
    Action("list.up", "up,k", "move(-1)", "Up", "Move the cursor up", footer=False),
    Action("list.down", "down,j", "move(1)", "Down", "Move the cursor down", footer=False),
    Action("list.page_up", "pageup", "move_page(-1)", "Page up", "Move the cursor up by a page", footer=False),
    Action("list.page_down", "pagedown", "move_page(1)", "Page down", "Move the cursor down by a page", footer=False),
    Action("list.first", "home,g", "first", "First", "Move the cursor to the first line", footer=False),
    Action("list.last", "end,G", "last", "Last", "Move the cursor to the last line", footer=False),
)

NEXT_PANE = Action("pane.next", "tab", "app.focus_next", "List", "Go to the next list of this screen", display="tab")

_DISPOSE = Binding.Group("Dispose", compact=True)

DISPOSE = (
    Action("dispose.fraud", "f", "dispose('confirmed_fraud')", "Fraud", "Dispose: confirmed fraud", group=_DISPOSE),
    Action(
        "dispose.false_positive",
        "x",
        "dispose('false_positive')",
        "False pos.",
        "Dispose: false positive, the card's usual business",
        group=_DISPOSE,
    ),
    Action(
        "dispose.authorised",
        "a",
        "dispose('customer_error')",
        "Authorised",
        "Dispose: the customer authorised it, or erred",
        group=_DISPOSE,
    ),
    Action(
        "dispose.inconclusive",
        "i",
        "dispose('inconclusive')",
        "Unclear",
        "Dispose: inconclusive, nothing is learnt from it",
        group=_DISPOSE,
    ),
)

UNDO = Action("decision.undo", "z", "undo", "Undo", "Take your last decision back, and the one before it")

ALERTS = (
    Action("alerts.level", "l", "next_level", "Level", "One level only: all, then LOW to CRITICAL"),
    Action("alerts.status", "s", "next_status", "Status", "One status only: all, then new to false positive"),
    Action("alerts.newest", "n", "newest", "Newest", "Go to the newest alerts, and follow them"),
    Action("alerts.more", "m", "more", "More", "Load the next older alerts"),
    *DISPOSE,
    UNDO,
)

_STEP = Binding.Group("Go", compact=True)

ALERT_DETAIL = (
    Action("alert.back", "escape", "back", "Back", "Back to the list", display="esc"),
    Action("alert.next", "j", "step(1)", "Next", "The next alert of the list", group=_STEP),
    Action("alert.previous", "k", "step(-1)", "Prev", "The previous alert of the list", group=_STEP),
    Action("alert.what_if", "w", "what_if", "What if", "Find the change that would clear this alert"),
    Action("alert.case", "c", "case", "Case", "The case this alert belongs to"),
    Action("alert.customer", "p", "customer", "Card", "The profile of the card"),
    *DISPOSE,
    UNDO,
)

CASES = (
    Action("cases.status", "s", "next_status(1)", "Status", "Show the cases of the next status"),
    Action("cases.status_back", "S", "next_status(-1)", "Status", "Show the cases of the status before", footer=False),
    Action("cases.more", "m", "more", "More", "Load more cases"),
)

CASE_DETAIL = (
    Action("case.back", "escape", "back", "Back", "Back to where you came from", display="esc"),
    Action("case.customer", "p", "customer", "Card", "The profile of the card"),
    NEXT_PANE,
    *DISPOSE,
)

REVIEW = (
    Action("review.back", "escape", "back", "Back", "Back to where you came from", display="esc"),
    Action("review.fraud", "f", "judge(True)", "Fraud", "This transaction was fraud"),
    Action("review.honest", "h", "judge(False)", "Honest", "This transaction was honest"),
    UNDO,
)

CONFIRM = (
    Action("confirm.yes", "y", "answer(True)", "Yes", "Do it"),
    Action("confirm.no", "n,escape", "answer(False)", "No", "Leave it as it is"),
)

MODEL = (Action("model.models", "m", "models", "Models", "The models that learn from labels: train, compare, promote"),)

_ROLES = (
    Action("models.promote", "P", "promote", "Promote", "Let the challenger decide"),
    Action("models.rollback", "R", "roll_back", "Roll back", "Let that model decide again which did before"),
)

MODELS = (
    Action("models.back", "escape", "back", "Back", "Back to the serving model and its drift", display="esc"),
    Action("models.compare", "c", "compare", "Compare", "Champion and challenger on the same transactions"),
    Action("models.train", "t", "train", "Train", "Train a model on all labels, in the background"),
    *_ROLES,
)

COMPARISON = (
    Action("comparison.back", "escape", "back", "Back", "Back to the models", display="esc"),
    Action("comparison.again", "a", "again", "Again", "Compare again, with what has been scored since"),
    *_ROLES,
)

CUSTOMERS = (
    Action("customers.search", "slash", "search", "Search", "Find cards by the start of their id", display="/"),
    Action("customers.leave_search", "escape", "leave_search", "List", "Leave the search field", display="esc"),
    Action("customers.rings", "o", "rings", "Rings", "Merchants where cards seem to be taken, and the cards exposed"),
    Action("customers.more", "m", "more", "More", "Load more cards"),
)

PROFILE = (
    Action("profile.back", "escape", "back", "Back", "Back to where you came from", display="esc"),
    NEXT_PANE,
)

RINGS = (
    Action("rings.back", "escape", "back", "Back", "Back to the cards", display="esc"),
    NEXT_PANE,
)

HELP = (Action("help.close", "escape,question_mark,q", "close", "Close", "Back to the screen", display="esc"),)
