"""Records of servers: states, memory and crashes; and reading them from another process."""
