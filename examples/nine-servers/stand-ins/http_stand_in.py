"""What stands in for uvicorn and Vite: a server that answers every GET with {"status": "ok"}."""

import sys
from http.server import BaseHTTPRequestHandler, HTTPServer


class Ok(BaseHTTPRequestHandler):
    """Answers every GET."""

    def do_GET(self) -> None:
        """Answer as the API's own /healthz does."""
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(b'{"status": "ok"}')


def main() -> None:
    """Serve at `--host` and `--port` of the command line."""
    options = dict(zip(sys.argv, sys.argv[1:], strict=False))
    HTTPServer((options["--host"], int(options["--port"])), Ok).serve_forever()


if __name__ == "__main__":
    main()
