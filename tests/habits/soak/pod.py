"""A pod: a thread for each connection, and a path for each way to answer."""
import socket
import threading
import time

PIECE = b"x" * 65536


def listen():
    """A pod that listens, and its port."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)

    def accept():
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


def serve(connection):
    reader = connection.makefile("rb")
    try:
        while answer(connection, reader):
            pass
    except OSError:
        pass  # The proxy let go of it.
    finally:
        reader.close()
        connection.close()


def answer(connection, reader):
    """One request; whether another may follow."""
    line = reader.readline().split()
    if len(line) != 3:
        return False
    fields = dict(field.lower().split(b":", 1) for field in iter(lambda: reader.readline().strip(), b""))
    path, _, query = line[1].decode().partition("?")
    if path.startswith("/refuse"):
        return refuse(connection, reader, rude=query == "rude")
    if fields.get(b"expect", b"").strip() == b"100-continue":
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    got = swallow(reader, fields)
    if path == "/slow":
        time.sleep(float(query))
    if path == "/big":
        return big(connection, int(query))
    if path == "/tokens":
        return tokens(connection, int(query))
    body = b"got %d" % got
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
    return True


def swallow(reader, fields):
    """Reads the body; how long it was."""
    if fields.get(b"transfer-encoding", b"").strip() == b"chunked":
        total = 0
        while size := int(reader.readline().split(b";")[0], 16):
            total += len(reader.read(size))
            reader.readline()
        reader.readline()
        return total
    left = total = int(fields.get(b"content-length", b"0"))
    while left:
        piece = reader.read(min(left, 1 << 20))
        if not piece:
            raise OSError("the upload ended early")
        left -= len(piece)
    return total


def refuse(connection, reader, rude):
    """413 before the upload has come; the rude way leaves the rest unread, so the kernel resets it."""
    connection.sendall(b"HTTP/1.1 413 Too Large\r\ncontent-length: 8\r\nconnection: close\r\n\r\ntoolarge")
    if not rude:
        connection.shutdown(socket.SHUT_WR)
        while reader.read(65536):
            pass
    return False


def big(connection, size):
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
    while size:
        piece = PIECE[:size]
        connection.sendall(piece)
        size -= len(piece)
    return True


def tokens(connection, count):
    connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    for number in range(count):
        connection.sendall(b"6\r\ntoken%d\r\n" % (number % 10))
        time.sleep(0.05)
    connection.sendall(b"0\r\n\r\n")
    return True
