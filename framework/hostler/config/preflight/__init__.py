"""What `hostler check` finds before a start, without starting anything."""
