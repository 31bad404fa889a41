"""A client's end of a connection."""
import socket

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def connect(door, receive=None):
    """A connection; `receive`: the size of its receive buffer, for those who read slowly."""
    client = socket.socket()
    client.settimeout(30)
    if receive:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
    client.connect(door)
    return client


def get(path="/"):
    return f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n".encode()


def post(path, size, method="POST", more=""):
    return f"{method} {path} HTTP/1.1\r\nhost: a\r\ncontent-length: {size}\r\n{more}\r\n".encode()


def rest(client):
    """Everything up to the end, without what only asks whether one is there."""
    said = b""
    while piece := client.recv(65536):
        said += piece
    while said.startswith(CONTINUE):
        said = said[len(CONTINUE):]
    return said


def until(client, end, most=1 << 20):
    """What comes up to and with `end`, or until the other side ends."""
    said = b""
    while not said.endswith(end) and len(said) < most:
        piece = client.recv(65536)
        if not piece:
            break
        said += piece
    return said


def whole(said, ends_with=b"", count=1):
    """Whether that is so many good answers, the last of which ends so."""
    return said.startswith(b"HTTP/1.") and said.count(b" 200 OK\r\n") == count and said.endswith(ends_with)
