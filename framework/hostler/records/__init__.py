"""What is kept of servers: states, memory, crashes; and reading it from another process."""
