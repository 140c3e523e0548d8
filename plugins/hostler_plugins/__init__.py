"""The bundled plugins: one file or folder, one plugin, one class.

What several of them share stands in modules with an underscore. `demo_server` is the old name of a program
that stands in hostler.testing now.
"""
