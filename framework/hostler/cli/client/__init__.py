"""The commands that talk to a hostler in the background. They import neither click nor the engine."""
