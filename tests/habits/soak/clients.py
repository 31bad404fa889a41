"""The habits. Each takes the door's address, and returns what it got when that is wrong."""
import random
import socket
import time

from .wire import connect, get, post, rest, until, whole

BIG = 3_000_000


def half_closed(door, request, ends_with, count=1, least=0):
    """Sends, ends its own direction, and reads to the end, as `nc -N` does."""
    with connect(door) as client:
        client.sendall(request)
        client.shutdown(socket.SHUT_WR)
        said = rest(client)
    return None if whole(said, ends_with, count) and len(said) >= least else said[:200]


def half_closed_get(door):
    return half_closed(door, get(), b"got 0")


def half_closed_upload(door):
    chunked = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    plain = post("/", 200_000) + b"z" * 200_000
    request, got = random.choice([(chunked, b"got 5"), (plain, b"got 200000")])
    return half_closed(door, request, got)


def half_closed_slow(door):
    return half_closed(door, get(f"/slow?{random.choice([0.3, 0.6, 6])}"), b"got 0")


def half_closed_answers(door):
    request, end, least = random.choice([(get(f"/big?{BIG}"), b"x", BIG), (get("/tokens?20"), b"0\r\n\r\n", 0)])
    return half_closed(door, request, end, least=least)


def half_closed_pipeline(door):
    return half_closed(door, get() * 5, b"got 0", count=5)


def pipeline(door):
    with connect(door) as client:
        client.sendall(get() * 50)
        said = b""
        while said.count(b"got 0") < 50:
            piece = client.recv(65536)
            if not piece:
                return said[-200:]
            said += piece
    return None if whole(said, b"got 0", 50) else said[:200]


def slow_reader(door):
    with connect(door, receive=4096) as client:
        client.sendall(get("/big?400000").replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
        total = 0
        while piece := client.recv(4096):
            total += len(piece)
            time.sleep(0.01)
    return None if total > 400_000 else total


def no_reader(door):
    """Asks for much, reads nothing and goes, with an end or a reset."""
    with connect(door, receive=4096) as client:
        client.sendall(get("/big?40000000"))
        time.sleep(random.random() * 5)
        if random.random() < 0.5:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def header_bomb(door):
    many = "".join(f"x-{n}: {'v' * 50}\r\n" for n in range(5000))
    bombs = [f"GET / HTTP/1.1\r\nhost: a\r\n{many}\r\n", f"GET / HTTP/1.1\r\nhost: a\r\nx: {'v' * 500_000}\r\n\r\n",
             f"GET /{'u' * 200_000} HTTP/1.1\r\nhost: a\r\n\r\n"]
    with connect(door) as client:
        try:
            client.sendall(random.choice(bombs).encode())
            said = until(client, b"\r\n\r\n", most=12)
        except (BrokenPipeError, ConnectionResetError):
            return None  # It was refused before all of it had come.
    return None if said[9:12] in (b"400", b"413", b"414", b"431") else said[:200]


def refused_upload(door):
    """30 MB for a pod that answers 413 at once; either way the answer must come."""
    with connect(door) as client:
        client.sendall(post(random.choice(["/refuse", "/refuse?rude"]), 30_000_000))
        try:
            for _ in range(460):
                client.sendall(b"z" * 65536)
        except (BrokenPipeError, ConnectionResetError):
            pass
        said = client.recv(4096)
    return None if said.startswith(b"HTTP/1.1 413 ") else said[:200]


def upload(door):
    with connect(door) as client:
        client.sendall(post("/", 20_000_000, "PUT"))
        for _ in range(200):
            client.sendall(b"w" * 100_000)
        said = until(client, b"got 20000000")
    return None if whole(said, b"got 20000000") else said[:200]


def asks_first(door):
    with connect(door) as client:
        client.sendall(post("/", 1000, more="expect: 100-continue\r\n"))
        told = until(client, b"\r\n\r\n")
        client.sendall(b"q" * 1000)
        said = until(client, b"got 1000")
    return None if told.startswith(b"HTTP/1.1 100 ") and whole(said, b"got 1000") else (told + said)[:200]


def trickles(door):
    with connect(door) as client:
        for byte in get():
            client.sendall(bytes([byte]))
            time.sleep(0.02)
        said = until(client, b"got 0")
    return None if whole(said, b"got 0") else said[:200]


def goes(door):
    """Leaves in the midst of a wait, an upload, a head, or without a word."""
    with connect(door) as client:
        client.sendall(random.choice([get("/slow?2"), post("/", 1000) + b"abc", b"GET /str", b""]))
        time.sleep(random.random() * 0.3)


HABITS = [half_closed_get, half_closed_upload, half_closed_slow, half_closed_answers, half_closed_pipeline, pipeline, slow_reader,
          no_reader, header_bomb, refused_upload, upload, asks_first, trickles, goes]
