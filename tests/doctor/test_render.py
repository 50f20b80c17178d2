"""What a person reads of a diagnosis, to the letter."""

from __future__ import annotations

from talos_gpu.doctor.finding import Diagnosis, Lacks, NotRun
from talos_gpu.doctor.render import as_text

WHY = "/home/me/.talos/config is no usable talosconfig:\n  - No such file or directory"


def test_one_reason_of_many_checks_is_told_once() -> None:
    not_run = [
        *(NotRun(name, f"talos/{name[0]}.json: {WHY}") for name in ("alpha", "apple", "beta", "gamma")),
        NotRun("spec-missing", "lists/var/run/cdi.txt: no folder of CDI specs was looked at"),
        NotRun("odd", "the evidence has another form: KeyError 'x'"),
    ]
    assert as_text(Diagnosis("talos05", (), tuple(not_run), 7)) == (
        "talos05: nothing wrong found, 7 checks\n"
        "\n"
        "could not be told:\n"
        "  4 checks: /home/me/.talos/config is no usable talosconfig: - No such file or directory\n"
        "    for want of talos/a.json, talos/b.json, talos/g.json: alpha, apple, beta, gamma\n"
        "  spec-missing: lists/var/run/cdi.txt: no folder of CDI specs was looked at\n"
        "  odd: the evidence has another form: KeyError 'x'\n"
    )


def test_what_could_not_be_looked_at_is_in_the_first_line() -> None:
    blind = NotRun("spec-missing", "lists/var/run/cdi.txt: no route to host", Lacks.EVIDENCE)
    assert as_text(Diagnosis("talos05", (), (blind,), 7)).splitlines()[0] == (
        "talos05: nothing wrong found in what could be looked at: 7 of 8 checks"
    )
