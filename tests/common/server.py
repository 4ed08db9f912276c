"""A web server for tests, which answers as it is told."""

import http.server
import threading

import pytest

CONTENT = bytes(range(256)) * 4000


class Server(http.server.ThreadingHTTPServer):
    """Answers every path as `answers` says: status, headers and the parts of the body."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = {"/weights": (200, {"Content-Length": str(len(CONTENT))}, [CONTENT])}
        self.asked = []
        self.over = threading.Event()

    def address(self, path="/weights"):
        return f"http://127.0.0.1:{self.server_address[1]}{path}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append((self.path, dict(self.headers)))
        status, headers, parts = self.server.answers.get(self.path.partition("?")[0], (404, {}, []))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            for part in parts:
                self.wfile.write(part)
        except OSError:
            pass  # the client has left

    do_HEAD = do_GET

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server
    server.over.set()
    server.shutdown()
    thread.join()
    server.server_close()
