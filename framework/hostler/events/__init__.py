"""What the engine reports: events, crash records, and their text."""
