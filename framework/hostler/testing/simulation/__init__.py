"""Simulated time, processes and output, for thousands of server lifecycles in seconds."""
