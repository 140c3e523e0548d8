"""From plain values, of TOML or of Python, to what a spec holds; what is wrong is told with its place."""
