"""A run of the bench with a row of every kind: within its bar and over it, never, zero, repaired."""

from __future__ import annotations

from bench.figure import Amount, Beside, Figure, Note, Row, Steps
from bench.history import Measured, Run
from bench.rounds import By, Rounds
from bench.seed_rows import Exposed, Went, rows
from bench.steps import WAIT_FOR_A_FINISHED_POD, Act, Step

MACHINE = {
    "cpu": "Imagined CPU @ 2.00GHz",
    "cores": "2",
    "memory": "16 GiB",
    "kernel": "6.1.0",
    "python": "3.11.2",
    "load before": "0.1 0.2 0.3",
    "commit": "0123456789ab",
    "at": "2027-01-15T08:00:00+00:00",
}
NOT_EXPOSED = Exposed(90.0, 90_000, (), (), ())
STEPS = (
    Step(Act.EDIT, "machine config", 0.0, repair=False),
    Step(Act.COMMAND, WAIT_FOR_A_FINISHED_POD, 60.0, repair=False),
    Step(Act.LOOK, "kubectl logs <pod>", 0.25, repair=True),
)
HAND = Went(
    installs=(STEPS, STEPS[:1], STEPS + STEPS),
    broken=(4.0, 6.0, 5.0),
    exposed=Exposed(120.0, 114_000, (0.004, 0.012), (0.001,), (100.0,)),
    cri="hook #0: unknown command",
    cri_steps=STEPS,
    alone=None,
    mending=STEPS[1:],
)
OURS = Went(
    installs=tuple((Step(Act.COMMAND, "pulumi up", seconds, repair=False),) for seconds in (38.0, 44.0, 40.0)),
    broken=(7.0, 7.0, 7.0),
    exposed=NOT_EXPOSED,
    cri="",
    cri_steps=(),
    alone=None,
    mending=(Step(Act.COMMAND, "pulumi up --refresh", 9.0, repair=True),),
    automatic=8.0,
)


def cdi_rows() -> tuple[Row, ...]:
    times = Rounds((0.010, 0.011, 0.014), (0.012, 0.012, 0.016))
    return (
        Figure.of("cdi: parse | patch", "PyYAML alone", times, 1.5),
        Figure.of("cdi: a preview", "the engine's", Rounds((1.0, 2.0, 3.0), (4.0, 6.0, 5.0), By.MEDIAN), 1.1),
        Figure("cdi: validate", "the Go library", 0.001, 0.0025, None),
        Amount("lab: memory", 678.4, "MiB PSS", 1024.0, "most of it: etcd"),
        Amount("lab: too slow", 91.0, "s", 90.0),
        Beside("seed: never | ever", "by hand", None, 8.0, "s"),
        Note("cdi: a note", "unknown <command>"),
        Steps("cdi: by hand", STEPS),
    )


def sample_run(**machine: str) -> Run:
    seed = tuple(rows(HAND, OURS))
    areas = (Measured("cdi", 0.1, 60.0, cdi_rows()), Measured("seed_way", 0.4, 300.0, seed))
    return Run(MACHINE | machine, areas)
