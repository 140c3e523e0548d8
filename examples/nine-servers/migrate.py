"""A migration: it needs the database, and is done when it has exited."""

import os
import socket
from urllib.parse import urlsplit

url = urlsplit(os.environ["REDIS_URL"])
with socket.create_connection((url.hostname, url.port), 5):
    print("migrated", url.scheme)
