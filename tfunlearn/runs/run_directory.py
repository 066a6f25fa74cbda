"""The run directory: paths, formats and the lock of a run's files."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import hashlib
import io
import json
import os
import pathlib
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfunlearn.core.clients import ClientSet
from tfunlearn.core.errors import UserError, first_line, require
from tfunlearn.core.families import Origin, copy_name
from tfunlearn.core.files import (
    checksum,
    create_json,
    digest_of,
    first_free,
    keep_as,
    locked,
    naming,
    replacing,
    user_path,
    write_arrays,
    write_bytes,
    write_json,
)
from tfunlearn.core.lazy import tf
from tfunlearn.core.names import Names
from tfunlearn.core.records import UnlearningRecord
from tfunlearn.local_training.state import ServerState
from tfunlearn.models.saved import is_model_file
from tfunlearn.runs.run_files import metrics_line, read_checkpoint


@dataclass(frozen=True)
class RunDirectory:
    """Paths and formats of a run.

    Attributes:
        path: the folder. It holds `config.json`, `metrics.jsonl`, `partition.npz`, `clients.csv`,
            `data.json` (how the features were made from files: classes, means, vocabulary),
            `checkpoint.npz` (newest round), `previous.npz` (round before), `model.keras`,
            `curves.png`, `tensorboard/`, `worker.log` (output of TFF's worker process), `history/`
            (rounds kept for unlearning), `methods/` (copies of the files of your own methods, for
            you to put back; never loaded), `.lock` (held by the writing process), `profile.json`
            (metrics by class and client, if a command made the run), `detections.json` (findings of
            detectors) and, for an unlearned run,
            `unlearning.json` and `request.json`.
        made: folders that were created for it, innermost first.
    """

    path: pathlib.Path
    made: tuple[pathlib.Path, ...] = ()

    config = property(lambda self: self.path / "config.json")
    metrics = property(lambda self: self.path / "metrics.jsonl")
    partition = property(lambda self: self.path / "partition.npz")
    clients = property(lambda self: self.path / "clients.csv")
    data = property(lambda self: self.path / "data.json")
    checkpoint = property(lambda self: self.path / "checkpoint.npz")
    previous = property(lambda self: self.path / "previous.npz")
    model = property(lambda self: self.path / "model.keras")
    curves = property(lambda self: self.path / "curves.png")
    worker_log = property(lambda self: self.path / "worker.log")
    history = property(lambda self: self.path / "history")
    unlearning = property(lambda self: self.path / "unlearning.json")
    request = property(lambda self: self.path / "request.json")
    detections = property(lambda self: self.path / "detections.json")
    tensorboard = property(lambda self: self.path / "tensorboard")
    methods = property(lambda self: self.path / "methods")
    lock = property(lambda self: self.path / ".lock")

    def locked(self) -> contextlib.AbstractContextManager[None]:
        """Lock the directory against other writing processes while the block runs.

        Raises:
            UserError: another process holds the lock.
        """
        return locked(self.lock, f"run: another process is writing to {self.path}; wait for it")

    def write_config(self, flat: dict, *, new: bool = False, **notes) -> None:
        """Write the resolved configuration, which `--config` reads back, together with notes.

        Raises:
            FileExistsError: `new` is set and the file exists.
        """
        paths = {
            name: os.path.abspath(flat[name])
            for name in ("data_dir", "model")
            if name == "data_dir" or is_model_file(flat[name])
        }
        if "model" in paths and os.path.isfile(paths["model"]):
            notes["model_sha256"] = checksum(paths["model"])
        (create_json if new else write_json)(self.config, {**flat, **paths, **notes})

    def read_config(self) -> dict:
        """Return the content of `config.json`: the configuration's fields, and notes.

        Raises:
            OSError: there is none.
            ValueError: it is no JSON.
        """
        return json.loads(self.config.read_text())

    def change_config(self, change: Callable[[dict], dict]) -> None:
        """Replace the content of `config.json` by what `change` makes of it, if that differs."""
        stored = self.read_config()
        changed = change(stored)
        if changed != stored:
            write_json(self.config, changed)

    def copy_methods(self, origins: Iterable[Origin]) -> None:
        """Copy the files of the user's own methods, except those of installed packages."""
        for origin in origins:
            if origin.file is None or origin.package:
                continue
            content = pathlib.Path(origin.file).read_bytes()
            if hashlib.sha256(content).hexdigest() == origin.sha256:  # not edited just now
                self.methods.mkdir(exist_ok=True)
                write_bytes(self.methods / copy_name(dataclasses.asdict(origin)), content)

    def model_sha256(self) -> str | None:
        """Return the SHA-256 of the model file that training started from; None without one."""
        found = self.read_config().get("model_sha256")
        return found if isinstance(found, str) else None

    def write_data(self, prepared: Mapping[str, Any] | None, names: Names) -> None:
        """Write how the features were made (`LabeledData.prepared`), and names, with a checksum.

        Nothing is written if there is nothing to tell.
        """
        if prepared is not None or names != Names():
            content = {"prepared": prepared, **dataclasses.asdict(names)}
            content = json.loads(json.dumps(content))
            write_json(self.data, {**content, "sha256": digest_of(content)})

    def read_data(self) -> dict | None:
        """Return what `write_data` wrote of the features; None if there is nothing.

        Raises:
            UserError: it is damaged.
        """
        return self._read_data().get("prepared")

    def read_names(self) -> Names:
        """Return the names of classes and clients; without any if the file is damaged."""
        with contextlib.suppress(UserError):
            found = self._read_data()
            return Names(tuple(found.get("classes", ())), tuple(found.get("clients", ())))
        return Names()

    def _read_data(self) -> dict:
        try:
            content = json.loads(self.data.read_text(encoding="utf-8"))
            if content.pop("sha256") != digest_of(content):
                raise ValueError("its checksum is another")
            return content
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"run: {self.data} is damaged ({first_line(error)}); put back the original"
            )

    def write_partition(
        self,
        parts: Sequence[np.ndarray],
        clients: ClientSet,
        malicious: np.ndarray,
        classes: int,
        server: np.ndarray | None = None,
        forget_mask: np.ndarray | None = None,
    ) -> None:
        """Write the partition of the training split, and each client's class counts.

        Args:
            parts: rows of the training split of each client.
            clients: the client set of these rows, `N` examples.
            malicious: ids of the malicious clients.
            classes: number of classes.
            server: rows that the server holds; default none.
            forget_mask: mask of the forgotten examples, bool `(N,)`, which class counts leave out;
                default none.
        """
        forget_mask = np.zeros(len(clients.labels), bool) if forget_mask is None else forget_mask
        write_arrays(
            self.partition,
            dict(
                rows=np.concatenate(parts),
                offsets=clients.offsets,
                malicious=malicious,
                server=np.zeros(0, np.int64) if server is None else server,
                forgotten=forget_mask,
            ),
        )
        table = io.StringIO()
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(
            ["client", "malicious", "examples", *(f"class_{c}" for c in range(classes))]
        )
        for client, counts in enumerate(clients.where(~forget_mask).class_histogram(classes)):
            writer.writerow([client, int(client in malicious), counts.sum(), *counts])
        write_bytes(self.clients, table.getvalue().encode())

    def write_state(self, state: ServerState) -> str:
        """Write the checkpoint of a finished round and return its SHA-256.

        The checkpoint before it is kept as `previous.npz`.
        """
        if self.checkpoint.exists():
            keep_as(self.checkpoint, self.previous)
        arrays = {f"weight_{n:04d}": weight for n, weight in enumerate(state.weights)}
        if state.reference is not None:
            arrays["reference"] = state.reference
        return write_arrays(self.checkpoint, {"finished": np.int64(state.finished), **arrays})

    def read_state(self) -> ServerState:
        """Read the checkpoint.

        Raises:
            UserError: it is missing, unreadable, or not the one named in metrics and notes.
        """
        state, lines = read_checkpoint(self.checkpoint), self.read_metrics()
        finished = state.finished
        if finished - len(lines) not in (0, 1):  # it is written before its line
            raise UserError(
                f"run: {self.metrics} has {len(lines)} whole lines, the checkpoint is "
                f"of round {finished}; one of them was changed"
            )
        named = lines[-1]["checkpoint_sha256"] if len(lines) == finished > 0 else None
        where = f"metrics.jsonl names for round {finished}"
        record, digest = read_record(self), checksum(self.checkpoint)
        if not lines and record is not None:
            named, where = record.checkpoint_sha256, "unlearning.json names"
        if named is not None and named != digest:
            raise UserError(f"run: {self.checkpoint} is not the file that {where}; it was changed")
        if record is not None and record.checkpoint_sha256 != digest:
            raise UserError(
                f"run: {self.checkpoint} is not the one that {self.unlearning} tells "
                "of; one of them belongs to another run"
            )
        return state

    def append_metrics(self, line: dict) -> None:
        """Append one JSON line and sync it to disk."""
        with naming(self.metrics), open(self.metrics, "a") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def read_metrics(self) -> list[dict]:
        """Return the metrics lines of all finished rounds; an incomplete last line is ignored.

        Raises:
            UserError: another line is not a valid metrics line.
        """
        if not self.metrics.is_file():
            return []
        lines, found = self.metrics.read_bytes().splitlines(), []
        for number, line in enumerate(lines, start=1):
            values = metrics_line(line, number)
            if values is None and number < len(lines):
                raise UserError(f"run: line {number} of {self.metrics} is damaged")
            if values is not None:
                found.append(values)
        return found

    def discard(self) -> None:
        """Delete the files of a run that never started; the caller holds its lock."""
        for path in self.path.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        with contextlib.suppress(OSError):  # another process may use a parent by now
            for folder in self.made:
                folder.rmdir()

    def write_model(self, model: tf.keras.Model, weights: list[np.ndarray]) -> None:
        """Write the Keras model with the given weights."""
        model.set_weights(weights)
        with replacing(self.model) as temporary:
            model.save(temporary)

    def restore(self, model: tf.keras.Model, state: ServerState) -> None:
        """Rewrite the model of the last round, and its checkpoint if missing or another one."""
        lines = self.read_metrics()
        if lines and (
            not self.checkpoint.exists()
            or checksum(self.checkpoint) != lines[-1]["checkpoint_sha256"]
        ):
            self.write_state(state)
        model.set_weights(state.weights)
        self.write_model(model, state.weights)


def new_run_directory(
    path: str | os.PathLike | None, default_name: str, flat: dict
) -> RunDirectory:
    """Create a run directory, claim it by writing its `config.json`, and return it.

    Args:
        path: a new or empty folder; None for `runs/<default_name>`, numbered if that exists.
        default_name: name of the run if `path` is None.
        flat: the configuration.

    Raises:
        UserError: the folder is not empty, or cannot be written.
    """
    require("out", path, path != "", "the name of a folder")
    target = user_path(path) if path is not None else pathlib.Path("runs") / default_name
    while True:
        if path is None:
            target = first_free(target, os.path.lexists, folder=True)
        try:
            made = tuple(f for f in (target, *target.parents) if not f.exists())
            target.mkdir(parents=True, exist_ok=path is not None)
            if any(target.iterdir()):
                raise FileExistsError
            directory = RunDirectory(target, made)
            directory.write_config(flat, new=True)
            return directory
        except FileExistsError:
            if path is not None:
                raise UserError(f"out: {target} is in use already; name a new folder")
        except OSError as error:
            raise UserError(f"out: {target} cannot be written ({error.strerror})")


def open_run_directory(path: str | os.PathLike) -> RunDirectory:
    """Return the directory of an existing run.

    Raises:
        UserError: there is no run.
    """
    target = user_path(path)
    run = RunDirectory(target.resolve() if ".." in target.parts else target)
    for file in (run.config, run.model):
        if not file.is_file():
            raise UserError(f"run: '{path}' is no run directory (no {file.name})")
    return run


def write_record(directory: RunDirectory, record: UnlearningRecord) -> None:
    """Write `unlearning.json`, with the checksum of its content."""
    content = record.as_json()
    write_json(directory.unlearning, {**content, "sha256": digest_of(content)})


def read_record(directory: RunDirectory) -> UnlearningRecord | None:
    """Return the record of an unlearning, None for a run of train.

    Raises:
        UserError: it is damaged.
    """
    if not directory.unlearning.exists():
        return None
    try:
        content = json.loads(directory.unlearning.read_text())
        if content.pop("sha256") != digest_of(content):
            raise ValueError("its checksum differs")
        return UnlearningRecord.of(content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"run: {directory.unlearning} is damaged ({first_line(error)})")


def unlearning_record(directory: RunDirectory) -> UnlearningRecord:
    """Return the record of an unlearned run.

    Raises:
        UserError: it is damaged, or the run was not unlearned.
    """
    record = read_record(directory)
    if record is None:
        raise UserError(f"run: {directory.path} was not unlearned (no {directory.unlearning.name})")
    return record
