"""Serves one function over HTTP/1.1 (RFC 9112): the instance contract.

It listens on the socket it inherits (file descriptor 3, LISTEN_FDS=1), else on the unix socket
$SOCKET, else on $HOST:$PORT (127.0.0.1 without HOST); answers "OPTIONS *" once the function is loaded; runs each
connection on a thread of its own; drains on SIGTERM.

Start-up time decides what is imported: only modules that are part of the interpreter itself. The
json package alone (with the re and enum that it imports) would take longer than all of this, so its C half
is used directly, where it is what it is known to be.
"""

import _signal
import _socket
import _thread
import posix
import sys
import time

MAX_HEAD = 72 << 10
MAX_BODY = 64 << 20
SIGTERM, SIGINT = 15, 2
AF_UNIX, AF_INET, SOCK_STREAM = _socket.AF_UNIX, _socket.AF_INET, _socket.SOCK_STREAM

REASONS = {
    200: "OK", 201: "Created", 202: "Accepted", 204: "No Content", 301: "Moved Permanently", 302: "Found",
    303: "See Other", 304: "Not Modified", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden",
    404: "Not Found", 405: "Method Not Allowed", 409: "Conflict", 413: "Content Too Large",
    422: "Unprocessable Content", 429: "Too Many Requests", 431: "Request Header Fields Too Large",
    500: "Internal Server Error", 501: "Not Implemented", 503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}
TOKEN = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
VISIBLE = bytes(range(33, 127))
CONTROL = bytes(c for c in range(128) if c < 32 and c != 9 or c == 127)
HEX = b"0123456789abcdefABCDEF"
FRAMING = ("content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade")


def consists(text, of):
    """Whether text is not empty and has no other bytes."""
    return text and not text.translate(None, of)


class Refused(Exception):
    """A request that breaks a rule of HTTP: answered with the status, then the connection ends."""

    def __init__(self, status, message):
        self.status, self.message = status, message


class Gone(Exception):
    """The peer closed the connection."""


class Context:
    """What a function knows of its call.

    function, revision: its name and version; request_id: "" if the caller gave none;
    deadline: when the call ends, in seconds since the Unix epoch, or None;
    method, path, query: of the request; headers: a dict with lower-case names.
    """

    __slots__ = ("function", "revision", "request_id", "deadline", "method", "path", "query", "headers")

    def remaining(self):
        """The seconds until the deadline, or None without one."""
        return None if self.deadline is None else max(0.0, self.deadline - time.time())


def env(name):
    return posix.environ.get(name, b"").decode("utf-8", "replace")


class Server:
    def __init__(self, handle):
        self.handle = handle
        self.function = env(b"K_SERVICE")
        self.revision = env(b"K_REVISION")
        self.lock = _thread.allocate_lock()
        self.busy = 0
        self.draining = False
        self.listener = listen()

    def serve(self):
        _signal.signal(SIGTERM, self.drain)
        _signal.signal(SIGINT, self.drain)
        while not self.draining:
            try:
                fd, _ = self.listener._accept()
            except OSError as e:
                if not self.draining:
                    sys.stderr.write("function: accept: %s\n" % e)
                    time.sleep(0.05)  # out of descriptors, most likely
                continue
            conn = _socket.socket(self.listener.family, SOCK_STREAM, self.listener.proto, fd)
            try:
                _thread.start_new_thread(self.connection, (conn,))
            except RuntimeError as e:  # out of threads
                sys.stderr.write("function: %s\n" % e)
                conn.close()
        while self.busy:
            time.sleep(0.005)

    def drain(self, *_):
        # Runs between two instructions of the main thread, or inside its accept, which then fails.
        self.draining = True
        self.listener.close()

    def connection(self, conn):
        try:
            if conn.family != AF_UNIX:
                conn.setsockopt(6, 1, 1)  # IPPROTO_TCP, TCP_NODELAY
            wire = Wire(conn)
            while self.exchange(wire):
                pass
        except (Gone, OSError):
            pass
        except BaseException:  # a fault of this file; the connection ends, the server does not
            sys.excepthook(*sys.exc_info())
        finally:
            conn.close()

    def exchange(self, wire):
        """One request and its answer; returns whether the connection goes on."""
        head = wire.head()
        with self.lock:
            self.busy += 1
        try:
            try:
                req = Request(head)
                body = wire.body(req)
            except Refused as e:
                wire.send(e.status, [("Content-Type", "text/plain; charset=utf-8")], e.message.encode(), False, False)
                wire.linger()
                return False
            if req.target == "*":
                status, headers, payload = (200, [("Allow", "*")], b"") if req.method == "OPTIONS" else (400, [], b"")
            else:
                status, headers, payload = self.call(req, body)
            keep = req.keep and not self.draining
            wire.send(status, headers, payload, keep, req.method == "HEAD")
            return keep
        finally:
            with self.lock:
                self.busy -= 1

    def call(self, req, body):
        try:
            try:
                event = decode(req, body)
            except (ValueError, RecursionError) as e:
                return failure(400, e)
            c = Context()
            c.function, c.revision = self.function, self.revision
            c.method, c.headers = req.method, req.headers
            c.path, _, c.query = req.target.partition("?")
            c.request_id = req.headers.get("x-request-id", "")
            deadline = req.headers.get("x-request-deadline", "")
            c.deadline = int(deadline) / 1000 if deadline.isdigit() else None
            return encode(self.handle(event, c))
        except BaseException as e:  # SystemExit of a function ends the call, not the instance
            sys.excepthook(*sys.exc_info())
            return failure(500, e)


def listen():
    if env(b"LISTEN_FDS") == "1":
        for name in (b"LISTEN_FDS", b"LISTEN_PID"):
            posix.environ.pop(name, None)
        posix.set_inheritable(3, False)
        return _socket.socket(fileno=3)
    if env(b"SOCKET"):
        s = _socket.socket(AF_UNIX, SOCK_STREAM)
        s.bind(env(b"SOCKET"))
    elif env(b"PORT"):
        s = _socket.socket(AF_INET, SOCK_STREAM)
        s.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        s.bind((env(b"HOST") or "127.0.0.1", int(env(b"PORT"))))
    else:
        sys.exit("function: none of LISTEN_FDS=1, SOCKET and PORT is set")
    s.listen(1024)
    return s


class Request:
    """A request's head, checked."""

    def __init__(self, head):
        line, *fields = head.split(b"\r\n")
        parts = line.split(b" ")
        if len(parts) != 3 or not consists(parts[0], TOKEN):
            raise Refused(400, "the request line is malformed")
        if not consists(parts[1], VISIBLE):
            raise Refused(400, "the request target is malformed")
        if parts[2] not in (b"HTTP/1.1", b"HTTP/1.0"):
            raise Refused(505, "only HTTP/1.1 and HTTP/1.0")
        self.method, self.target = parts[0].decode(), parts[1].decode()
        self.headers = h = {}
        for f in fields:
            name, colon, value = f.partition(b":")
            if not colon or not consists(name, TOKEN):
                raise Refused(400, "a header field is malformed")
            value = value.strip(b" \t")
            if len(value.translate(None, CONTROL)) != len(value):
                raise Refused(400, "a header field has a control character")
            name, value = name.decode().lower(), value.decode("utf-8", "surrogateescape")
            if name in h:
                if name in ("content-length", "host", "transfer-encoding"):
                    raise Refused(400, name + " is there twice")
                value = h[name] + ("; " if name == "cookie" else ", ") + value
            h[name] = value
        if parts[2] == b"HTTP/1.1" and "host" not in h:
            raise Refused(400, "the Host field is missing")
        self.keep = parts[2] == b"HTTP/1.1"
        if "connection" in h:
            connection = [v.strip() for v in h["connection"].lower().split(",")]
            self.keep = "close" not in connection and (self.keep or "keep-alive" in connection)
        self.expect = h.get("expect", "").lower() == "100-continue"
        self.length, self.chunked = 0, False
        if "transfer-encoding" in h:
            if "content-length" in h or parts[2] == b"HTTP/1.0":
                raise Refused(400, "the length of the body is ambiguous")
            if h["transfer-encoding"].lower() != "chunked":
                raise Refused(501, "the only transfer coding is chunked")
            self.chunked = True
        elif "content-length" in h:
            n = h["content-length"]
            if not (n.isascii() and n.isdigit() and len(n) < 19):
                raise Refused(400, "content-length is not a number")
            self.length = int(n)
            if self.length > MAX_BODY:
                raise Refused(413, "the body is larger than %d bytes" % MAX_BODY)


class Wire:
    """A connection's bytes."""

    def __init__(self, conn):
        self.conn, self.buf = conn, bytearray()

    def more(self):
        data = self.conn.recv(65536)
        if not data:
            raise Gone
        self.buf += data

    def take(self, n):
        while len(self.buf) < n:
            self.more()
        data = bytes(self.buf[:n])
        del self.buf[:n]
        return data

    def until(self, end, most):
        at, seen = -1, 0
        while True:
            at = self.buf.find(end, seen)
            if at >= 0 or len(self.buf) > most:
                break
            seen = max(0, len(self.buf) - len(end) + 1)
            self.more()
        if at < 0 or at > most:
            raise Refused(431, "the head is larger than %d bytes" % most)
        return self.take(at + len(end))[:-len(end)]

    def head(self):
        while True:
            try:
                head = self.until(b"\r\n\r\n", MAX_HEAD)
            except Refused as e:
                self.send(e.status, [], e.message.encode(), False, False)
                self.linger()
                raise Gone
            head = head.lstrip(b"\r\n")  # an empty line before a request is ignored (RFC 9112, 2.2)
            if head:
                return head

    def body(self, req):
        if req.expect and (req.chunked or req.length) and not self.buf:
            self.conn.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if not req.chunked:
            return self.take(req.length)
        body = bytearray()
        while True:
            line = self.until(b"\r\n", 4096).partition(b";")[0].strip(b" \t")
            if len(line) > 15 or not consists(line, HEX):
                raise Refused(400, "a chunk's size is malformed")
            n = int(line, 16)
            if n == 0:
                while self.until(b"\r\n", MAX_HEAD):
                    pass  # trailer fields
                return bytes(body)
            if len(body) + n > MAX_BODY:
                raise Refused(413, "the body is larger than %d bytes" % MAX_BODY)
            body += self.take(n)
            if self.take(2) != b"\r\n":
                raise Refused(400, "a chunk is longer than its size")

    def send(self, status, headers, body, keep, head_only):
        lines = ["HTTP/1.1 %d %s" % (status, REASONS.get(status, ""))]
        lines += ["%s: %s" % h for h in headers]
        if status == 204 or status == 304:
            body = b""
        else:
            lines.append("Content-Length: %d" % len(body))
        if not keep:
            lines.append("Connection: close")
        data = ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")
        if head_only or not body:
            self.conn.sendall(data)
        elif len(body) < 1 << 16:
            self.conn.sendall(data + body)
        else:
            self.conn.sendall(data)
            self.conn.sendall(body)

    def linger(self):
        """Reads what the peer still sends, for a moment: closing at once would take the answer away from it."""
        try:
            self.conn.shutdown(1)
            self.conn.settimeout(0.5)
            end = time.monotonic() + 1
            while time.monotonic() < end and self.conn.recv(65536):
                pass
        except OSError:
            pass


def decode(req, body):
    """The event: parsed JSON, text, or bytes, by the content type."""
    kind = req.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        return loads(body.decode("utf-8")) if body else None
    if kind.startswith("text/"):
        try:
            return body.decode("utf-8")
        except UnicodeDecodeError:
            return body
    return body


def encode(result):
    """The answer of a function's result: (status, headers, body)."""
    status, headers = 200, []
    if isinstance(result, dict) and "statusCode" in result:
        status = result["statusCode"]
        if not isinstance(status, int) or not 200 <= status <= 599:
            raise ValueError("statusCode %r is not a number from 200 to 599" % (status,))
        for name, value in (result.get("headers") or {}).items():
            for v in value if isinstance(value, (list, tuple)) else (value,):
                v = str(v)
                raw = v.encode("utf-8", "surrogateescape")
                if not consists(name.encode(), TOKEN) or len(raw.translate(None, CONTROL)) != len(raw):
                    raise ValueError("header %r has a value or a name that is not allowed" % (name,))
                if name.lower() not in FRAMING:
                    headers.append((name, v))
        result = result.get("body")
    typed = any(name.lower() == "content-type" for name, _ in headers)
    if result is None:
        return status, headers, b""
    if isinstance(result, (bytes, bytearray, memoryview)):
        kind, body = "application/octet-stream", bytes(result)
    elif isinstance(result, str):
        kind, body = "text/plain; charset=utf-8", result.encode()
    else:
        kind, body = "application/json", dumps(result).encode()
    if not typed:
        headers.append(("Content-Type", kind))
    return status, headers, body


def failure(status, e):
    body = dumps({"errorType": type(e).__name__, "errorMessage": str(e)})
    return status, [("Content-Type", "application/json")], body.encode()


class Scanner:
    """What the C scanner is told: strict JSON (RFC 8259)."""

    strict, object_hook, object_pairs_hook, parse_float, parse_int = True, None, None, float, int

    @staticmethod
    def parse_constant(name):
        raise ValueError(name + " is not JSON")


def refuse(o):
    raise TypeError("Object of type %s is not JSON serializable" % type(o).__name__)


def loads(text):
    """json.loads, without NaN and Infinity."""
    try:
        value, end = scan(text, 0)
        if end == len(text):
            return value
    except (StopIteration, SystemError):  # SystemError: it looks for json's exception and does not find it
        pass
    import json  # spaces around the value, or no JSON: the error is json's

    return json.loads(text, parse_constant=Scanner.parse_constant)


def dumps(value):
    """json.dumps(value, allow_nan=False)."""
    return "".join(_json.make_encoder({}, refuse, _json.encode_basestring_ascii, None, ": ", ", ", False, False, False)(value, 0))


try:
    import _json

    scan = _json.make_scanner(Scanner)
    if dumps([1, "a", {"b": None}]) != '[1, "a", {"b": null}]' or loads('[1, "a"]') != [1, "a"]:
        raise ImportError
except (ImportError, AttributeError, TypeError):  # another interpreter than the ones it is known of
    import json

    def dumps(value):
        return json.dumps(value, allow_nan=False)

    scan = json.JSONDecoder(parse_constant=Scanner.parse_constant).scan_once


def main(root, module, name):
    sys.path.insert(0, root + "/app")
    sys.path.append(root + "/deps")
    sys.stdout.reconfigure(line_buffering=True)
    __import__(module)
    handle = getattr(sys.modules[module], name, None)
    if not callable(handle):
        sys.exit("function: module %s has no function %s" % (module, name))
    Server(handle).serve()
