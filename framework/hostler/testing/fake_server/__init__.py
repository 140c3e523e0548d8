"""A small HTTP server to be started as a real child: every switch is a way in which servers misbehave."""
