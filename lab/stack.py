"""Stacks of the lab: the project's own program on the lab's engine, state and credentials.

The checked-in `Pulumi.lab.yaml` is the template; what only this lab knows (addresses, paths of its credentials) is set
in a copy below the lab's folder, so neither the checkout nor the user's own Pulumi, kubeconfig or talosconfig changes.
"""

from __future__ import annotations

import copy
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import yaml

from lab.cluster.pki import write_private
from lab.engine.install import Engine, install
from lab.errors import LabRefused, StepFailed
from lab.images.oci import pinned
from lab.lab import Lab
from lab.nodes import Node
from lab.paths import PROJECT, LabPaths

NAMESPACE = "talos-nvidia-cdi"
OPERATION_S = 1800.0
"""Seconds that `pulumi` may take: what waits longest in the program, the worker, has 15 minutes and is not alone."""
INTERRUPTED_S = 60.0
"""Seconds that `pulumi` has to end what it has begun, once it was interrupted: killed it leaves its stack locked."""
SHARED_BY_THE_FIRST: Mapping[str, Any] = {
    "cdi": {"runtime_class_owner": False},
    "tdarr": {"namespace": {"create": False}},
}
"""Settings of every further node: the first one's stack makes what they share, RuntimeClass and namespace."""


def plugins_wanted() -> Literal["standin", "official"]:
    """Which provider plugins the lab uses: stand-ins unless LAB_PLUGINS=official."""
    named = os.environ.get("LAB_PLUGINS", "standin")
    if named == "official":
        return "official"
    if named != "standin":
        raise LabRefused(f"LAB_PLUGINS={named!r} is neither standin nor official", remedy="unset LAB_PLUGINS")
    return "standin"


def engine_of(lab: Lab, home: LabPaths | None = None) -> Engine:
    """Lay out a PULUMI_HOME below `home`, the lab's own folder unless said, and return the engine in it."""
    return install((home or lab.paths).pulumi_home, lab.binaries, Path(sys.prefix) / "bin" / "python", plugins_wanted())


class Stack:
    """The stack of one node."""

    def __init__(
        self, lab: Lab, node: Node, overrides: Mapping[str, Any] | None = None, home: LabPaths | None = None
    ) -> None:
        """`overrides`: settings by top-level key, laid over the template's.

        `home`: where configuration, state and engine are; the lab's own folder unless said.
        """
        self.lab, self.node = lab, node
        self.home = home or lab.paths
        self.name = "lab" if node.name == "lab-1" else node.name
        self.engine = engine_of(lab, self.home)
        self.config = self.home.root / f"Pulumi.{self.name}.yaml"
        self._overrides: dict[str, Any] = {}
        if node.name != lab.node().name:
            merge(self._overrides, copy.deepcopy(dict(SHARED_BY_THE_FIRST)))
        merge(self._overrides, overrides or {})

    @property
    def passphrase(self) -> Path:
        """The file with the passphrase that encrypts the lab's state."""
        return self.home.root / "passphrase"

    def environment(self) -> dict[str, str]:
        """What `pulumi` runs with: everything of it below the lab's folder."""
        found = self.engine.env(self.home.pulumi_state, self.passphrase)
        return {key: value for key, value in found.items() if key not in ("TALOSCONFIG", "KUBECONFIG")}

    def init(self) -> None:
        """Write the stack's configuration and make the stack, unless both are there."""
        if not self.passphrase.exists():
            write_private(self.passphrase, secrets.token_urlsafe(24))
        self.home.pulumi_state.mkdir(parents=True, exist_ok=True)
        # `stack` commands take no --config-file: they run where this project file and the stacks' files lie
        (self.home.root / "Pulumi.yaml").write_text(yaml.safe_dump({"name": NAMESPACE, "runtime": "python"}))
        self.write_config()
        known = self.run("stack", "ls", "--json")
        if self.name not in {entry["name"] for entry in json.loads(known.stdout)}:
            self.run("stack", "init", self.name, "--no-select")
        self.free()

    def free(self) -> bool:
        """Take away the lock of a `pulumi` that was killed; returns whether there was one."""
        dead = self._locked_by_the_dead()
        if dead:
            self.run("cancel", "--yes", "-s", self.name)
        return dead

    def _locked_by_the_dead(self) -> bool:
        locks = (self.home.pulumi_state / ".pulumi/locks/organization" / NAMESPACE / self.name).glob("*.json")
        found = [json.loads(lock.read_text()) for lock in locks]
        return bool(found) and not any(_runs(lock["hostname"], lock["pid"]) for lock in found)

    def write_config(self, more: Mapping[str, Any] | None = None) -> None:
        """Render the configuration: the template, what only this lab knows, overrides and `more`; the salt is kept.

        The lab's images are named by tag and digest.
        """
        template = yaml.safe_load((PROJECT / "Pulumi.lab.yaml").read_text())
        config: dict[str, Any] = template["config"]
        paths = self.lab.paths
        merge(
            config,
            {
                f"{NAMESPACE}:node": {"name": self.node.name, "address": self.node.endpoint},
                f"{NAMESPACE}:talosconfig": str(paths.talosconfig),
                f"{NAMESPACE}:kubeconfig": str(paths.kubeconfig),
                f"{NAMESPACE}:machine": {"base": str(paths.talos / f"{self.node.name}.yaml")},
            },
        )
        for part in ("cdi", "tdarr"):
            settings = config[f"{NAMESPACE}:{part}"]
            settings["image"] = pinned(self.node.images, settings["image"])
        for overrides in (self._overrides, more or {}):
            merge(config, {f"{NAMESPACE}:{key}": value for key, value in overrides.items()})
        salt = yaml.safe_load(self.config.read_text()).get("encryptionsalt") if self.config.exists() else None
        document = {**({"encryptionsalt": salt} if salt else {}), "config": config}
        fresh = self.config.with_suffix(".new")
        fresh.write_text(yaml.safe_dump(document, sort_keys=False))
        fresh.rename(self.config)

    def run(
        self, *words: str, check: bool = True, timeout: float = OPERATION_S, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `pulumi WORDS` non-interactively; StepFailed with what it said unless it ends with 0 or not `check`.

        After `timeout` seconds, and at Ctrl-C, it is interrupted and has INTERRUPTED_S to end by itself; then
        StepFailed or KeyboardInterrupt.
        """
        command = [str(self.engine.pulumi), "--non-interactive", "--color", "never", *words]
        with subprocess.Popen(
            command,
            cwd=cwd or self.home.root,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                said, errors = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                last = _ended(process, told=False)
                raise StepFailed(
                    f"`pulumi {' '.join(words)}` did not end within {timeout:.0f} s; it said:\n{last}",
                    remedy="run again: what it has made stays, and the next one goes on from there",
                ) from None
            except KeyboardInterrupt:
                print(
                    f"lab: interrupted; pulumi has {INTERRUPTED_S:.0f} s to end what it does",
                    file=sys.stderr,
                    flush=True,
                )
                _ended(process, told=True)
                raise
        if check and process.returncode:
            raise StepFailed(f"`pulumi {' '.join(words)}` ended with {process.returncode}:\n{said}{errors}")
        return subprocess.CompletedProcess(command, process.returncode, said, errors)

    def operation(self, verb: str, *flags: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`pulumi VERB` on this stack with its configuration; `up`, `destroy` and `refresh` say yes by themselves."""
        yes = [] if verb == "preview" else ["--yes"]
        return self.run(
            verb, "-s", self.name, "--config-file", str(self.config), *yes, *flags, check=check, cwd=PROJECT
        )

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs, secrets shown."""
        said = self.run("stack", "output", "-s", self.name, "--json", "--show-secrets").stdout
        found: dict[str, Any] = json.loads(said)
        return found

    def outputs_of(self, kind: str) -> dict[str, Any]:
        """The outputs of the one resource of a type, secrets as ciphertext."""
        [found] = [resource["outputs"] for resource in self.resources() if resource["type"] == kind]
        return dict(found)

    def exported(self) -> dict[str, Any]:
        """The stack's deployment as `pulumi stack export` gives it (secrets as ciphertext)."""
        deployment: dict[str, Any] = json.loads(self.run("stack", "export", "-s", self.name).stdout)
        return deployment

    def resources(self) -> Iterator[dict[str, Any]]:
        """The resources in the state."""
        yield from self.exported()["deployment"].get("resources") or ()


def _ended(process: subprocess.Popen[str], *, told: bool) -> str:
    """What `pulumi` said until it ended; `told`: it has had an interrupt already, the terminal's."""
    for _ in range(2):
        if not told:
            process.send_signal(signal.SIGINT)
        told = False
        with suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
            return "".join(process.communicate(timeout=INTERRUPTED_S))
    process.kill()
    with suppress(subprocess.TimeoutExpired):  # what it has started may still hold its output
        return "".join(process.communicate(timeout=5))
    return ""


def _runs(hostname: str, pid: int) -> bool:
    """Whether a lock's `pulumi` still runs; of another machine's nothing is known, so it does."""
    if hostname != socket.gethostname():
        return True
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() == "pulumi"
    except (FileNotFoundError, ProcessLookupError):
        return False


def merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Lay `more` over `into`, mapping by mapping; any other value replaces, None takes the key out."""
    for key, value in more.items():
        if value is None:
            into.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = value


def events(path: Path) -> Sequence[dict[str, Any]]:
    """The engine's events from an `--event-log` file, in order."""
    return [json.loads(line) for line in path.read_text().splitlines() if line]
