"""Runs one Pulumi program: `python -u run_program.py ORDER [ARGS]`, started by the language host.

It lies in PULUMI_HOME/bin beside the host and imports nothing of this project, because it runs in the program's
environment. ORDER is JSON: project, stack, organization, monitor, engine, parallel, dry_run, root, directory, program.

Exit status: 0 done; 32 the engine already knows what went wrong; anything else the program's own.
"""

import asyncio
import json
import logging
import os
import runpy
import signal
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

import grpc
import pulumi
from pulumi import runtime

TOLD = 32


def end_with_parent(seconds: float = 1.0) -> None:
    """End this process soon after the one that started it is gone; a killed engine closes nothing."""
    parent = os.getppid()

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(seconds)
        os._exit(1)

    threading.Thread(target=look, daemon=True, name="end-with-parent").start()


def tell(message: str) -> int:
    """Log an error to the engine; to stderr when the engine takes nothing any more."""
    try:
        pulumi.log.error(message)
    except grpc.RpcError:
        print(message, file=sys.stderr)
    return TOLD


def prepare(order: dict[str, Any], arguments: list[str]) -> Path:
    """Set up the SDK and sys.path as `python PROGRAM` would; returns the program's path."""
    target = Path(order["directory"], order["program"]).resolve()
    sys.argv = [str(target), *arguments]
    sys.path[0] = str(target if target.is_dir() else target.parent)
    runtime.set_all_config(runtime.get_config_env(), runtime.config.get_config_secret_keys_env())
    runtime.configure(
        runtime.Settings(
            project=order["project"],
            stack=order["stack"],
            organization=order["organization"] or None,
            monitor=order["monitor"],
            engine=order["engine"],
            parallel=order["parallel"],
            dry_run=order["dry_run"],
            root_directory=order["root"],
        )
    )
    return target


def run(target: Path, parallel: int) -> int:
    """Run the program in a stack; returns the exit status. Every failure has been told when this returns."""
    # the engine tells of a task's failure itself; asyncio's "exception was never retrieved" would tell it twice
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)

    def program() -> None:
        runpy.run_path(str(target), run_name="__main__")

    loop.set_default_executor(ThreadPoolExecutor(max_workers=min(max(parallel, 1) * 4, 256)))
    try:
        loop.run_until_complete(runtime.run_in_stack(program))
    except pulumi.RunError as failed:
        return tell(str(failed))
    except grpc.RpcError as failed:
        gone = failed.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
        return TOLD if gone else tell(f"RPC error: {failed.details()}")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except KeyboardInterrupt:
        return TOLD
    except SyntaxError as failed:
        return tell("Program failed with a syntax error:\n" + "".join(traceback.format_exception_only(failed)))
    except BaseException as failed:
        return tell("Program failed with an unhandled exception:\n" + own_traceback(failed))
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
    return 0


def own_traceback(failed: BaseException) -> str:
    """The traceback from the program's first line on: what lies above it is the SDK's and runpy's."""
    frames = failed.__traceback__
    while frames is not None and not Path(frames.tb_frame.f_code.co_filename).is_relative_to(sys.path[0]):
        frames = frames.tb_next
    return "".join(traceback.format_exception(type(failed), failed, frames or failed.__traceback__))


def main() -> NoReturn:
    """Run what ORDER names and end at once: threads of gRPC may still be waiting."""
    end_with_parent()
    order = json.loads(sys.argv[1])
    target = prepare(order, sys.argv[2:])
    try:
        status = run(target, order["parallel"])
    except KeyboardInterrupt:
        # the engine asks for the end while a failure is told or tasks are cancelled: it knows of the failure
        status = TOLD
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # nothing is left to be interrupted
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
