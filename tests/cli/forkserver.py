"""Commands in processes forked from one that has imported TensorFlow (and TFF) once.

The import alone takes seconds per command. The forking process has not run any TensorFlow
operation yet, so for the purposes of the tests a child behaves like a new process.
"""

from __future__ import annotations

import importlib.util
import json
import os
import pathlib
import re
import selectors
import signal
import socket
import subprocess
import sys
import threading

SERVER = "import sys; sys.path.insert(0, sys.argv[1]); import forkserver; forkserver.serve()"


class Forked:
    """A running command with the interface of a `subprocess.Popen` in text mode."""

    def __init__(self, pid: int, stdout, stderr):
        self.pid, self.stdout, self.stderr, self.returncode = pid, stdout, stderr, None
        self._ended = threading.Event()

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self, timeout: float) -> int:
        if not self._ended.wait(timeout):
            raise subprocess.TimeoutExpired(str(self.pid), timeout)
        return self.returncode

    def communicate(self, timeout: float) -> tuple[str, str]:
        texts = ["", ""]
        readers = [
            threading.Thread(target=lambda n=n, f=f: texts.__setitem__(n, f.read()))
            for n, f in enumerate((self.stdout, self.stderr))
        ]
        for reader in readers:
            reader.start()
        self.wait(timeout)
        for reader in readers:
            reader.join(timeout)
        return texts[0], texts[1]

    def ended(self, code: int) -> None:
        self.returncode = code
        self._ended.set()


class ForkServer:
    """Starter of commands; a context manager."""

    def __enter__(self) -> ForkServer:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._server = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    SERVER,
                    str(pathlib.Path(__file__).parent),
                    str(theirs.fileno()),
                ],
                pass_fds=[theirs.fileno()],
            )
        self._running, self._started = {}, threading.Condition()
        threading.Thread(target=self._listen, daemon=True).start()
        self.run("--version", cwd=".")  # afterwards everything is imported
        return self

    def __exit__(self, *_) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._server.wait(timeout=20)

    def start(self, *words, cwd, terminal: int | None = None, **environment) -> Forked:
        """Start `tfunlearn words`; its output goes to pipes, or to a terminal."""
        pipes = [os.pipe(), os.pipe()]
        ours = [open(read) for read, _ in pipes]
        handed = [terminal, terminal] if terminal is not None else [end for _, end in pipes]
        with self._started:
            self._pid = None
            socket.send_fds(
                self._socket,
                [
                    json.dumps(
                        dict(
                            words=[str(word) for word in words],
                            cwd=str(cwd),
                            environment=environment,
                        )
                    ).encode()
                ],
                handed,
            )
            self._started.wait_for(lambda: self._pid is not None, timeout=60)
            process = self._running[self._pid] = Forked(self._pid, *ours)
            self._started.notify_all()
        for _, end in pipes:
            os.close(end)
        return process

    def run(self, *words, cwd, timeout: float = 200):
        """Run `tfunlearn words` until it exits; return it with its output as two strings."""
        process = self.start(*words, cwd=cwd)
        process.stdout, process.stderr = process.communicate(timeout)
        return process

    def _listen(self) -> None:
        while message := self._socket.recv(1000):
            told = json.loads(message)
            with self._started:
                if "code" not in told:
                    self._pid = told["pid"]
                    self._started.notify_all()
                else:
                    self._started.wait_for(lambda: told["pid"] in self._running, timeout=60)
                    self._running.pop(told["pid"]).ended(told["code"])


def worker_of(parent: int) -> int:
    """Return the process id of the TFF worker started by a process."""
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, above = re.match(r"\d+ \((.*)\) (\S) (\d+)", stat.read_text()).groups()
        except (OSError, AttributeError):
            continue
        if name.startswith("worker_binary") and int(above) == parent:
            return int(stat.parent.name)
    raise AssertionError(f"process {parent} has no worker")


def read_terminal(leader: int) -> bytes:
    """Return all output on a terminal until the last process on it has exited."""
    shown = b""
    with open(leader, "rb", buffering=0) as terminal:
        while True:
            try:
                piece = terminal.read(65536)
            except OSError:
                return shown
            if not piece:
                return shown
            shown += piece


def serve() -> None:
    """Fork a child for each message until the other end closes the connection."""
    import matplotlib.figure  # noqa: F401
    import sklearn.metrics  # noqa: F401
    import tensorflow  # noqa: F401

    import tfunlearn  # noqa: F401
    import tfunlearn.sweeps.sweep  # noqa: F401
    from tfunlearn_cli import main, resume, train, unlearn  # noqa: F401

    if importlib.util.find_spec("tensorflow_federated"):
        import tensorflow_federated  # noqa: F401
    server, poll = socket.socket(fileno=int(sys.argv[2])), selectors.DefaultSelector()
    poll.register(server, selectors.EVENT_READ)
    children = set()
    while True:
        if poll.select(timeout=0.01):
            message, files, _, _ = socket.recv_fds(server, 10**5, 2)
            if not message:
                break
            pid = os.fork()
            if not pid:
                server.close()
                _become(json.loads(message), files)
            children.add(pid)
            for file in files:
                os.close(file)
            server.send(json.dumps(dict(pid=pid)).encode())
        for pid in list(children):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                children.remove(pid)
                server.send(
                    json.dumps(dict(pid=pid, code=os.waitstatus_to_exitcode(status))).encode()
                )
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    os._exit(0)


def _become(asked: dict, files: list[int]) -> None:
    from tfunlearn_cli import main

    for number, file in enumerate(files, start=1):
        os.dup2(file, number)
        os.close(file)
    os.setsid()
    os.chdir(asked["cwd"])
    os.environ.update(asked["environment"])
    sys.argv = ["tfunlearn", *asked["words"]]
    main.run()
