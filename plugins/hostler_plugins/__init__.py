"""The bundled plugins: one file, one plugin, one class."""
