"""nvidia-smi on the mock NVML: its words and exit codes, healthy and not."""

from __future__ import annotations

import subprocess

import pytest

from tests.gpu.mock_gpu import MockGpu, Said

FIELDS = "--query-gpu=name,driver_version,memory.total"


def test_the_seeds_query(gpu: MockGpu) -> None:
    assert gpu.smi(FIELDS, "--format=csv") == Said(
        0, "name, driver_version, memory.total [MiB]\nQuadro P2000, 535.247.01, 5120 MiB\n"
    )


def test_a_query_without_header_and_units(gpu: MockGpu) -> None:
    assert gpu.smi(FIELDS, "--format=csv,noheader,nounits") == Said(0, "Quadro P2000, 535.247.01, 5120\n")


def test_identity_and_load(gpu: MockGpu) -> None:
    said = gpu.smi(
        "--query-gpu=index,uuid,pci.bus_id,utilization.gpu,utilization.encoder,encoder.stats.sessionCount",
        "--format=csv",
    )
    assert said == Said(
        0,
        "index, uuid, pci.bus_id, utilization.gpu [%], utilization.encoder [%], encoder.stats.sessionCount\n"
        "0, GPU-3b1f2c4d-5e6f-7a8b-9c0d-1e2f3a4b5c6d, 00000000:01:00.0, 0 %, 0 %, 0\n",
    )


def test_the_list(gpu: MockGpu) -> None:
    assert gpu.smi("-L") == Said(0, "GPU 0: Quadro P2000 (UUID: GPU-3b1f2c4d-5e6f-7a8b-9c0d-1e2f3a4b5c6d)\n")


def test_the_table_is_as_wide_as_the_real_one(gpu: MockGpu) -> None:
    said = gpu.smi()
    lines = said.words.splitlines()
    assert said.code == 0
    assert "| NVIDIA-SMI 535.247.01             Driver Version: 535.247.01   CUDA Version: 12.2     |" in lines
    assert {len(line) for line in lines[1:]} == {89}


def test_another_gpu_is_a_setting(gpu: MockGpu) -> None:
    gpu.configure(name="NVIDIA H100 80GB HBM3", mem=81559, uuid="GPU-00000000-0000-0000-0000-000000000001")
    assert gpu.smi("--query-gpu=name,memory.total", "--format=csv,noheader").words == (
        "NVIDIA H100 80GB HBM3, 81559 MiB\n"
    )
    assert "GPU-00000000-0000-0000-0000-000000000001" in gpu.smi("-L").words


def test_an_unknown_field(gpu: MockGpu) -> None:
    assert gpu.smi("--query-gpu=nmae", "--format=csv") == Said(2, 'Field "nmae" is not a valid field to query.\n\n')


def test_a_stale_uvm_node_does_not_show_in_nvidia_smi(gpu: MockGpu) -> None:
    gpu.configure(uvm_major=510)
    assert gpu.smi("-L").code == 0


@pytest.mark.parametrize(
    ("lost", "settings", "code", "words"),
    [
        ("nvidiactl", {}, 9, "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."),
        ("nvidia0", {}, 6, "No devices found."),
        ("", {"kernel": "535.183.01"}, 18, "Failed to initialize NVML: Driver/library version mismatch"),
        ("", {"nvml": "999"}, 255, "Failed to initialize NVML: Unknown Error"),
        ("", {"nvml": "15"}, 15, "Failed to initialize NVML: GPU is lost"),
    ],
)
def test_it_fails_as_the_real_one(gpu: MockGpu, lost: str, settings: dict[str, str], code: int, words: str) -> None:
    gpu.nodes.pop(lost, None)
    gpu.configure(**settings)
    said = gpu.smi("-L")
    assert said.words.startswith(words)
    assert said.code == code


def test_without_the_library_it_says_so(gpu: MockGpu) -> None:
    gpu.drop_libraries(["libnvidia-ml"])
    said = gpu.smi("-L")
    assert said.words.startswith("NVIDIA-SMI couldn't find libnvidia-ml.so library in your system.")
    assert said.code == 12


def test_a_node_that_is_no_device_is_no_driver(gpu: MockGpu) -> None:
    del gpu.nodes["nvidiactl"]
    done = subprocess.run(
        gpu.command("sh", "-c", f": >/dev/nvidiactl; exec {gpu.folder}/nvidia-smi -L"),
        env=gpu.environment,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 9
