"""TOML to specs and back: `load`, `from_dict`, `dump`."""
