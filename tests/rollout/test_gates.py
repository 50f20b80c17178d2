"""Gates: asked in order up to the first that does not pass; one that cannot tell is a failure."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path

import pytest

from talos_gpu.errors import TalosGpuError
from talos_gpu.rollout import gates
from talos_gpu.rollout.gates import Asked, Measured, Said, Verdict
from talos_gpu.rollout.model import Gate


def asked(folder: Path, rule: Gate, stopped: threading.Event | None = None) -> Asked:
    return Asked("a", folder, folder / "Pulumi.a.yaml", rule.timeout_s, {}, stopped or threading.Event())


def answer(folder: Path, *words: str, timeout_s: int = 20, stopped: threading.Event | None = None) -> Said:
    rule = Gate(name="gate", command=words, timeout_s=timeout_s)
    return gates.gate_of(rule)(asked(folder, rule, stopped))


@pytest.mark.parametrize(
    ("script", "verdict", "cause"),
    [
        ("exit 0", Verdict.PASSED, ""),
        ("echo dead; exit 1", Verdict.FAILED, "dead"),
        ("exit 1", Verdict.FAILED, "exit code 1"),
        ("echo who knows >&2; exit 2", Verdict.UNKNOWN, "who knows"),
        ("kill -9 $$", Verdict.UNKNOWN, "exit code -9"),
    ],
)
def test_a_command_says_so_by_its_exit_code(tmp_path: Path, script: str, verdict: Verdict, cause: str) -> None:
    said = answer(tmp_path, "sh", "-c", script)
    assert (said.verdict, said.cause) == (verdict, cause)


def test_a_command_is_told_its_stack(tmp_path: Path) -> None:
    said = answer(tmp_path, "sh", "-c", "echo $ROLLOUT_STACK $ROLLOUT_STACK_FILE $PWD")
    assert said.evidence == f"a {tmp_path}/Pulumi.a.yaml {tmp_path}"


def test_a_command_measures(tmp_path: Path) -> None:
    said = answer(tmp_path, "sh", "-c", "echo measured: hevc_nvenc 5.24 x; echo measured: no number x")
    assert said.measured == {"hevc_nvenc": Measured(5.24, "x")}


def test_a_command_without_an_end_could_not_tell_and_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    began = time.monotonic()
    said = answer(tmp_path, "sh", "-c", "echo $$; sleep 60 & sleep 60", timeout_s=3)
    assert (said.verdict, said.cause) == (Verdict.UNKNOWN, "no answer within 3 s")
    assert time.monotonic() - began < 30
    until = time.monotonic() + 10
    while alive(int(said.evidence)):
        assert time.monotonic() < until
        time.sleep(0.02)


def alive(group: int) -> list[str]:
    """Processes of a group that are no zombies."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            name, _, rest = path.read_text().rpartition(")")
            state, _, of_group = rest.split()[:3]
            found += [name] if int(of_group) == group and state != "Z" else []
    return found


def test_a_command_whose_answer_nobody_wants_is_ended(tmp_path: Path) -> None:
    stopped = threading.Event()
    threading.Timer(0.2, stopped.set).start()
    assert answer(tmp_path, "sleep", "60", stopped=stopped).cause == "interrupted"


def test_a_command_that_leaves_something_running_is_not_waited_for(tmp_path: Path) -> None:
    said = answer(tmp_path, "sh", "-c", "sleep 600 & echo $!")
    assert said.verdict is Verdict.PASSED
    os.kill(int(said.evidence), 9)


def test_the_first_that_does_not_pass_ends_it(tmp_path: Path) -> None:
    rules = [
        Gate(name="one", command=("true",)),
        Gate(name="two", command=("sh", "-c", "echo stale; exit 1")),
        Gate(name="three", command=("true",)),
    ]
    answers, reason, cause = gates.ask(rules, lambda rule: asked(tmp_path, rule))
    assert [(answer["gate"], answer["verdict"]) for answer in answers] == [("one", "passed"), ("two", "failed")]
    assert (reason, cause) == ("gate-failed", "gate two failed: stale")


def test_a_command_that_is_not_there_could_not_tell(tmp_path: Path) -> None:
    rules = [Gate(name="one", command=(str(tmp_path / "nothing"),))]
    _, reason, cause = gates.ask(rules, lambda rule: asked(tmp_path, rule))
    assert reason == "gate-unknown"
    assert cause.startswith("gate one could not tell: FileNotFoundError")


def test_a_built_in_gate_that_raises_could_not_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates, "BUILT_IN", {"mine": (__name__, "unreachable")})
    _, reason, cause = gates.ask(gates.built_in(), lambda rule: asked(tmp_path, rule))
    assert (reason, cause) == ("gate-unknown", "gate mine could not tell: no connection; plug it in")


def unreachable(asked: Asked) -> Said:
    raise TalosGpuError("no connection", remedy="plug it in")


def test_figures_stand_beside_those_of_the_last_time(tmp_path: Path) -> None:
    rules = [Gate(name="one", command=("sh", "-c", "echo measured: hevc 5.5 x; echo measured: h264 7 x"))]
    before = {"one": {"hevc": {"value": 5.0, "unit": "x"}, "h264": {"value": 200, "unit": "fps"}}}
    answers, _, _ = gates.ask(rules, lambda rule: asked(tmp_path, rule), before)
    assert answers[0]["measured"] == {
        "hevc": {"value": 5.5, "unit": "x", "before": 5.0},
        "h264": {"value": 7.0, "unit": "x"},
    }
    assert gates.figures_of(answers) == {"one": answers[0]["measured"]}
