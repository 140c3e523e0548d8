"""What `hostler top` shows over its table: a text, and a question."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from hostler.text.sanitize import harmless


class Page(ModalScreen[None]):
    """A text to read, such as a crash record; it may be of a server."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape,q,enter", "dismiss", "Back")]
    CSS = """
    Page { align: center middle; }
    Page > VerticalScroll { width: 90%; height: 90%; border: solid $foreground; padding: 0 1; }
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = harmless(text)

    def compose(self) -> ComposeResult:
        """The text, and how to leave it."""
        with VerticalScroll():
            yield Static(self._text, markup=False, id="page")
            yield Static("\nEscape: back", markup=False)


class Question(ModalScreen[bool]):
    """A question with yes or no."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("y,enter", "answer(True)", "Yes"),
        ("n,escape,q", "answer(False)", "No"),
    ]
    CSS = """
    Question { align: center middle; }
    Question > Static { width: auto; height: auto; border: solid $foreground; padding: 0 2; }
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = harmless(text)

    def compose(self) -> ComposeResult:
        """The question, and its keys."""
        yield Static(f"{self._text}\n\ny: yes   n: no", markup=False, id="question")

    def action_answer(self, answer: bool) -> None:
        """Close it with this answer."""
        self.dismiss(answer)
