"""What hostler needs of the init system that manages services."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from hostler.cli.service_files.definition import Service


class InitSystem(ABC):
    """Where the file of a service is, what stands in it, and which commands are for it.

    `may_repeat`: whether `enable` and `disable` do no harm to what is so already.
    """

    name: ClassVar[str]
    may_repeat: ClassVar[bool]

    @abstractmethod
    def path(self, service: Service, environ: Mapping[str, str]) -> Path:
        """Where the file of a service is."""

    @abstractmethod
    def text(self, service: Service) -> str:
        """The file of a service."""

    @abstractmethod
    def belongs(self, text: str, service: Service) -> bool:
        """Whether such a file is of the same configuration."""

    @abstractmethod
    def without_options(self, text: str, service: Service) -> str:
        """Such a file without what its command has behind the configuration."""

    @abstractmethod
    def hand_over(self, service: Service) -> str:
        """How somebody gives it another variable, in words."""

    @abstractmethod
    def enable(self, service: Service, path: Path) -> Sequence[Sequence[str]]:
        """The commands that have it run, now and at each start."""

    @abstractmethod
    def disable(self, service: Service) -> Sequence[str]:
        """The command that ends it, for good."""

    @abstractmethod
    def forget(self, service: Service) -> Sequence[Sequence[str]]:
        """The commands for when its file is removed."""

    @abstractmethod
    def restart(self, service: Service) -> Sequence[Sequence[str]]:
        """The commands that have it run as its file says by now."""

    @abstractmethod
    def ask(self, service: Service) -> Sequence[str]:
        """The command that says how it is."""

    @abstractmethod
    def state(self, code: int, answer: str) -> str:
        """How it is, in a word, by the exit code and the answer of that; "" where it does not tell."""
