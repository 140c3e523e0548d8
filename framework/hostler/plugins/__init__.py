"""Plugins: found by name, built from their options, checked, and called so that one cannot spoil another."""
