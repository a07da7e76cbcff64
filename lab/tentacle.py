#!/usr/bin/python3
"""A stand-in for the server of Tentacle, the file transport of Pandora FMS's agents, for hosts of the lab.

It reads the vendor's configuration and flags, and answers on the wire and fails as the vendor's does, also where
that is a trap. One file, to be copied to /usr/bin/tentacle_server; python3-minimal runs it, all but ZSEND and
ZRECV, which need libpython3-stdlib. Not in it: relaying, and running a file for the sake of its name.
"""

from __future__ import annotations

import contextlib
import getopt
import hashlib
import io
import os
import re
import select
import socket
import ssl
import sys
import threading
import time
from pathlib import Path

USAGE = """Usage: tentacle_server -s <storage directory> [-F configuration] [-a addresses] [-p port] [-c connections]
    [-d] [-e certificate] [-k key] [-f CA] [-w] [-x password] [-i filters] [-m size] [-o] [-I] [-q] [-r retries]
    [-t timeout] [-v | -V] [-l log] [-b relay address] [-g relay port] [-T] [-h]"""
FLAGS = "a:b:c:de:f:F:g:hIi:k:l:m:op:qr:s:S:t:TvVwx:"

BYTE = "0*(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])"
ADDRESS = re.compile(rf"[a-zA-Z.]+|[0-9a-f:]+|{BYTE}(?:\.{BYTE}){{3}}")
COMMAND = re.compile(
    "(?P<take>Z?SEND) <(?P<new>.*)> SIZE (?P<size>[0-9]+)$|(?P<give>Z?RECV|MV|LS) <(?P<name>.*)>$|(?P<quit>QUIT)$"
)


class FailedError(Exception):
    """What ends a connection, or the start of the daemon."""


class Log:
    """Lines for the log file, which is opened anew for each, or for the terminal."""

    path = ""
    level = 0
    quiet = False

    def say(self, text: str, level: int = 1) -> None:
        """At level 1 what matters, at 2 the rest."""
        if self.level >= level:
            self._write("log" if level == 1 else "info", f"{text}.")

    def error(self, text: str) -> None:
        """Say it and give up; but when quiet do neither, and the caller goes on as if nothing had been.

        Raises:
            FailedError: unless quiet.
        """
        if not self.quiet:
            self._write("err", text)
            raise FailedError(text)

    def _write(self, kind: str, text: str) -> None:
        line = f"{time.strftime('%Y-%m-%d %H:%M:%S')}[{kind}]{text}\n"
        if self.path:
            with Path(self.path).open("a", errors="surrogateescape") as file:
                file.write(line)
        else:
            print(line, end="", file=sys.stderr if kind == "err" else sys.stdout, flush=True)


def read_configuration(path: str) -> dict[str, str]:
    """The tokens of the file: a line of one begins with a letter, and the value is all of its rest."""
    try:
        lines = Path(path).read_bytes().decode(errors="surrogateescape").split("\n")
    except OSError:
        print(f"Configuration file {path} is not readable.")
        return {}
    found = (re.search(r"([\w.-]+)\s+(.*)", line, re.ASCII) for line in lines if re.match("[a-zA-Z]", line))
    return {each[1]: each[2] for each in found if each and each[2]}


class Settings:
    """What a flag says, else the configuration file, else the default.

    The order is the vendor's: an error in what comes after ``quiet`` does not count when that is set.
    """

    def __init__(self, flags: dict[str, str], log: Log) -> None:
        tokens = read_configuration(flags["F"]) if "F" in flags else {}

        def text(flag: str, token: str, default: str = "") -> str:
            return flags.get(flag, tokens.get(token, default))

        def switch(flag: str, token: str) -> bool:
            return flag in flags or tokens.get(token) == "1"

        def number(flag: str, token: str, default: int, most: float = float("inf")) -> int:
            value = text(flag, token, str(default))
            if re.fullmatch("[0-9]+", value) and 1 <= int(value) <= most:
                return int(value)
            log.error(f"Value {value} of {token} is not valid.")
            return default

        def existing(flag: str, token: str) -> str:
            path = text(flag, token)
            if path and not Path(path).is_file():
                log.error(f"File {path} does not exist.")
            return path

        if "S" in flags:
            log.error("Windows services are only available on Win32.")
        self.addresses = [each.strip(" ") for each in text("a", "addresses", "0").split(",")]
        for each in self.addresses:
            if not ADDRESS.fullmatch(each):
                log.error(f"Address {each} is not valid.")
        self.most_connections = number("c", "max_connections", 10)
        self.daemon = switch("d", "daemon")
        self.certificate = existing("e", "ssl_cert")
        self.ca = existing("f", "ssl_ca")
        self.insecure = switch("I", "insecure")
        filters = (pair.split(":") for pair in text("i", "filters").split(";"))
        self.filters = [(regex, folder[0]) for regex, *folder in filters if folder and folder != [""]]
        self.key = existing("k", "ssl_key")
        self.most_bytes = number("m", "max_size", 2000000)
        self.overwrite = switch("o", "overwrite")
        self.port = number("p", "port", 41121, most=65535)
        log.quiet = switch("q", "quiet")
        self.retries = number("r", "retries", 3)
        self.directory = text("s", "directory")
        if self.directory and not Path(self.directory).is_dir():
            log.error(f"Directory {self.directory} does not exist.")
        elif self.directory and not os.access(self.directory, os.W_OK):
            log.error(f"Cannot write to directory {self.directory}.")
        elif not self.directory:
            raise getopt.GetoptError("no storage directory")
        self.timeout = number("t", "timeout", 1)
        level = tokens.get("verbose")
        log.level = 2 if "V" in flags else 1 if "v" in flags else 2 if level == "2" else level == "1"
        # Asked for twice; where there is nobody to ask it is empty.
        asked = {sys.stdin.readline().rstrip("\n") for _ in range(2)} if switch("w", "ssl_password") else {""}
        if len(asked) > 1:
            raise getopt.GetoptError("two different passphrases")
        self.passphrase = asked.pop()
        self.password = text("x", "password")
        if text("b", "proxy_ip"):
            log.error("This stand-in does not relay.")
        if switch("T", "use_libwrap"):
            log.error("Authen::Libwrap is not installed.")
        log.path = text("l", "log_file")
        # Two without a flag.
        block = tokens.get("block_size", "")
        self.block = int(block) if re.fullmatch("[1-9][0-9]*", block) else 1024
        self.forbidden = re.compile("[" + tokens.get("invalid_chars", r"?\[\]/\\=+<>:;',*~") + "]")


class Connection:
    """One client, from its first byte to the end."""

    def __init__(self, client: socket.socket, settings: Settings, log: Log) -> None:
        self.client = client
        self.settings = settings
        self.log = log
        # What the log says a client is "from" is the server's own address, as with the vendor's.
        self.where = client.getsockname()[0]

    def serve(self) -> None:
        try:
            if self.settings.certificate:
                self._start_tls()
            if self.settings.password:
                self._authenticate()
            while self._command(self._line()):
                pass
        except (FailedError, OSError, ValueError, ImportError, re.error):
            pass
        finally:
            # Without the farewell of TLS, as the vendor's.
            with contextlib.suppress(OSError):
                self.client.shutdown(socket.SHUT_RDWR)
            self.client.close()

    def _start_tls(self) -> None:
        """The files are read for each client, and a silent one is waited for without end. When quiet, a client
        with which it fails goes on in plain text."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.set_ciphers("DEFAULT")
            key = self.settings.key or None
            context.load_cert_chain(self.settings.certificate, key, lambda: self.settings.passphrase)
            # Without a CA of ours a certificate need not be shown, but one that is must be of a CA of the system.
            context.verify_mode = ssl.CERT_REQUIRED if self.settings.ca else ssl.CERT_OPTIONAL
            if self.settings.ca:
                context.load_verify_locations(self.settings.ca)
            else:
                context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
            self.client = context.wrap_socket(self.client, server_side=True, do_handshake_on_connect=False)
            self.client.do_handshake()
        except OSError as error:
            if isinstance(self.client, ssl.SSLSocket):
                self.client = socket.socket(fileno=self.client.detach())
            self.log.error(f"TLS with a client of {self.where} failed: {error}")
        else:
            self.log.say(f"SSL started for {self.where}")

    def _authenticate(self) -> None:
        said = re.match("PASS (.*)$", self._line())
        if not said:
            self.log.error(f"Client {self.where} did not authenticate.")
        digest = hashlib.md5(hashlib.md5(os.fsencode(self.settings.password)).digest()).hexdigest()
        if not said or said[1] != digest:
            self.log.error(f"Invalid password from {self.where}.")
        self.log.say(f"Client {self.where} authenticated")
        self._send("PASS OK\n")

    def _command(self, line: str) -> bool:
        """Do what a line asks for; whether to go on."""
        asked = COMMAND.match(line)
        if not asked:
            self.log.say(f"Unknown command '{line}' from {self.where}")
        elif asked["quit"]:
            self.log.say(f"Connection closed from {self.where}", 2)
        elif asked["give"] in ("LS", "MV") and not self.settings.insecure:
            self.log.say(f"Insecure mode disabled. Rejected '{line}' from {self.where}", 2)
        else:
            self.log.say(f"Request '{line}' from {self.where}", 2)
            if asked["take"]:
                self._take(asked["take"], asked["new"], int(asked["size"]))
            else:
                self._give(asked["give"], asked["name"])
            return True
        return False

    def _take(self, verb: str, name: str, size: int) -> None:
        """SEND and ZSEND: a file comes in."""
        path = self._folder(name) + name
        if self.settings.forbidden.search(name):
            return self._refuse(verb, name, " (invalid file name)")
        if not 1 <= size <= self.settings.most_bytes:
            return self._refuse(verb, name, " (file is too big)")
        if os.path.isfile(path) and not self.settings.overwrite:  # noqa: PTH113 - Path raises for long names
            return self._refuse(verb, name, " (file already exists)")
        self._send(f"{verb} OK\n")
        data = b""
        while len(data) < size:
            data += self._read(size - len(data))
        if verb == "ZSEND":
            try:
                data = unzipped(data)
            except ValueError:
                return self._refuse(verb, name, "")
        try:
            Path(path).write_bytes(data)
        except (OSError, ValueError):
            self.log.error(f"Cannot open file '{path}' for writing.")
        self._send(f"{verb} OK\n")
        return self.log.say(f"Received file '{name}' size {size}b from {self.where}", 2)

    def _give(self, verb: str, name: str) -> None:
        """RECV, ZRECV and MV: a file goes out; LS: the names beside which such a file would be."""
        reason = " (file {})" if verb.endswith("RECV") else ""
        folder = self._folder(name)
        path = folder + name
        if self.settings.forbidden.search(name):
            return self._refuse(verb, name, reason.format("has an invalid file name"))
        if not (os.path.isdir(folder) if verb == "LS" else os.path.isfile(path)):  # noqa: PTH112, PTH113
            return self._refuse(verb, name, reason.format("does not exist"))
        data = b""
        if verb == "LS":
            names = (each for each in (".", "..", *os.listdir(folder)) if not self.settings.forbidden.search(each))  # noqa: PTH208
            data = os.fsencode("".join(f"{each}\n" for each in names))
        elif verb == "ZRECV":
            data = zipped(path)
        self._send(f"{verb} SIZE {len(data) or Path(path).stat().st_size}\n")
        if self._line() != f"{verb} OK":
            return self.log.say(f"Requested file '{path}' from {self.where} not sent")
        try:
            data = data or Path(path).read_bytes()
        except OSError:
            self.log.error(f"Cannot open file '{path}' for reading.")
        if data or verb != "MV":
            self._send(data)
        if verb == "MV":
            Path(path).unlink()
        return self.log.say(f"Requested file '{path}' from {self.where} sent")

    def _refuse(self, verb: str, name: str, reason: str) -> None:
        self.log.say(f"{verb} of file '{name}' from {self.where} refused{reason}")
        self._send(f"{verb} ERR{reason}\n")

    def _folder(self, name: str) -> str:
        """Where a file of this name belongs, with a slash at the end."""
        for regex, folder in self.settings.filters:
            if re.search(regex, name):
                self.log.say(f"File '{name}' matches filter '{regex}' (changing to directory '{folder}')")
                return f"{self.settings.directory}/{folder}/"
        return f"{self.settings.directory}/"

    def _line(self) -> str:
        """A command: what has come is one when it ends with a line end, whatever else is in it."""
        line = b""
        while not line.endswith(b"\n"):
            if len(line) > self.settings.block:
                self.log.error(f"Received too much data from {self.where}.")
            line += self._read(self.settings.block)
        return os.fsdecode(line[:-1])

    def _read(self, size: int) -> bytes:
        """Some bytes. When quiet, a client that is silent, or that has left, holds its place for ever; the
        vendor's also wears out a processor over the latter."""
        self._wait(select.POLLIN)
        try:
            data = self.client.recv(size)
        except OSError as error:
            self.log.error(f"Read error from {self.where}: {error}.")
            data = b""
        if not data:
            self.log.error(f"Connection from {self.where} unexpectedly closed.")
            time.sleep(self.settings.timeout)
        return data

    def _send(self, what: str | bytes) -> None:
        """All of it, a block at a time. Nothing to send is an error, as with the vendor's."""
        data = os.fsencode(what)
        if not data:
            self.log.error(f"Connection from {self.where} unexpectedly closed.")
        while data:
            self._wait(select.POLLOUT)
            data = data[self.client.send(data[: self.settings.block]) :]

    def _wait(self, event: int) -> None:
        """Until bytes can be read or sent."""
        poll = select.poll()
        poll.register(self.client, event)
        waits = 0
        while not poll.poll(self.settings.timeout * 1000):
            waits += 1
            if waits > self.settings.retries:
                self.log.error(f"Connection from {self.where} timed out.")


def zipped(path: str) -> bytes:
    import zipfile  # not in python3-minimal

    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(path)
    return data.getvalue()


def unzipped(data: bytes) -> bytes:
    """The first file of an archive; what is none, as it is.

    Raises:
        ValueError: a broken archive.
    """
    import zipfile
    import zlib

    if not data.startswith(b"PK\3\4"):
        return data
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return archive.read(archive.namelist()[0])
    except (zipfile.BadZipFile, zlib.error, IndexError, RuntimeError, EOFError) as error:
        raise ValueError(str(error)) from error


def daemonize() -> None:
    """Go where there is no output and no umask."""
    os.chdir("/")
    os.umask(0)
    null = os.open("/dev/null", os.O_RDWR)
    for stream in range(3):
        os.dup2(null, stream)
    if os.fork():
        os._exit(0)
    os.setsid()


def listen(settings: Settings, log: Log) -> list[socket.socket]:
    """A socket for each address that can be had. "0", which is also the default, is all of both families."""
    sockets = []
    for address in settings.addresses:
        try:
            name = "::" if address == "0" and socket.has_dualstack_ipv6() else address
            family, _, _, _, where = socket.getaddrinfo(name, settings.port, type=socket.SOCK_STREAM)[0]
            most = settings.most_connections
            sockets.append(socket.create_server(where, family=family, backlog=most, dualstack_ipv6=name == "::"))
        except OSError as error:
            log.say(f"Cannot open socket for address {address} on port {settings.port}: {error.strerror}")
        else:
            log.say(f"Server listening on {address} port {settings.port}")
    if not sockets:
        log.error(f"Cannot open socket for all addresses on port {settings.port}.")
    return sockets


def serve(settings: Settings, log: Log) -> None:
    """Serve so many clients at once and no more: the next waits, and all behind it."""
    places = threading.Semaphore(settings.most_connections)

    def one(client: socket.socket) -> None:
        try:
            Connection(client, settings, log).serve()
        finally:
            places.release()

    sockets = listen(settings, log)
    while True:
        for listener in select.select(sockets, [], [])[0]:
            try:
                client, (peer, *_) = listener.accept()
            except OSError:  # it has left, or there is no descriptor
                time.sleep(0.001)
                continue
            log.say(f"Client connected from {peer}", 2)
            places.acquire()
            threading.Thread(target=one, args=(client,), daemon=True).start()


def main(arguments: list[str]) -> int:
    if os.geteuid() == 0:
        print("Error: for safety reasons tentacle_server cannot be run with root privileges.")
        return 1
    log = Log()
    try:
        flags, rest = getopt.getopt(arguments, FLAGS)
        settings = Settings({flag[1]: value for flag, value in flags if flag != "-h"}, log)
        if log.path:
            Path(log.path).open("a").close()
        if rest or ("-h", "") in flags:
            raise getopt.GetoptError("more than flags, or the flag for help")
        if settings.daemon:
            daemonize()
        serve(settings, log)
    except getopt.GetoptError:
        print(USAGE)
        return 1
    except FailedError:
        return 2
    except OSError as error:
        print(f"Error opening the log file '{log.path}': {error.strerror}.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        log.say("Server going down")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
