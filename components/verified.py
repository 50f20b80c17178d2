"""Verified: the GPU proven to encode in the worker, or the `up` fails."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import pulumi
from pulumi.dynamic import CreateResult, ReadResult, Resource, UpdateResult
from typing_extensions import override

from components.dynamic import DRIFT, NodeProvider, Props, run, whole
from talos_gpu.errors import TalosGpuError
from talos_gpu.settings import Settings
from talos_gpu.verify.report import NOT_PROVEN_YET, Outcome, Proof, Report
from talos_gpu.verify.subject import Credentials, Subject

VERSION = "1"
_SUBJECT = frozenset(field.name for field in dataclasses.fields(Subject))
_WHEN = frozenset(("spec_sha256", "worker", "loaded_driver"))
"""What the proofs hold for: the spec that containers start with, the worker, the driver that is loaded."""
_BUSY = "busy"


class GpuNotProven(TalosGpuError):
    """A proof failed, or could not be made; says which, why, and what to do."""

    def __init__(self, report: Report) -> None:
        wrong = _wrong(report)
        remedies = dict.fromkeys(proof.remedy for proof in wrong if proof.remedy)
        super().__init__(
            f"the GPU of {report.node} is {'not' if report.outcome is Outcome.DISPROVEN else 'not known to be'} fit:"
            + "".join(f"\n  {proof.name}: {proof.sentence}" for proof in wrong),
            remedy="; ".join([*remedies, "`talos-gpu verify STACK` looks again, `talos-gpu doctor STACK` says why"]),
        )


class VerifiedProvider(NodeProvider):
    """Proves on create and update, and looks again on refresh."""

    moves: ClassVar[frozenset[str]] = _SUBJECT | _WHEN | {"version"}

    @override
    def create(self, props: Props) -> CreateResult:
        return CreateResult(f"{props['node']}-verified", run(self._proven(whole(props))))

    @override
    def update(self, _id: str, _olds: Props, _news: Props) -> UpdateResult:
        return UpdateResult(run(self._proven(whole(_news))))

    @override
    def read(self, id_: str, props: Props) -> ReadResult:
        """Whether it still works; the proofs that were recorded stay, unless they were not proven."""
        return ReadResult(id_, run(self._drift(whole(props))))

    async def _drift(self, props: Props) -> Props:
        return looked_at(props, await self._verify(props))

    async def _proven(self, props: Props) -> Props:
        return recorded(props, await self._verify(props))

    async def _verify(self, props: Props) -> Report:
        from talos_gpu.verify.stack import Options, verify

        values: dict[str, Any] = {name: props.get(name) for name in _SUBJECT}
        subject = Subject(**values)
        credentials = Credentials(self._access.talosconfig, self._access.kubeconfig, self._access.context)
        return await verify(subject.node, subject, credentials, Options())


def recorded(props: Props, report: Report) -> Props:
    """The outputs after a verification; while a transcode has the encoder, the proof is left to a later `up`.

    Raises GpuNotProven where anything else stands in the way: a proof that was asked for and could not be made is none.
    """
    wrong = _wrong(report)
    waits = wrong if wrong and all(proof.cause == _BUSY for proof in wrong) else []
    if report.outcome is not Outcome.PROVEN and not waits:
        raise GpuNotProven(report)
    if waits:
        print(f"{report.node}: {waits[0].sentence} The next up tries again.", flush=True)  # the engine shows it
    return {
        **props,
        "proofs": {proof.name: proof.sentence for proof in report.proofs},
        "pretended": report.pretended,
        DRIFT: [f"{NOT_PROVEN_YET}: {waits[0].sentence}"] if waits else [],
    }


def looked_at(props: Props, report: Report) -> Props:
    """The outputs after a refresh: disproven is drift; an encoder that is busy or out of reach is no news.

    What takes a drift away is recorded, for the proofs before it may say `Not tried`; else no run's speeds are news.
    """
    if report.outcome is Outcome.UNKNOWN:
        return props
    if report.outcome is Outcome.PROVEN and props.get(DRIFT):
        return recorded(props, report)
    return {**props, DRIFT: [f"{proof.name}: {proof.sentence}" for proof in _wrong(report)]}


def _wrong(report: Report) -> list[Proof]:
    fine = {Outcome.PROVEN, Outcome.SKIPPED}
    return [proof for proof in report.proofs if proof.outcome not in fine]


class Verified(Resource, module="gpu", name="Verified"):
    """A GPU that was proven to encode, decode and compute in its worker.

    Proven again when the spec, the worker, the loaded driver or what is expected of the GPU changes, and when refresh
    has found it disproven.
    """

    proofs: pulumi.Output[Mapping[str, str]]
    """Sentence by proof, as of the last time that it was proven."""
    pretended: pulumi.Output[bool]
    """Whether the GPU is the lab's: then no speed says anything about hardware."""

    def __init__(
        self, name: str, settings: Settings, when: Mapping[str, Any], opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """`when`: spec_sha256, worker, loaded_driver, the outputs whose change means a new proof."""
        subject = {key: value for key, value in dataclasses.asdict(Subject.of(settings)).items() if value is not None}
        declared = {**subject, **when, "version": VERSION, **dict.fromkeys(("proofs", "pretended", DRIFT))}
        super().__init__(VerifiedProvider(), name, declared, opts)
