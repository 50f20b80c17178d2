"""What libnvidia-container does in legacy mode on cgroup v2, with the kernel's own bpf(2), and a guard of the sysctls.

A cgroup-device program is loaded as runc loads one, read back (BPF_OBJ_GET_INFO_BY_FD), a rule for major 195 is put in
front, and the result is loaded. Nothing is attached: no device filter of this machine changes.

  python blinded.py try          prints JSON: what was read back, and whether the result was loaded
  python blinded.py guard        puts the sysctls back when its stdin ends, also because its parent was killed
"""

from __future__ import annotations

import ctypes
import json
import os
import struct
import sys
from pathlib import Path

SYSCTLS = ("/proc/sys/net/core/bpf_jit_harden", "/proc/sys/kernel/kptr_restrict")
_SYS_BPF = 321
"""x86-64."""
_PROG_LOAD, _GET_INFO = 5, 15
_CGROUP_DEVICE, _ATTACH_CGROUP_DEVICE = 15, 6
_LOG_BYTES, _MOST_BYTES = 65536, 8 * 4096
_libc = ctypes.CDLL(None, use_errno=True)


def _instruction(code: int, target: int = 0, source: int = 0, offset: int = 0, value: int = 0) -> bytes:
    return struct.pack("<BBhi", code, (source << 4) | target, offset, value)


_READ_MAJOR = _instruction(0x61, 4, 1, 4)
_ALLOW = _instruction(0xB7, 0, 0, 0, 1) + _instruction(0x95)
_DENY = _instruction(0xB7, 0, 0, 0, 0) + _instruction(0x95)
RUNC = _READ_MAJOR + _instruction(0x61, 5, 1, 8) + _instruction(0x55, 4, 0, 3, 1) + _instruction(0x55, 5, 0, 2, 3)
RUNC += _ALLOW + _DENY
"""Allows character device 1:3, denies the rest."""
RULE = _READ_MAJOR + _instruction(0x55, 4, 0, 2, 195) + _ALLOW
"""Allows major 195, falls through otherwise."""


def _bpf(command: int, attributes: bytes) -> int:
    buffer = ctypes.create_string_buffer(attributes, 144)
    result: int = _libc.syscall(_SYS_BPF, command, buffer, 144)
    return result


def _load(program: bytes) -> tuple[int, str]:
    code, licence = ctypes.create_string_buffer(program, len(program)), ctypes.create_string_buffer(b"Apache")
    log = ctypes.create_string_buffer(_LOG_BYTES)
    attributes = struct.pack(
        "<IIQQIIQII16sII",
        _CGROUP_DEVICE,
        len(program) // 8,
        ctypes.addressof(code),
        ctypes.addressof(licence),
        1,
        _LOG_BYTES,
        ctypes.addressof(log),
        0,
        0,
        b"device",
        0,
        _ATTACH_CGROUP_DEVICE,
    )
    return _bpf(_PROG_LOAD, attributes), log.value.decode()


def _read_back(program: int) -> bytes:
    code = ctypes.create_string_buffer(_MOST_BYTES)
    info = bytearray(256)
    struct.pack_into("<I", info, 20, _MOST_BYTES)  # xlated_prog_len
    struct.pack_into("<Q", info, 32, ctypes.addressof(code))  # xlated_prog_insns
    buffer = ctypes.create_string_buffer(bytes(info), len(info))
    if _bpf(_GET_INFO, struct.pack("<IIQ", program, len(info), ctypes.addressof(buffer))) < 0:
        raise OSError(ctypes.get_errno(), "BPF_OBJ_GET_INFO_BY_FD")
    [length] = struct.unpack_from("<I", buffer.raw, 20)
    return code.raw[:length]


def attempt() -> dict[str, object]:
    """Load, read back, put a rule in front, load again."""
    program, log = _load(RUNC)
    if program < 0:
        return {"could_not_tell": f"bpf(BPF_PROG_LOAD): {os.strerror(ctypes.get_errno())} {log.strip()}"}
    found = _read_back(program)
    again, log = _load(RULE + found)
    return {"bytes": len(found), "zero": not any(found), "loaded": again >= 0, "log": log.strip()}


def guard() -> None:
    """Say that the values are known, wait for the end of stdin, put them back."""
    before = {path: Path(path).read_text() for path in SYSCTLS}
    print("guarding", flush=True)
    sys.stdin.buffer.read()
    for path, value in before.items():
        Path(path).write_text(value)


if __name__ == "__main__":
    if sys.argv[1:] == ["guard"]:
        guard()
    else:
        print(json.dumps(attempt()))
