"""Converts plain values, of TOML or of Python, to what a spec holds; reports what is wrong with its place."""
