"""Miniature data and a server of downloads, for all tests of interruptions."""

import contextlib
import http.server
import io
import random
import threading
import time
import zipfile

import pytest
from jobs import Jobs

BLOCK, PAUSE = 1 << 14, 0.02  # slow enough to be caught at work


def archive():
    """A zip of random bytes."""
    rng = random.Random(1)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        for number in range(8):
            file.writestr(f"photos/{number}.jpg", rng.randbytes(20_000))
    return packed.getvalue()


FILES = {"/plain.bin": random.Random(0).randbytes(200_000), "/photos.zip": archive()}


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `FILES` slowly, and the rest of one to who has its start."""

    def do_GET(self):
        body = FILES[self.path]
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("ETag", '"v1"')
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            for at in range(start, len(body), BLOCK):
                self.wfile.write(body[at : at + BLOCK])
                time.sleep(PAUSE)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_):
        """A client that was killed is no error here."""


@pytest.fixture(scope="session")
def address():
    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="session")
def jobs(tmp_path_factory, address):
    made = Jobs(tmp_path_factory.mktemp("jobs"), address)
    yield made
    made.close()
