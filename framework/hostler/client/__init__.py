"""Calls the hostler that supervises a configuration in another process."""
