"""`tfunlearn worker`."""

from __future__ import annotations

import time

import click

from tfunlearn.engines import require_tff
from tfunlearn_cli import signals
from tfunlearn_cli.console import PlainConsole


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    required=True,
    metavar="P",
    help="Port to listen on; 0 for any free one.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    metavar="ADDRESS",
    help="Address to listen on; "
    "0.0.0.0 for every interface of this machine.  [default: 127.0.0.1, this machine "
    "only]",
)
def worker(port, host):
    """Run a worker for trainings on this or other machines, until stopped with Ctrl-C.

    This is TFF's own worker service. Anyone who can reach the port can run arbitrary computations:
    TFF's channel is neither encrypted nor authenticated. Before listening on another address than
    127.0.0.1, protect the port with encryption and authentication, such as an SSH tunnel
    (ssh -N -L 8001:127.0.0.1:8000 other-machine) or a VPN. The worker needs the same versions as
    the training.

    Example: tfunlearn worker --port 8000
    """
    require_tff("worker")
    from tfunlearn.engines.tff import serving_worker

    console = PlainConsole()
    with serving_worker(host, port) as (address, port, died):
        shown = f"[{address}]" if ":" in address else address
        console.print(
            f"worker    listens at {shown}:{port}; tfunlearn train --worker {shown}:{port}"
        )
        if host not in ("127.0.0.1", "::1", "localhost"):
            console.print("warning: callers are not authenticated, and nothing is encrypted")
        console.file.flush()
        while not died():
            signals.check()
            time.sleep(0.2)
