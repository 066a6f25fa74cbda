"""TFF's execution context on a worker that is called by gRPC, without endless retries."""

from __future__ import annotations

import functools

from tfunlearn.core.errors import WorkerError
from tfunlearn.core.lazy import tff

_MESSAGE_BYTES = 2**31 - 1


class Connection:
    """A channel to a worker, and TFF's context on it.

    Args:
        target: what gRPC is to call, such as `127.0.0.1:8000`.
        name: of the worker, for messages.

    Attributes:
        context: TFF's synchronous context; a worker that dies raises a `WorkerError`.
    """

    def __init__(self, target: str, name: str = "the TFF worker process"):
        import grpc

        sizes = ("max_message_length", "max_receive_message_length", "max_send_message_length")
        options = [*((f"grpc.{size}", _MESSAGE_BYTES) for size in sizes),
                   ("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1),
                   ("grpc.default_authority", "localhost")]
        self._channel = grpc.insecure_channel(target, options)
        stub = tff.framework.RemoteExecutorGrpcStub(_Unwatched(self._channel))

        def executor(cardinalities):
            cardinalities.setdefault(tff.CLIENTS, 0)
            remote = tff.framework.RemoteExecutor(stub)
            remote.set_cardinalities(cardinalities)
            return remote

        self.context = _context_without_retries()(
            executor_fn=tff.framework.ResourceManagingExecutorFactory(executor),
            compiler_fn=tff.backends.native.desugar_and_transform_to_native,
            transform_args=tff.tensorflow.transform_args,
            transform_result=tff.tensorflow.transform_result)
        self.context.worker_name = name

    def close(self) -> None:
        """Hangs up; its threads would poll on."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None


class _Unwatched:
    """A channel whose state nobody may subscribe to: gRPC's thread for that prints a traceback if
    the channel is closed while it looks."""

    def __init__(self, channel):
        self._channel = channel

    def subscribe(self, *_, **__) -> None:
        pass

    def __getattr__(self, name: str):
        return getattr(self._channel, name)


@functools.cache
def _context_without_retries() -> type:
    """Returns TFF's synchronous context, but failing where TFF's own waits for ever."""
    invoke_once = tff.framework.AsyncExecutionContext.invoke.__wrapped__

    class OneAttemptContext(tff.framework.SyncExecutionContext):
        def invoke(self, comp, arg):
            try:
                return self._async_runner.run_coro_and_return_result(
                    invoke_once(self._async_context, comp, arg))
            except tff.framework.RetryableError as error:
                raise WorkerError(f"{self.worker_name} died or does not answer") from error

    return OneAttemptContext
