"""Services of systemd and launchd that run hostler: one description, and what each of the two makes of it."""
