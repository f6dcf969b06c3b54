"""`python -m bot classify`: the contract of its lines, and what people see."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bot.classification import LONGEST_LINE, answer_lines, show
from tests.commands_house import ROOT, shipped

KEYS = ["command", "class", "runs_without_approval", "rule", "reason"]


def answers(source: bytes) -> list[dict[str, Any]]:
    sink = io.BytesIO()
    answer_lines(io.BytesIO(source), sink, shipped())
    return [json.loads(line) for line in sink.getvalue().splitlines()]


def test_one_object_in_one_out_in_order() -> None:
    given = [{"command": "cat x"}, {"command": "rm -rf /", "id": 7}, {"command": "rm 'ü'"}]
    found = answers("\n".join(json.dumps(row, ensure_ascii=False) for row in given).encode())
    assert [list(row) for row in found] == [KEYS] * 3
    assert [row["command"] for row in found] == [row["command"] for row in given]
    assert [(row["class"], row["runs_without_approval"]) for row in found] == [
        ("read", True), ("forbidden", False), ("destroy", False),
    ]  # fmt: skip
    assert found[1]["rule"].startswith("policies/commands/facts.yaml: ")
    assert found[1]["reason"].startswith('"rm -rf /" removes')


@pytest.mark.parametrize(
    ("line", "cls"),
    [
        (b"", "unknown"),
        (b"no json", "unknown"),
        (b"[1]", "unknown"),
        (b'"cat x"', "unknown"),
        (b'{"command": 7}', "unknown"),
        (b'{"cmd": "cat x"}', "unknown"),
        (b"[" * 100_000, "unknown"),
        (b'{"command": "\xff"}', "forbidden"),
        (b'{"command": "\\ud800"}', "forbidden"),
        (b'{"command": "cat \\u0000x"}', "forbidden"),
        (b'{"command": ""}', "unknown"),
        (b'{"command": "' + b"a" * 1_000_000 + b'"}', "forbidden"),
        (b'{"command": "' + b"a;" * 10_000 + b'"}', "forbidden"),
        (b'{"command": "' + b"a" * LONGEST_LINE + b'"}', "forbidden"),
    ],
)
def test_a_line_that_cannot_be_read_is_answered_and_the_next_one_too(line: bytes, cls: str) -> None:
    found = answers(line + b'\n{"command": "cat x"}\n')
    assert [(row["class"], row["runs_without_approval"]) for row in found] == [(cls, False), ("read", True)]
    assert all(row["reason"] for row in found)


def test_people_see_the_parse() -> None:
    text = show(shipped().classify("sudo cat  'a b' | cat"))
    assert text.splitlines()[0].startswith('read: "sudo cat')
    assert '["sudo", "cat", "a b"]' in text
    assert "as it would run sudo cat 'a b' | cat" in text
    assert "there is no argv to run" in show(shipped().classify("cat $x"))


def run(tmp_path: Path, *arguments: str, source: bytes = b"", **more: str) -> subprocess.CompletedProcess[bytes]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **more}
    command = [sys.executable, "-m", "bot", "classify", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=environment, input=source, capture_output=True, check=False, timeout=120
    )


def test_the_command_streams_lines(tmp_path: Path) -> None:
    done = run(tmp_path, "--jsonl", source=b'{"command": "cat x"}\n' * 50)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 50


def test_the_command_answers_people(tmp_path: Path) -> None:
    done = run(tmp_path, "rm -rf /", "cat \udcff")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b'forbidden: "rm -rf /" removes')


def test_nothing_to_classify_is_said(tmp_path: Path) -> None:
    assert run(tmp_path).returncode == 2
    assert b"--jsonl" in run(tmp_path, "--jsonl", "cat x").stderr


def test_a_broken_catalogue_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "policies" / "commands"
    folder.mkdir(parents=True)
    done = run(tmp_path, "cat x", WATCHBILL_POLICIES=str(folder.parent))
    assert (done.returncode, b"facts.yaml: it cannot be read" in done.stderr) == (2, True)
