"""Orders and answers as of client.c, without `talk`, `peer`, `tie`, `many`, `time` and `mark`."""
import socket
import sys


def ask(order, ip, port):
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    kind = socket.SOCK_STREAM if order == "tcp" else socket.SOCK_DGRAM
    with socket.socket(family, kind) as one:
        one.settimeout(20)
        if order == "tcp":
            one.connect((ip, port))
            peer = "peer %s %d" % one.getpeername()[:2]
            return peer + " said " + b"".join(iter(lambda: one.recv(256), b"")).decode()
        if order == "udp":
            one.sendto(b"?", (ip, port))
        else:
            one.connect((ip, port))
            one.send(b"?")
        text, origin = one.recvfrom(256)
        peer = " peer %s %d" % one.getpeername()[:2] if order == "udpc" else ""
        return "from %s %d%s said %s" % (*origin[:2], peer, text.decode())


for line in sys.stdin:
    order, ip, port = line.split()
    try:
        print(ask(order, ip, int(port)), flush=True)
    except OSError as error:
        print("error", error.errno, flush=True)
