"""Simulated time, processes and output, for thousands of lives of a server in seconds."""
