"""Tells on its standard output what a WSGI server read: one JSON object a request."""

import json
import posixpath
import sys


def app(environ, start_response):
    content = environ["wsgi.input"].read()
    seen = {
        "port": int(environ["REMOTE_PORT"]),
        "method": environ["REQUEST_METHOD"],
        # As what serves files reads it; WSGI has it decoded already.
        "path": posixpath.normpath(environ["PATH_INFO"]),
        "bytes": len(content),
    }
    sys.stdout.write(json.dumps(seen) + "\n")
    sys.stdout.flush()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [b"ok"]
