"""The language host and the program runner, through the engine."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from lab.engine import install
from tests.engine.support import Project


def test_an_empty_program_previews_without_a_warning(project: Project) -> None:
    ran = project.write("").preview().ok()
    assert "warning" not in ran.out.lower()


def test_the_program_sees_its_project_stack_config_and_neighbours(project: Project) -> None:
    project.write(
        "import pulumi, neighbour\n"
        "seen = [pulumi.get_project(), pulumi.get_stack(), pulumi.Config().require('key'), neighbour.NAME]\n"
        "pulumi.export('seen', seen)\n",
        neighbour="NAME = 'found'\n",
    )
    project.config(key="value").up().ok()
    outputs = json.loads(project.run("stack", "output", "--json", "--stack", "test").ok().out)
    assert outputs == {"seen": ["trial", "test", "value", "found"]}


@pytest.mark.parametrize(
    ("program", "told"),
    [
        ("raise RuntimeError('the reason')\n", "RuntimeError: the reason"),
        ("import pulumi\nraise pulumi.RunError('the reason')\n", "the reason"),
        ("def broken(:\n", "SyntaxError: invalid syntax"),
        ("import nowhere\n", "ModuleNotFoundError: No module named 'nowhere'"),
    ],
)
def test_a_failing_program_is_told_once(project: Project, program: str, told: str) -> None:
    ran = project.write(program).preview()
    assert ran.status != 0
    assert ran.out.partition("Diagnostics:")[2].count(told) == 1, ran.out
    assert "runpy" not in ran.out and "run_program" not in ran.out, ran.out


def test_a_failing_apply_is_told_once(project: Project) -> None:
    ran = project.write(
        "import pulumi\npulumi.export('x', pulumi.Output.from_input(1).apply(lambda _: 1 / 0))\n"
    ).preview()
    assert ran.status != 0
    assert ran.out.count("ZeroDivisionError: division by zero") == 1, ran.out


def test_an_engine_that_asks_for_the_end_of_a_program_that_is_ending_gets_no_traceback(project: Project) -> None:
    # the signal comes when the runner cancels what is left of a program that has failed
    ran = project.write(
        "import asyncio, os, signal\n"
        "async def lasting():\n"
        "    try:\n"
        "        await asyncio.sleep(600)\n"
        "    finally:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "asyncio.ensure_future(lasting())\n"
        "async def failing():\n"
        "    await asyncio.sleep(0.1)\n"
        "    raise RuntimeError('the reason')\n"
        "import pulumi\n"
        "pulumi.export('x', pulumi.Output.from_input(failing()))\n"
    ).preview()
    assert ran.status != 0
    assert ran.out.partition("Diagnostics:")[2].count("RuntimeError: the reason") == 1, ran.out
    assert "KeyboardInterrupt" not in ran.out, ran.out


def test_an_exit_status_of_the_programs_own_fails_the_command(project: Project) -> None:
    ran = project.write("import sys\nsys.exit(7)\n").preview()
    assert ran.status != 0
    assert "exit code: 7" in ran.out


def test_a_missing_virtual_environment_is_named(project: Project) -> None:
    (project.folder / "Pulumi.yaml").write_text(
        "name: trial\nruntime: {name: python, options: {virtualenv: nowhere}}\n"
    )
    ran = project.write("").preview()
    assert ran.status != 0
    assert "nowhere/bin/python" in ran.out


def test_about_lists_what_is_installed_without_starting_python(project: Project) -> None:
    found = json.loads(project.write("").run("about", "--json", "--transitive").ok().out)
    versions = {entry["name"]: entry["version"] for entry in found["dependencies"]}
    assert versions["pulumi_kubernetes"] == install.PLUGINS["kubernetes"]
    assert found["runtime"]["version"].startswith("3.")


def test_install_says_that_uv_does_it(project: Project) -> None:
    assert "uv installs this project's dependencies" in project.write("").run("install").out


def test_a_killed_engine_leaves_nothing_behind(project: Project, tmp_path: Path) -> None:
    mark = tmp_path / "running"
    project.write(
        f"import os, pathlib, time\npathlib.Path({str(mark)!r}).write_text(str(os.getpid()))\ntime.sleep(600)\n"
    )
    process = project.start("preview", "--stack", "test")
    _until(mark.exists, 90)
    group = _descendants(process.pid)
    assert len(group) >= 2, group  # the host and the program
    process.send_signal(signal.SIGKILL)
    process.communicate()
    _until(lambda: not [pid for pid in group if Path(f"/proc/{pid}").exists()], 60)


def _until(condition: object, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)


def _descendants(root: int) -> list[int]:
    parents: dict[int, int] = {}
    for path in Path("/proc").iterdir():
        entry = path.name
        if entry.isdecimal():
            try:
                parents[int(entry)] = int(Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    found = [root]
    for pid in found:
        found.extend(child for child, parent in parents.items() if parent == pid)
    return found[1:]
