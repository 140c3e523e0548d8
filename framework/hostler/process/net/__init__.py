"""Ports and listening sockets, and the processes that own them."""
