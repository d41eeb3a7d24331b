"""A report that remembers."""

from __future__ import annotations


class RecordingReport:
    """Implements `Report`: keeps what it is told, in order, as `(kind, text)`."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    def progress(self, text: str) -> None:
        """Something is done."""
        self.said.append(("progress", text))

    def problem(self, text: str) -> None:
        """Something went wrong that the reader should know of."""
        self.said.append(("problem", text))

    @property
    def texts(self) -> list[str]:
        """Every line."""
        return [text for _, text in self.said]

    @property
    def problems(self) -> list[str]:
        """The lines that are problems."""
        return [text for kind, text in self.said if kind == "problem"]
