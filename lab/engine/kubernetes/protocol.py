"""Faults as the plugin protocol has them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import grpc
from google.protobuf import any_pb2
from google.rpc import status_pb2
from pulumi.runtime.proto import provider_pb2

from lab.engine.kubernetes.errors import NotReady, ProviderFault
from lab.engine.kubernetes.objects import qualified
from lab.engine.kubernetes.wire import struct

_F = TypeVar("_F", bound=Callable[..., Any])


def faults(method: _F) -> _F:
    """Turn faults into the protocol's errors; an object that is there but not ready goes into the state."""

    @functools.wraps(method)
    def guarded(self: object, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ANN401 (protocol)
        try:
            return method(self, request, context)
        except NotReady as fault:
            _abort_partial(context, fault)
        except ProviderFault as fault:
            return context.abort(grpc.StatusCode.UNKNOWN, str(fault))

    return guarded  # type: ignore[return-value]


def _abort_partial(context: grpc.ServicerContext, fault: NotReady) -> NoReturn:
    live = dict(fault.live)
    inputs = live.pop("__readInputs", None)
    detail = provider_pb2.ErrorResourceInitFailed(
        id=qualified(live),
        properties=struct(live),
        reasons=[str(fault), *fault.reasons],
        inputs=struct(inputs) if inputs is not None else None,
    )
    packed = any_pb2.Any()
    packed.Pack(detail)
    status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=str(fault), details=[packed])
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(grpc.StatusCode.UNKNOWN, str(fault))
    raise AssertionError("abort raises")
