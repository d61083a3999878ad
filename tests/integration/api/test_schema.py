"""The OpenAPI document against the running program: schemathesis sends what it allows, and more."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from tests.integration.api.conftest import CHIEF, Simulator, keys_file
from tests.integration.api.test_crashes import serving

#: A busy machine is neither a lost link nor a lost order here.
PATIENT = {"STOCKS_PROBE_TIMEOUT_SECONDS": "30", "STOCKS_STALE_SECONDS": "60"}
STOPS_TRADING = "engage_v1_kill_switch_post"
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
    "ignored_auth",
)


def schemathesis(url: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json"]
    return subprocess.run(
        [
            *command,
            *("--header", f"X-API-Key: {CHIEF}", "--checks", ",".join(CHECKS)),
            *("--max-examples", "15", "--seed", "1", "--generation-database", "none"),
            *("--phases", "examples,coverage,fuzzing", "--max-failures", "5", "--no-color"),
            *("--exclude-operation-id", STOPS_TRADING),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
    )


async def test_no_request_within_or_beyond_the_document_is_answered_otherwise_than_it_says(
    tmp_path: Path, simulator: Simulator
) -> None:
    keys_file(tmp_path)
    async with serving(tmp_path, simulator, **PATIENT) as api:
        url = str(api.http.base_url)
        done = await asyncio.to_thread(schemathesis, url, tmp_path)
        assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
