"""The command's own decisions."""

from __future__ import annotations

from pathlib import Path

import pytest

from talos_gpu.cli.preview import _pack
from talos_gpu.cli.preview_options import parser
from talos_gpu.errors import UsageError


def test_the_projects_pack_is_run_where_it_is_installed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pack = tmp_path / "policy"
    assert _pack(tmp_path, None) is None
    with pytest.raises(UsageError, match=r"is no policy pack: it has no PulumiPolicy\.yaml"):
        _pack(tmp_path, pack)
    pack.mkdir()
    (pack / "PulumiPolicy.yaml").touch()
    assert _pack(tmp_path, None) is None
    assert f"no policy pack is run: the environment of {pack} is not installed (uv sync" in capsys.readouterr().err
    with pytest.raises(UsageError, match="is not installed"):
        _pack(tmp_path, pack)
    (pack / ".venv").mkdir()
    assert _pack(tmp_path, None) == _pack(tmp_path, pack) == pack


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--limit", "3999"], "argument --limit: 3999 is not allowed: at least 4000"),
        (["--parallel", "65"], "argument --parallel: 65 is not allowed: 1 to 64"),
        (["--parallel", "many"], "argument --parallel: 'many' is no whole number, 1 to 64"),
    ],
)
def test_a_number_out_of_range_is_refused_with_the_rule(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parser().parse_intermixed_args(words)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
