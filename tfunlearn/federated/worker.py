"""TFF's worker process, started so that it never outlives this program nor holds its pipes."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

from tfunlearn.core.errors import WorkerError
from tfunlearn.core.lazy import tff

_START_SECONDS = 120
_MESSAGE_BYTES = 2**31 - 1


@contextlib.contextmanager
def local_worker(log: str | os.PathLike | None = None) -> Iterator[None]:
    """Runs TFF computations of this thread in a worker process of their own.

    TFF's default context lets the worker inherit stdout and outlive the program; this one starts
    it in a session of its own, without our pipes, and with a signal for the death of its parent.

    Args:
        log: file that receives the worker's output; nothing is kept by default.

    Raises:
        WorkerError: the worker did not open its port.
    """
    worker = _Worker(log)
    kept = tff.framework.get_context_stack().current
    try:
        tff.framework.set_default_context(worker.context())
        yield
    finally:
        worker.stop()
        tff.framework.set_default_context(kept)


class _Worker:
    def __init__(self, log: str | os.PathLike | None):
        import portpicker

        self._port, self._channel = portpicker.pick_unused_port(), None
        binary = pathlib.Path(tff.__file__).parent
        binary = binary / "data" / "worker_binary"
        if not binary.is_file():
            raise WorkerError(f"tensorflow-federated: no worker program at {binary}")
        with open(log if log else os.devnull, "ab") as output:
            self._process = subprocess.Popen(
                [str(binary), f"--port={self._port}"], stdin=subprocess.DEVNULL, stdout=output,
                stderr=output, close_fds=True, start_new_session=True,
                preexec_fn=_die_with_parent(), cwd=tempfile.gettempdir(),
                env={**os.environ, "TF_DETERMINISTIC_OPS": "1", "TF_CPP_MIN_LOG_LEVEL": "2"})
        atexit.register(self.stop)
        try:
            self._wait_for_port()
        except BaseException:
            self.stop()
            raise

    def _wait_for_port(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise WorkerError(f"TFF worker ended at start, code {self._process.returncode}")
            with socket.socket() as probe:
                probe.settimeout(1)
                answers = probe.connect_ex(("127.0.0.1", self._port)) == 0
            if answers and self._process.poll() is None:
                return
            time.sleep(0.02)
        raise WorkerError(f"TFF worker opened no port within {_START_SECONDS} s")

    def context(self):
        import grpc

        sizes = ("max_message_length", "max_receive_message_length", "max_send_message_length")
        self._channel = grpc.insecure_channel(
            f"127.0.0.1:{self._port}", [(f"grpc.{name}", _MESSAGE_BYTES) for name in sizes])
        stub = tff.framework.RemoteExecutorGrpcStub(self._channel)

        def executor(cardinalities):
            cardinalities.setdefault(tff.CLIENTS, 0)
            remote = tff.framework.RemoteExecutor(stub)
            remote.set_cardinalities(cardinalities)
            return remote

        return _context_without_retries()(
            executor_fn=tff.framework.ResourceManagingExecutorFactory(executor),
            compiler_fn=tff.backends.native.desugar_and_transform_to_native,
            transform_args=tff.tensorflow.transform_args,
            transform_result=tff.tensorflow.transform_result)

    def stop(self) -> None:
        atexit.unregister(self.stop)
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout=2)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._channel is not None:  # its threads would poll on
            self._channel.close()
            self._channel = None


def _context_without_retries() -> type:
    """Returns TFF's synchronous context, but failing where TFF's own waits for ever."""
    invoke_once = tff.framework.AsyncExecutionContext.invoke.__wrapped__

    class LocalContext(tff.framework.SyncExecutionContext):
        def invoke(self, comp, arg):
            try:
                return self._async_runner.run_coro_and_return_result(
                    invoke_once(self._async_context, comp, arg))
            except tff.framework.RetryableError as error:
                raise WorkerError("the TFF worker process died or does not answer") from error

    return LocalContext


def _die_with_parent():
    """Returns a function for the child that asks Linux to kill it when its parent dies."""
    if sys.platform != "linux":
        return None
    prctl, parent, set_parent_death_signal = ctypes.CDLL(None).prctl, os.getpid(), 1

    def ask() -> None:
        prctl(set_parent_death_signal, signal.SIGKILL)
        if os.getppid() != parent:  # the parent died before the call above
            os._exit(1)

    return ask
