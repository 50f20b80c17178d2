"""Create, update, read and delete one object: the official plugin's order of steps and its words."""

from __future__ import annotations

import copy
import threading
from dataclasses import dataclass, field

from lab.engine.kubernetes import awaiting, ownership
from lab.engine.kubernetes.client import Cluster
from lab.engine.kubernetes.diff import pruned
from lab.engine.kubernetes.errors import ApiFailed, KindMissing, NotReady, ProviderFault
from lab.engine.kubernetes.normal import as_said, stored
from lab.engine.kubernetes.objects import (
    SKIP_AWAIT,
    api_version_of,
    is_true,
    metadata,
    propagation_of,
    qualified,
    timeout_of,
)
from lab.engine.kubernetes.readiness import default_timeout
from lab.engine.kubernetes.settings import Settings
from lab.engine.kubernetes.wire import Object, has_unknown, without_internal

_CREATE_RETRIES = 5
_FIRST_PAUSE = 1.0
"""Seconds; doubled at each retry (await.go, Creation)."""

_CONFLICT_HELP = (
    "https://www.pulumi.com/registry/packages/kubernetes/how-to-guides/"
    "managing-resources-with-server-side-apply/#handle-field-conflicts-on-existing-resources"
)
_SERVER_FIELDS = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "uid")
_SERVER_ANNOTATIONS = ("deployment.kubernetes.io/revision", "kubectl.kubernetes.io/last-applied-configuration")


@dataclass(frozen=True, slots=True)
class Operations:
    """Operations on one reachable cluster."""

    cluster: Cluster
    settings: Settings
    cancelled: threading.Event = field(default_factory=threading.Event)

    def create(self, urn: str, inputs: Object, timeout: float, *, preview: bool, report: awaiting.Report) -> Object:
        """Make the object and wait for it; returns the state to keep. A preview asks the server by a dry run.

        Raises:
            ProviderFault: nothing was made. NotReady: it was made, but is not as it should be.
        """
        if preview and (has_unknown(inputs) or not self._kind_known(inputs)):
            return inputs
        manager = ownership.manager_of(inputs, {})
        try:
            live = self._make(inputs, manager, preview=preview, report=report)
        except ApiFailed as fault:
            if preview and (fault.code == 403 or fault.namespace_missing or fault.reason == "AlreadyExists"):
                return inputs
            raise ProviderFault(_not_created(urn, fault)) from fault
        except KindMissing as fault:
            raise ProviderFault(_not_created(urn, fault)) from fault
        if preview:
            return _state(live, inputs, manager, preview=True)
        try:
            live = self._await(live, inputs, timeout, report)
        except NotReady as fault:
            raise NotReady(
                f'resource "{urn}" was successfully created, but the Kubernetes API server reported that it failed '
                f"to fully initialize or become live: {fault}",
                _state(fault.live, inputs, manager),
                fault.reasons,
            ) from fault
        return _state(live, inputs, manager)

    def _make(self, inputs: Object, manager: str, *, preview: bool, report: awaiting.Report) -> Object:
        """POST, again while the namespace or the kind is still to come."""
        pause = _FIRST_PAUSE
        for attempt in range(_CREATE_RETRIES + 1):
            try:
                if self.settings.upsert:
                    force = preview or ownership.forced(inputs, {}, always=self.settings.patch_force, preview=preview)
                    return self.cluster.apply(inputs, manager=manager, dry_run=preview, force=force)
                return self.cluster.create(inputs, manager=manager, dry_run=preview)
            except (ApiFailed, KindMissing) as fault:
                transient = isinstance(fault, KindMissing) or fault.code == 404
                if preview or not transient or attempt == _CREATE_RETRIES or self.cancelled.is_set():
                    raise
                report(f"Retry #{attempt}; creation failed: {fault}")
                self.cancelled.wait(pause)
                pause *= 2
        raise AssertionError("the last attempt returns or raises")

    def update(
        self,
        urn: str,
        inputs: Object,
        old: Object,
        timeout: float,
        ignored: list[str],
        *,
        preview: bool,
        report: awaiting.Report,
    ) -> Object:
        """Apply the inputs and wait; as `create` otherwise. `old` is the state."""
        if preview and (has_unknown(inputs) or not self._kind_known(inputs)):
            return inputs
        manager = ownership.manager_of(inputs, old)
        try:
            live = self._apply(inputs, old, manager, ignored, preview=preview)
            if preview:
                return _state(live, inputs, manager, preview=True)
            live = self._await(live, inputs, timeout, report)
        except ProviderFault as fault:
            if preview and isinstance(fault, ApiFailed) and fault.code == 403:
                return inputs
            raise self._update_failed(urn, inputs, old, manager, fault) from fault
        return _state(live, inputs, manager)

    def _apply(self, inputs: Object, old: Object, manager: str, ignored: list[str], *, preview: bool) -> Object:
        live = self.cluster.get(old)
        if not preview and (handover := ownership.adoption(live, manager)):
            live = self.cluster.patch(live, handover)
        wanted = _keeping(inputs, live, ignored)
        force = ownership.forced(inputs, live, always=self.settings.patch_force, preview=preview)
        try:
            return self.cluster.apply(wanted, manager=manager, dry_run=preview, force=force)
        except ApiFailed as fault:
            if fault.code != 409:
                raise
            raise ApiFailed(
                fault.code,
                fault.reason,
                f"Server-Side Apply field conflict detected. See {_CONFLICT_HELP} for troubleshooting help.\n"
                f'The resource managed by field manager "{manager}" had an apply conflict: {fault}',
                fault.details,
            ) from fault

    def _update_failed(
        self, urn: str, inputs: Object, old: Object, manager: str, fault: ProviderFault
    ) -> ProviderFault:
        """The state after a failed update is what lives now, whatever failed (provider.go, Update)."""
        if isinstance(fault, KindMissing):
            return ProviderFault(
                f'update of resource "{urn}" failed because the Kubernetes API server reported that the apiVersion for '
                f"this resource does not exist. Verify that any required CRDs have been created: {fault}"
            )
        try:
            live = self.cluster.get(old)
        except ProviderFault as second:
            return ProviderFault(f'update of resource "{urn}" failed: {fault}\nunable to get cluster state: {second}')
        return NotReady(
            f'the Kubernetes API server reported that "{qualified(live)}" failed to fully initialize '
            f"or become live: {fault}",
            _state(live, inputs, manager),
            fault.reasons if isinstance(fault, NotReady) else [],
        )

    def read(self, obj: Object, inputs: Object, old: Object) -> tuple[Object, Object] | None:
        """The state and the inputs as the cluster has them; None when the object is gone.

        Without inputs (an import) all that a program could have said is taken from the live object.

        Raises:
            NotReady: it is there, but not ready; carries the state.
        """
        try:
            live = self.cluster.get(obj)
        except KindMissing:
            return None
        except ApiFailed as fault:
            if fault.code == 404:
                return None
            raise
        found = as_said(pruned(live, stored(inputs)), inputs) if inputs else _program_part(live)
        manager = ownership.manager_of(inputs, old)
        state = _state(live, inputs, manager)
        if inputs and not is_true(inputs, SKIP_AWAIT):
            try:
                awaiting.look(self.cluster, live)
            except NotReady as fault:
                raise NotReady(str(fault), {**state, "__readInputs": found}, fault.reasons) from fault
        return state, found

    def delete(self, obj: Object, inputs: Object, timeout: float) -> None:
        """Delete and wait until it is gone; an object that is not there counts as deleted."""
        try:
            self.cluster.delete(obj, propagation_of(inputs))
            if not is_true(inputs, SKIP_AWAIT):
                awaiting.until_gone(
                    self.cluster, obj, timeout_of(inputs, timeout, awaiting.DELETION_TIMEOUT), self.cancelled
                )
        except KindMissing:
            return
        except ApiFailed as fault:
            if fault.code != 404:
                raise
        except NotReady as fault:
            raise NotReady(
                str(fault), _state(fault.live, inputs, ownership.manager_of(inputs, obj)), fault.reasons
            ) from fault

    def _await(self, live: Object, inputs: Object, timeout: float, report: awaiting.Report) -> Object:
        if is_true(inputs, SKIP_AWAIT):
            return live
        seconds = timeout_of(inputs, timeout, default_timeout(live))
        live = awaiting.until_ready(self.cluster, live, seconds, self.cancelled, report)
        report("")
        return live

    def _kind_known(self, obj: Object) -> bool:
        try:
            self.cluster.kind(api_version_of(obj), str(obj.get("kind")))
        except ProviderFault:
            return False
        return True


def _not_created(urn: str, fault: ProviderFault) -> str:
    return f'resource "{urn}" was not successfully created by the Kubernetes API server: {fault}'


def _state(live: Object, inputs: Object, manager: str, *, preview: bool = False) -> Object:
    """What the engine keeps: the live object without its managers' bookkeeping, and which manager is ours."""
    out = copy.deepcopy(without_internal(live))
    out["metadata"].pop("managedFields", None)
    if preview:
        out.pop("status", None)  # empty in a dry run; the program would trip over it
    return {**out, "__initialApiVersion": api_version_of(inputs or live), ownership.STATE_KEY: manager}


def _program_part(live: Object) -> Object:
    out = {key: value for key, value in copy.deepcopy(live).items() if key != "status"}
    meta = {key: value for key, value in metadata(out).items() if key not in _SERVER_FIELDS}
    for key in _SERVER_ANNOTATIONS:
        meta.get("annotations", {}).pop(key, None)
    out["metadata"] = meta
    return out


def _keeping(inputs: Object, live: Object, ignored: list[str]) -> Object:
    """The inputs with the live values of ignored paths (plain dotted ones, as in the official plugin)."""
    out = copy.deepcopy(without_internal(inputs))
    for path in ignored:
        *parents, last = path.split(".")
        target, source = out, live
        for step in parents:
            target, source = target.setdefault(step, {}), source.get(step, {})
        if last in source:
            target[last] = source[last]
    return out
