"""Tells on its standard output what Python's http.server read: one JSON object a request."""

import json
import os
import sys
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer


class Echo(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, *arguments):
        super().__init__(*arguments, directory="/")

    def answer(self):
        # It has no reader of chunks: with a length, or without content.
        length = int(self.headers.get("Content-Length") or 0)
        seen = {
            "port": self.client_address[1],
            "method": self.command,
            # Decoded and normalised, as what it serves files by.
            "path": os.path.normpath(self.translate_path(self.path)),
            "bytes": len(self.rfile.read(length)),
        }
        sys.stdout.write(json.dumps(seen) + "\n")
        sys.stdout.flush()
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(b"ok")

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_TRACE = answer

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Echo).serve_forever()
