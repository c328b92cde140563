"""Health server: `GET /health` says whether the servers it watches are there. Environment: LOG_DIR, LOG_LEVEL, HEALTH_PORT, HEALTH_WATCHED.

HEALTH_WATCHED names what to watch, as `name=host:port`, separated by commas.
"""

import json
import logging
import os
import socket
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import logspool

LOG_DIR = Path(os.environ.get("LOG_DIR", "logs"))
LOG_DIR.mkdir(parents=True, exist_ok=True)
logger = logging.getLogger("health-server")
logger.setLevel(os.environ.get("LOG_LEVEL", "INFO"))
handler = logspool.SpoolHandler(LOG_DIR / "health-server.jsonl", maxBytes=10_485_760, backupCount=5)
logger.addHandler(handler)

WATCHED = dict(entry.split("=", 1) for entry in os.environ.get("HEALTH_WATCHED", "").split(",") if entry)


def answers(name: str, address: str) -> bool:
    """Whether something takes connections there."""
    host, _, port = address.rpartition(":")
    began = time.perf_counter()
    try:
        with socket.create_connection((host, int(port)), timeout=1):
            pass
    except OSError as error:
        logger.error("%s does not answer: %s", name, error, extra={"watched": name, "status": "down"})
        return False
    latency_ms = (time.perf_counter() - began) * 1000
    logger.info("%s answers", name, extra={"watched": name, "status": "up", "latency_ms": round(latency_ms, 3)})
    return True


class Health(BaseHTTPRequestHandler):
    """One answer: 200 if all that is watched is there, else 503."""

    def do_GET(self) -> None:
        if self.path != "/health":
            self.send_error(404)
            return
        states = {name: answers(name, address) for name, address in WATCHED.items()}
        body = json.dumps({"status": "ok" if all(states.values()) else "degraded", "servers": states}).encode()
        self.send_response(200 if all(states.values()) else 503)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        logger.info(format, *args, extra={"client": self.client_address[0]})


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("HEALTH_PORT", "8099"))), Health)
    logger.info("listening on port %d", server.server_port)
    server.serve_forever()
