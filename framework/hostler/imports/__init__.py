"""How imports stay cheap: what a program does not use is imported, or generated, late."""
