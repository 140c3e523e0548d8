"""TOML to specs and back: `load`, `from_dict`, `dump`."""

from hostler.config.loading import from_dict, load
from hostler.config.write import dump

__all__ = ["dump", "from_dict", "load"]
