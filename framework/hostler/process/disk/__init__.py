"""Files and folders of hostler's own: locks, run records, the watchdog."""
