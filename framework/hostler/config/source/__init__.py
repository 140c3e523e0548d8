"""TOML files to one tree: read, composed, merged, overridden; each value knows its position."""
