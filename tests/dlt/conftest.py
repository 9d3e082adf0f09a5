"""What every test of the dlt source needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from llamacloud_sandbox.server import Sandbox
from tests.support.dlt_pipelines import Warehouse, stay_in


@pytest.fixture
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stay_in(tmp_path, monkeypatch)


@pytest.fixture
def warehouse(sandbox: Sandbox, tmp_path: Path, _own_folder: None) -> Warehouse:
    """A DuckDB file that a pipeline fills from the sandbox."""
    return Warehouse(sandbox, tmp_path)
