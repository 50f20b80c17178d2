"""Whether anything listens at a machine API's port: quickly told, where a call would wait for its own deadline."""

from __future__ import annotations

import asyncio

from talos_gpu.talos.endpoint import split_endpoint


async def not_listening(endpoint: str, port: int, seconds: float) -> str:
    """Return why no connection to `endpoint` could be made within `seconds`; "" if one could, and it is closed again.

    A host that is down is silent, and the kernel's own repeats come ever later (1, 3, 7 s): a short attempt, repeated,
    sees a host come back sooner than a long one.
    """
    host, dialled = split_endpoint(endpoint, port)
    try:
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(host, dialled)
    except TimeoutError:
        return f"cannot connect to {host}:{dialled}: no answer"
    except OSError as error:
        return f"cannot connect to {host}:{dialled}: {error.strerror or error}"
    writer.close()
    return ""
