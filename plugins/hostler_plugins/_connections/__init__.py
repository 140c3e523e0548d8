"""What several plugins need to connect to a server: its identity, headers with secrets, a quick end."""
