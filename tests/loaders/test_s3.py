"""Batch files in S3: a real server on loopback, and the tap's command line with its extra `s3`."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.history import History
from llamacloud_sandbox.world.world import World
from tests.support.api_rows import JOB_TIMES, KEYS, Row, Tables, expected, keyed_by
from tests.support.commands import ROOT, Ended, ended, ran
from tests.support.loaders import AWKWARD, ODD, installed, put_awkward

pytestmark = pytest.mark.heavy

HOST = "127.0.0.1"
BUCKET = "lake"
TOKEN = "a-session-token"

SERVING = """
import json, sys
import boto3
from moto import settings
from moto.server import ThreadedMotoServer

server = ThreadedMotoServer(sys.argv[1], port=0, verbose=False)
server.start()
url = "http://%s:%d" % server.get_host_and_port()
root = {"endpoint_url": url, "region_name": "us-east-1"}
root |= {"aws_access_key_id": "root", "aws_secret_access_key": "root"}
boto3.client("s3", **root).create_bucket(Bucket=sys.argv[2])
iam = boto3.client("iam", **root)


def user(name, **policy):
    iam.create_user(UserName=name)
    allowed = [{"Effect": "Allow", "Action": "s3:PutObject", "Resource": "*"}]
    document = json.dumps({"Version": "2012-10-17", "Statement": allowed})
    if name == "writer":
        iam.put_user_policy(UserName=name, PolicyName="write", PolicyDocument=document)
    made = iam.create_access_key(UserName=name)["AccessKey"]
    return [made["AccessKeyId"], made["SecretAccessKey"]]


said = {"url": url, "writer": user("writer"), "stranger": user("stranger")}
settings.INITIAL_NO_AUTH_ACTION_COUNT = 0
print(json.dumps(said), flush=True)
for line in sys.stdin:
    settings.INITIAL_NO_AUTH_ACTION_COUNT = float("inf")
    prefix, folder = json.loads(line)
    s3 = boto3.client("s3", **root)
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=sys.argv[2], Prefix=prefix)
    names = [each["Key"] for page in pages for each in page.get("Contents", [])]
    for name in names:
        s3.download_file(sys.argv[2], name, folder + "/" + name.rpartition("/")[2])
    settings.INITIAL_NO_AUTH_ACTION_COUNT = 0
    print(json.dumps(names), flush=True)
server.stop()
"""
"""Serves S3 with a bucket and two users, of whom one may write; downloads what it is asked for."""


@dataclass(frozen=True)
class Store:
    """A running S3 server.

    Attributes:
        writer: A key and its secret that may write, and no more.
        stranger: Another that may do nothing.
    """

    process: subprocess.Popen[str]
    url: str
    writer: tuple[str, str]
    stranger: tuple[str, str]

    def params(self, user: tuple[str, str] | None = None, **more: Any) -> Row:
        """Make `storage.params` for a user, the writer by default."""
        key, secret = user or self.writer
        where = {"endpoint_url": self.url, "region_name": "us-east-1"}
        return {"key": key, "secret": secret, "client_kwargs": where} | more

    def download(self, prefix: str, folder: Path) -> list[str]:
        """Copy the objects whose names begin so; return the names, sorted."""
        folder.mkdir()
        assert self.process.stdin
        assert self.process.stdout
        print(json.dumps([prefix, str(folder)]), file=self.process.stdin, flush=True)
        return sorted(json.loads(self.process.stdout.readline()))


@pytest.fixture(scope="module")
def environment() -> Path:
    requirements = "-e .[s3] moto[server]==5.2.5"
    return installed("s3", requirements, constraints=ROOT / "constraints.txt") / "bin"


@pytest.fixture(scope="module")
def store(environment: Path) -> Iterator[Store]:
    with subprocess.Popen(
        [environment / "python", "-c", SERVING, HOST, BUCKET],
        encoding="utf-8",
        env=_without_aws(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout
        said = json.loads(process.stdout.readline())
        yield Store(process, said["url"], (*said["writer"],), (*said["stranger"],))


def _without_aws() -> dict[str, str]:
    """Return the environment without what the machine's owner tells AWS's tools."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("AWS_")}
    nowhere = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    return kept | nowhere | {"AWS_EC2_METADATA_DISABLED": "true", "NO_PROXY": "*"}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(World(History(jobs=400, unknown_fields=0.2))) as running:
        yield running


class TapRuns:
    """The tap in the environment that has the extra, with temporary files of its own."""

    def __init__(self, environment: Path, config: Row, folder: Path) -> None:
        self._command = environment / "tap-llamaclassify"
        self._config = config
        self._folder = folder
        self.temporary = folder / "temporary"
        self.temporary.mkdir()

    def words(self, root: str, params: Row | None, **batches: Any) -> list[Any]:
        """Make the command line of a run into a folder."""
        storage: Row = {"root": root} | ({"params": params} if params else {})
        batch_config = {"encoding": {"format": "parquet"}, "storage": storage} | batches
        path = self._folder / "config.json"
        path.write_text(json.dumps(self._config | {"batch_config": batch_config}))
        return [self._command, "--config", path]

    def env(self, more: dict[str, str] | None = None) -> dict[str, str]:
        """Make the environment of a run."""
        return _without_aws() | {"TMPDIR": str(self.temporary)} | (more or {})

    def run(
        self, root: str, params: Row | None, env: dict[str, str] | None = None, **batches: Any
    ) -> Ended:
        """Run the tap to its end."""
        words = self.words(root, params, **batches)
        return ended(words, env=self.env(env), timeout=120)


@pytest.fixture
def tap(environment: Path, config: Row, tmp_path: Path) -> TapRuns:
    return TapRuns(environment, config, tmp_path)


def landed(folder: Path) -> Tables:
    """Read downloaded files back; a later row of the same key replaces an earlier one."""
    return {table: _landed(table, folder) for table in KEYS}


def _landed(table: str, folder: Path) -> dict[tuple[Any, ...], Row]:
    files = sorted(folder.glob(f"{table}-*.parquet"))
    rows = [row for file in files for row in pq.read_table(file).to_pylist()]
    for row in rows:
        for name in row.keys() & {*JOB_TIMES}:
            row[name] = row[name] and row[name].replace(tzinfo=None)
        fields = row["additional_fields"]
        row["additional_fields"] = fields and json.loads(fields)
    return keyed_by(KEYS[table], rows)


def manifests(done: Ended) -> list[str]:
    return sorted(url for m in done.output.of_type("BATCH") for url in m["manifest"])


def given_by(store: Store, way: str) -> tuple[Row | None, dict[str, str]]:
    """Tell the tap of the store in one of two ways: by the setting, or by the environment."""
    if way == "setting":
        return store.params(), {}
    key, secret = store.writer
    names = {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret}
    return None, names | {"AWS_ENDPOINT_URL": store.url, "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.mark.parametrize("way", ["setting", "environment"])
def test_files_land_whole_under_the_urls_of_their_messages(
    sandbox: Sandbox, store: Store, tap: TapRuns, tmp_path: Path, way: str
) -> None:
    put_awkward(sandbox, AWKWARD, ODD)
    params, env = given_by(store, way)
    done = tap.run(f"s3://{BUCKET}/{way}", params, env, batch_size=150)
    assert done.code == 0, done.stderr
    names = store.download(f"{way}/", tmp_path / "files")
    assert [f"s3://{BUCKET}/{name}" for name in names] == manifests(done)
    assert len(names) > 2 * len(KEYS)
    api = expected(sandbox.world.jobs(sandbox.project_id))
    assert landed(tmp_path / "files") == api
    assert list(tap.temporary.iterdir()) == []


FAILURES = {
    "no such bucket": "there is no such bucket or folder",
    "another's credentials": "no permission to write there",
    "wrong secret": "no permission to write there",
    "no credentials": "cannot write there (NoCredentialsError)",
    "server down": "cannot write there (EndpointConnectionError)",
}


def failing(store: Store, what: str) -> tuple[str, Row]:
    """Return a root and params with which a run fails."""
    root = f"s3://{BUCKET}/failing"
    params = store.params()
    with socket.create_server((HOST, 0)) as listener:
        closed = f"http://{HOST}:{listener.getsockname()[1]}"
    cases = {
        "no such bucket": ("s3://none/failing", params),
        "another's credentials": (root, store.params(store.stranger)),
        "wrong secret": (root, store.params((store.writer[0], "a-wrong-secret"))),
        "no credentials": (root, {"client_kwargs": params["client_kwargs"]}),
        "server down": (root, params | {"client_kwargs": {"endpoint_url": closed}}),
    }
    return cases[what]


@pytest.mark.parametrize(("what", "said"), FAILURES.items(), ids=FAILURES)
def test_store_that_cannot_be_written_to_is_one_error_and_leaves_no_temporary_files(
    store: Store, tap: TapRuns, tmp_path: Path, what: str, said: str
) -> None:
    root, params = failing(store, what)
    done = tap.run(root, params)
    assert done.code == 1
    (error,) = done.errors
    assert error.startswith(f"batch_config.storage.root: {said}")
    assert "Traceback" not in done.stderr
    assert done.output.of_type("BATCH") == done.output.of_type("STATE") == []
    assert str(params.get("secret", "a-wrong-secret")) not in done.stderr
    assert store.download("failing/", tmp_path / "files") == []
    assert list(tap.temporary.iterdir()) == []


IMPATIENT = """
from tap_llamaclassify.singer import storage
from tap_llamaclassify.__main__ import main

storage.UPLOAD_SECONDS = 2
main()
"""


def test_store_that_never_answers_ends_the_run(
    environment: Path, tap: TapRuns, store: Store
) -> None:
    with socket.create_server((HOST, 0)) as mute:
        where = {"endpoint_url": f"http://{HOST}:{mute.getsockname()[1]}"}
        _, *words = tap.words(f"s3://{BUCKET}/failing", store.params(client_kwargs=where))
        python = [environment / "python", "-c", IMPATIENT]
        done = ended([*python, *words], cwd=tap.temporary, env=tap.env(), timeout=60)
    assert done.code == 1
    assert done.errors == ["batch_config.storage.root: no answer in time"]


UPLOADING = """
import hashlib, json, os, resource, sys
from tap_llamaclassify.singer.storage import Storage

storage = Storage(sys.argv[1], "", json.loads(sys.argv[2]))
said = hashlib.sha256()
with storage.begin("large.parquet") as file:
    for _ in range(200):
        some = os.urandom(2**20)
        said.update(some)
        file.write(some)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
storage.finish("large.parquet")
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(json.dumps([said.hexdigest(), grown // 1024]))
"""
"""Puts a file of 200 MiB into a folder; says its digest and by how many MiB the process grew."""


def test_upload_of_a_large_file_holds_little_of_it_and_lands_whole(
    environment: Path, tap: TapRuns, store: Store, tmp_path: Path
) -> None:
    params = json.dumps(store.params())
    python = [environment / "python", "-c", UPLOADING]
    said = ran([*python, f"s3://{BUCKET}/large", params], cwd=tap.temporary, env=tap.env())
    digest, grown = json.loads(said)
    store.download("large/", tmp_path / "files")
    landed = (tmp_path / "files" / "large.parquet").read_bytes()
    assert hashlib.sha256(landed).hexdigest() == digest
    assert grown < 100


def test_debug_log_shows_no_credential_and_no_row(
    sandbox: Sandbox, store: Store, tap: TapRuns
) -> None:
    secret = "never-shown-description"
    sandbox.world.put(AWKWARD | {"project_id": sandbox.project_id, "error_message": secret})
    encoding = {"format": "jsonl", "compression": "none"}
    for params in (store.params(), store.params(token=TOKEN)):
        debug = {"LOGLEVEL": "DEBUG"}
        said = tap.run(f"s3://{BUCKET}/debug", params, debug, encoding=encoding).stderr
        assert "| DEBUG" in said
        assert not [text for text in (params["secret"], TOKEN, secret) if text in said]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_run_that_is_killed_leaves_whole_files_only(
    sandbox: Sandbox, store: Store, tap: TapRuns, tmp_path: Path, number: signal.Signals
) -> None:
    prefix = f"killed-{number.name}"
    words = tap.words(f"s3://{BUCKET}/{prefix}", store.params(), batch_size=20)
    with subprocess.Popen(
        words,
        encoding="utf-8",
        env=tap.env(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout
        announced = next(m for m in map(json.loads, process.stdout) if m["type"] == "BATCH")
        process.send_signal(number)
        rest = [json.loads(line) for line in process.stdout.read().splitlines()[:-1]]
    assert process.returncode in {-number, 128 + number}
    assert "STATE" not in {message["type"] for message in rest}
    names = store.download(f"{prefix}/", tmp_path / "files")
    urls = [f"s3://{BUCKET}/{name}" for name in names]
    assert announced["manifest"][0] in urls
    assert len(names) < len(sandbox.world.jobs(sandbox.project_id)) / 20 * 4
    for file in (tmp_path / "files").iterdir():
        assert re.fullmatch(r"classify_\w+-[\dT.]+Z-\d{6}\.parquet", file.name)
        assert pq.read_metadata(file).num_rows == 20
