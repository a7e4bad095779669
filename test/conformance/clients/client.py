"""Scenes with Python's http.client, requests and sockets, as client.go. Arguments: http.client|requests, basic|full, base URL."""

import base64
import hashlib
import http.client
import os
import socket
import sys
import time
from urllib.parse import urlsplit

LIBRARY, GROUP, BASE = sys.argv[1:4]
HOST = urlsplit(BASE).hostname
PORT = urlsplit(BASE).port


def shown(status, content, headers):
    text = content.decode("latin-1")
    if len(content) > 100:
        text = f"{len(content)} {hashlib.sha256(content).hexdigest()}"
    names = ("content-type", "content-range", "content-encoding", "content-length")
    return f"{status} {text!r} {[headers.get(name) for name in names]}"


def by_http_client(method, path, content, fields):
    connection = http.client.HTTPConnection(HOST, PORT, timeout=20)
    connection.request(method, path, content, fields)
    response = connection.getresponse()
    result = shown(response.status, response.read(), response.headers)
    connection.close()
    return result


def by_requests(method, path, content, fields):
    response = SESSION.request(method, BASE + path, data=content, headers=fields, timeout=20, stream=True)
    return shown(response.status_code, response.raw.read(decode_content=False), response.headers)


def ask(scene, method, path, content=None, fields=None):
    # Else http.client tells no length of what it can iterate, and requests asks for compressed content.
    fields = {"Accept-Encoding": "identity", **(fields or {})}
    try:
        result = (by_requests if LIBRARY == "requests" else by_http_client)(method, path, content, fields)
    except Exception as error:
        result = f"error {error!r}"
    print(f"{scene}\t{result}", flush=True)


def received(connection, is_enough):
    """Bytes until there are enough of them, or the end."""
    found = b""
    while not is_enough(found):
        more = connection.recv(65536)
        if not more:
            break
        found += more
    return found


def raw(scene, sent, is_enough):
    with socket.create_connection((HOST, PORT), 20) as connection:
        connection.sendall(sent)
        found = received(connection, is_enough)
    print(f"{scene}\t{found.count(b'HTTP/1.1 200')} {found.count(b'GET /echo?')}", flush=True)


def pipeline():
    one = "GET /echo?{} HTTP/1.1\r\nHost: origin\r\n\r\n"
    sent = "".join(one.format(i) for i in range(5)).encode()
    raw("pipeline", sent, lambda found: found.count(b"GET /echo?4") == 1)


def half_closed():
    with socket.create_connection((HOST, PORT), 20) as connection:
        connection.sendall(b"GET /204 HTTP/1.1\r\nHost: origin\r\nConnection: close\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        found = received(connection, lambda _: False)
    print(f"half closed\t{found.split(bytes([13]))[0]!r}", flush=True)


def web_socket():
    key = base64.b64encode(os.urandom(16)).decode()
    accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest())
    with socket.create_connection((HOST, PORT), 20) as connection:
        connection.sendall(
            f"GET /ws HTTP/1.1\r\nHost: origin\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        head = received(connection, lambda found: b"\r\n\r\n" in found)
        frame = b"\x81\x85\x00\x00\x00\x00hello"
        connection.sendall(frame)
        echoed = received(connection, lambda found: len(found) >= len(frame))
        connection.shutdown(socket.SHUT_WR)
        rest = received(connection, lambda _: False)
    print(f"web socket\t{head[:12]!r} {accept in head} {echoed!r} {rest!r}", flush=True)


def give_up():
    key = f"python{time.time_ns()}"
    connection = socket.create_connection((HOST, PORT), 20)
    connection.sendall(f"GET /slow?{key} HTTP/1.1\r\nHost: origin\r\n\r\n".encode())
    received(connection, lambda found: b"\r\n\r\n" in found)
    connection.close()
    until = time.monotonic() + 10
    answer = ""
    while "true" not in answer and time.monotonic() < until:
        answer = by_http_client("GET", f"/gone?{key}", None, {})
        time.sleep(0.02)
    print(f"given up\t{'true' in answer}", flush=True)


if LIBRARY == "requests":
    import requests

    SESSION = requests.Session()

ask("get", "GET", "/echo?a=b")
ask("odd characters", "GET", "/echo?filter=a|b&q={x}&m[]=^&p=50%")
ask("head", "HEAD", "/echo")
ask("content of a length", "POST", "/echo", b"hello")
ask("content without a length", "POST", "/echo", iter([b"hel", b"lo"]))
ask("large upload", "PUT", "/echo", bytes(1 << 20))
ask("delete", "DELETE", "/echo")
if GROUP == "full":
    ask("204", "GET", "/204")
    ask("redirect", "POST", "/redirect", b"again")
    ask("large", "GET", "/large")
    ask("range", "GET", "/large", None, {"Range": "bytes=10-29"})
    ask("304", "GET", "/large", None, {"If-None-Match": '"v1"'})
    ask("gzip", "GET", "/gzip", None, {"Accept-Encoding": "gzip"})
    ask("trailers", "GET", "/trailers")
    ask("early hints", "GET", "/early")
    if LIBRARY == "http.client":
        pipeline()
        half_closed()
        web_socket()
        give_up()
