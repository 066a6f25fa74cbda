"""TFF execution context for a worker reached over gRPC, without unlimited retries."""

from __future__ import annotations

import functools
from typing import Any, cast

from tfunlearn.core.errors import WorkerError
from tfunlearn.core.lazy import tff

_MESSAGE_BYTES = 2**31 - 1


def is_ready(target: str, seconds: float) -> bool:
    """Return whether a gRPC server at `target` accepts calls within `seconds`."""
    import grpc

    channel = grpc.insecure_channel(
        target, [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
    )
    ready = grpc.channel_ready_future(channel)
    try:
        ready.result(timeout=seconds)
        return True
    except grpc.FutureTimeoutError:
        return False
    finally:
        ready.cancel()  # its polling thread must end before the channel does
        channel.close()


class Connection:
    """A gRPC channel to a worker, and the TFF execution context that uses it.

    Args:
        target: gRPC target of the worker, such as `127.0.0.1:8000`.
        name: name of the worker in error messages.

    Attributes:
        context: synchronous TFF context; raises a `WorkerError` if the worker dies.
    """

    def __init__(self, target: str, name: str = "the TFF worker process"):
        import grpc

        sizes = ("max_message_length", "max_receive_message_length", "max_send_message_length")
        options = [
            *((f"grpc.{size}", _MESSAGE_BYTES) for size in sizes),
            ("grpc.enable_http_proxy", 0),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.default_authority", "localhost"),
        ]
        self._channel = grpc.insecure_channel(target, options)
        stub = tff.framework.RemoteExecutorGrpcStub(cast(Any, _Unwatched(self._channel)))

        def executor(cardinalities):
            cardinalities.setdefault(tff.CLIENTS, 0)
            remote = tff.framework.RemoteExecutor(stub)
            remote.set_cardinalities(cardinalities)
            return remote

        self.context = _context_without_retries()(
            executor_fn=tff.framework.ResourceManagingExecutorFactory(executor),
            compiler_fn=tff.backends.native.desugar_and_transform_to_native,
            transform_args=tff.tensorflow.transform_args,
            transform_result=tff.tensorflow.transform_result,
        )
        self.context.worker_name = name

    def close(self) -> None:
        """Close the channel, whose threads would otherwise keep polling."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None


class _Unwatched:
    """A gRPC channel that ignores subscriptions to its connectivity state.

    gRPC's polling thread for them prints a traceback if the channel is closed while it polls.
    """

    def __init__(self, channel):
        self._channel = channel

    def subscribe(self, *_, **__) -> None:
        pass

    def __getattr__(self, name: str):
        return getattr(self._channel, name)


@functools.cache
def _context_without_retries() -> type:
    """Return TFF's synchronous context class, changed to raise where TFF's own retries forever."""
    invoke_once = tff.framework.AsyncExecutionContext.invoke.__wrapped__

    class OneAttemptContext(tff.framework.SyncExecutionContext):
        worker_name: str

        def invoke(self, comp, arg):
            try:
                return self._async_runner.run_coro_and_return_result(
                    invoke_once(self._async_context, comp, arg)
                )
            except tff.framework.RetryableError as error:
                raise WorkerError(f"{self.worker_name} died or does not answer") from error

    return OneAttemptContext
