"""How `hostler run` shows events: at a terminal, as plain lines, as JSON."""
