"""`tfunlearn worker`."""

from __future__ import annotations

import time

import click

from tfunlearn.core.lazy import require_installed
from tfunlearn.workers import serving_worker
from tfunlearn_cli import signals
from tfunlearn_cli.console import PlainConsole


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    required=True,
    metavar="P",
    help="Port to listen at; 0 takes any free one.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    metavar="ADDRESS",
    help="Address to listen at; "
    "0.0.0.0 is every interface of this machine.  [default: 127.0.0.1, this machine "
    "alone]",
)
def worker(port, host):
    """Work for trainings on this or other machines, until it is stopped.

    It runs TFF's own worker service. Whoever can reach the port can have it compute anything: TFF's
    channel is neither encrypted nor does it ask who calls. Put something in front of it that does
    both, such as an SSH tunnel (ssh -N -L 8001:127.0.0.1:8000 other-machine) or a VPN, before you
    listen at another address than 127.0.0.1. Ctrl-C stops it. It needs the same versions as the
    training.

    Example: tfunlearn worker --port 8000
    """
    require_installed("tensorflow_federated")
    console = PlainConsole()
    with serving_worker(host, port) as (address, port, died):
        shown = f"[{address}]" if ":" in address else address
        console.print(
            f"worker    listens at {shown}:{port}; tfunlearn train --worker {shown}:{port}"
        )
        if host not in ("127.0.0.1", "::1", "localhost"):
            console.print(
                "warning: nobody who calls is asked who they are, and nothing is encrypted"
            )
        console.file.flush()
        while not died():
            signals.check()
            time.sleep(0.2)
