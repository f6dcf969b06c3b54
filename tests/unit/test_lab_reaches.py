"""What a reach asks for before anything is started."""

import pytest

from deploy.lab.__main__ import main
from deploy.lab.stack import LabError, Options, running


def test_without_root_it_says_what_it_needs_and_starts_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(LabError, match="sudo make demo LAB=cluster"), running(Options(reach="cluster"), lambda _: None):
        raise AssertionError("it started")
    assert main(["--reach", "cluster", "--headless"]) == 1
    assert "Not root" in capsys.readouterr().err
