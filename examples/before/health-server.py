"""HTTP server that answers `GET /health`; anything else is not found.

Environment: LOG_DIR, HEALTH_PORT (0: one that is free, as the log says).
"""

import json
import logging
import logging.handlers
import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

LOG_DIR = Path(os.environ.get("LOG_DIR", "logs"))
LOG_DIR.mkdir(parents=True, exist_ok=True)
logger = logging.getLogger("health-server")
logger.setLevel(logging.INFO)
handler = logging.handlers.RotatingFileHandler(LOG_DIR / "health-server.log", maxBytes=10_485_760, backupCount=5)
handler.setFormatter(logging.Formatter("%(asctime)s - %(name)s - %(levelname)s - %(message)s"))
logger.addHandler(handler)

STARTED = time.monotonic()


class Health(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        healthy = self.path == "/health"
        body = json.dumps({"status": "ok", "uptime_s": round(time.monotonic() - STARTED, 3)} if healthy else {})
        self.send_response(200 if healthy else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        level = logging.INFO if code == 200 else logging.WARNING
        logger.log(level, "%s %s: %s", self.command, self.path, code, extra={"path": self.path, "http_status": code})


def main() -> None:
    with ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("HEALTH_PORT", "0"))), Health) as server:
        logger.info("listening on port %d", server.server_port, extra={"port": server.server_port})
        server.serve_forever()


if __name__ == "__main__":
    main()
