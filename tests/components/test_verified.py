"""`verify: true`: when the GPU is proven, when an `up` fails for it, what a refresh makes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from components.verified import GpuNotProven, VerifiedProvider, looked_at, recorded
from talos_gpu.verify.report import Outcome, Proof, Report
from tests.components.conftest import Stack
from tests.components.engine import OUTPUTS, Run, run_program, stack_config

Runs = Callable[..., Run]
VERIFIED = "Verified"


def test_without_the_key_nothing_is_proven(run: Runs) -> None:
    found = run()
    assert VERIFIED not in found.kinds()
    assert "verified" not in found.exports


@pytest.mark.parametrize("preview", [False, True])
def test_the_proof_comes_after_the_worker(run: Runs, *, preview: bool) -> None:
    found = run(verify=True, preview=preview)
    assert found.one("Deployment").urn in found.one(VERIFIED).request.dependencies
    assert found.kinds().index("Deployment") < found.kinds().index(VERIFIED)


def test_what_is_expected_of_the_gpu_is_an_input_and_no_credential_is(run: Runs) -> None:
    found = run("lab", verify=True)
    inputs = {key: value for key, value in found.one(VERIFIED).inputs.items() if not key.startswith("__")}
    assert {key: inputs[key] for key in ("node", "model", "driver", "memory_mib", "encode_floor", "namespace")} == {
        "node": "lab-1",
        "model": "Quadro P2000",
        "driver": "535.247.01",
        "memory_mib": 5120,
        "encode_floor": 0.1,
        "namespace": "media",
    }
    assert (inputs["spec_sha256"], inputs["loaded_driver"]) == ("5" * 64, "535.247.01")
    assert not {"talosconfig", "kubeconfig"} & set(inputs)
    assert found.exports["verified"] == {"hevc_nvenc": "60 frames encoded."}


@pytest.mark.parametrize(
    ("kind", "change", "moved"),
    [
        ("pulumi-python:dynamic/cdi:Spec", {"sha256": "7" * 64}, "spec_sha256"),
        ("pulumi-python:dynamic/talos:MachineReady", {"facts": {"driver": "550.90.07"}}, "loaded_driver"),
        ("kubernetes:apps/v1:Deployment", {"metadata": {"uid": "another", "generation": 2}}, "worker"),
    ],
    ids=["the spec", "the driver", "the worker"],
)
def test_it_is_proven_anew_when_what_it_rests_on_changes(
    stack: Stack, kind: str, change: Mapping[str, Any], moved: str
) -> None:
    files = {"machine": {"base": str(stack.base)}, "talosconfig": str(stack.talosconfig), "verify": True}
    answers = {**OUTPUTS, kind: {**OUTPUTS.get(kind, {}), **change}}
    before = run_program(stack_config("talos05", files)).one(VERIFIED).inputs
    after = run_program(stack_config("talos05", files), answers=answers).one(VERIFIED).inputs
    differing = {key for key in after if not key.startswith("__") and after[key] != before[key]}
    assert differing == {moved}
    assert VerifiedProvider().diff("id", before, after).changes


def report(**outcomes: tuple[Outcome, str]) -> Report:
    proofs = [Proof("spec", Outcome.PROVEN, "It is fresh.")]
    proofs += [
        Proof(name, outcome, f"{name} says {cause}.", cause, "mend it") for name, (outcome, cause) in outcomes.items()
    ]
    return Report("lab-1", "lab-1", "pod media/worker", tuple(proofs), needs_encoder=True)


PROVEN, DISPROVEN, UNKNOWN = Outcome.PROVEN, Outcome.DISPROVEN, Outcome.UNKNOWN
INPUTS: Mapping[str, Any] = {"node": "lab-1", "worker": "uid 1"}


def test_a_proven_gpu_is_recorded_with_its_sentences() -> None:
    outs = recorded(dict(INPUTS), report(hevc_nvenc=(PROVEN, "")))
    assert outs["proofs"] == {"spec": "It is fresh.", "hevc_nvenc": "hevc_nvenc says ."}
    assert outs["drift"] == []


@pytest.mark.parametrize("outcome", [DISPROVEN, UNKNOWN, Outcome.ABSENT])
def test_what_is_not_proven_fails_and_is_told_with_its_remedy(outcome: Outcome) -> None:
    with pytest.raises(GpuNotProven) as raised:
        recorded(dict(INPUTS), report(hevc_nvenc=(outcome, "session-limit"), cuda=(PROVEN, "")))
    how = "not known to be" if outcome is UNKNOWN else "not"
    assert raised.value.message == f"the GPU of lab-1 is {how} fit:\n  hevc_nvenc: hevc_nvenc says session-limit."
    assert raised.value.remedy.startswith("mend it; ")


def test_a_transcode_is_not_disturbed_and_the_next_up_tries_again(capsys: pytest.CaptureFixture[str]) -> None:
    outs = recorded(dict(INPUTS), report(hevc_nvenc=(UNKNOWN, "busy"), cuda=(UNKNOWN, "busy")))
    assert outs["drift"] == ["not proven yet: hevc_nvenc says busy."]
    assert VerifiedProvider().diff("id", outs, dict(INPUTS)).changes
    assert capsys.readouterr().out == "lab-1: hevc_nvenc says busy. The next up tries again.\n"


def test_a_busy_encoder_excuses_no_other_fault() -> None:
    with pytest.raises(GpuNotProven):
        recorded(dict(INPUTS), report(inside=(DISPROVEN, "uvm-stale"), hevc_nvenc=(UNKNOWN, "busy")))


def test_a_refresh_that_finds_it_disproven_is_drift() -> None:
    olds = {**INPUTS, "proofs": {"hevc_nvenc": "as it was"}, "drift": []}
    outs = looked_at(olds, report(hevc_nvenc=(DISPROVEN, "uvm-stale")))
    assert outs == {**olds, "drift": ["hevc_nvenc: hevc_nvenc says uvm-stale."]}
    assert VerifiedProvider().diff("id", outs, dict(INPUTS)).changes


@pytest.mark.parametrize("drift", [[], ["hevc_nvenc: as it was"]])
def test_a_refresh_that_cannot_tell_changes_nothing(drift: list[str]) -> None:
    olds = {**INPUTS, "drift": drift}
    assert looked_at(olds, report(hevc_nvenc=(UNKNOWN, "busy"))) == olds


def test_a_refresh_that_finds_it_healed_takes_the_drift_away() -> None:
    assert looked_at({**INPUTS, "drift": ["was lost"]}, report(hevc_nvenc=(PROVEN, "")))["drift"] == []


def test_a_refresh_that_proves_what_a_transcode_had_put_off_records_its_proofs() -> None:
    put_off = recorded(dict(INPUTS), report(hevc_nvenc=(UNKNOWN, "busy")))
    outs = looked_at(put_off, report(hevc_nvenc=(PROVEN, "60 frames")))
    assert (outs["drift"], outs["proofs"]["hevc_nvenc"]) == ([], "hevc_nvenc says 60 frames.")
    assert looked_at(outs, report(hevc_nvenc=(PROVEN, "59 frames"))) == outs, "a run's speeds are no news"
