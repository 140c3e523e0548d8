"""The library for programs without an event loop."""
