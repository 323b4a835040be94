"""The program with faults in it, to see that fuzzing finds them: `python -m tests.fuzz.faults <fault>,… serve`."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final

from ai_grpc import cli
from ai_grpc.errors import InvalidArgument, Violation
from ai_grpc.services.models import ModelServicer
from ai_grpc.services.signals import SignalServicer
from ai_grpc.services.training import TrainingServicer
from ai_grpc.settings import MIB

Handler = Callable[[Any, Any, Any], Awaitable[Any]]

LEAK: Final = 8 * MIB

_kept: list[bytes] = []


def raising(handler: Handler) -> Handler:
    """A bare exception for something unexpected in the request."""

    async def faulty(servicer: Any, request: Any, context: Any) -> Any:
        if not request.alias.islower():
            raise KeyError(request.alias)
        return await handler(servicer, request, context)

    return faulty


def writing(handler: Handler) -> Handler:
    """A refusal after the work was done."""

    async def faulty(servicer: Any, request: Any, context: Any) -> Any:
        await handler(servicer, request, context)
        raise InvalidArgument(Violation("request", "came too late"))

    return faulty


def leaking(handler: Handler) -> Handler:
    """Memory that is never given back."""

    async def faulty(servicer: Any, request: Any, context: Any) -> Any:
        _kept.append(os.urandom(LEAK))
        return await handler(servicer, request, context)

    return faulty


def dying(handler: Handler) -> Handler:
    """A crash of the whole process."""

    async def faulty(servicer: Any, request: Any, context: Any) -> Any:
        if request.page_size < 0:
            os._exit(139)
        return await handler(servicer, request, context)

    return faulty


def silent(handler: Handler) -> Handler:
    """A refusal without its reason."""

    async def faulty(servicer: Any, request: Any, context: Any) -> Any:
        if not request.signal_id:
            await context.abort_with_status(_bare_status())
        return await handler(servicer, request, context)

    return faulty


def _bare_status() -> Any:
    from google.rpc.status_pb2 import Status
    from grpc_status.rpc_status import to_status

    return to_status(Status(code=3, message="no"))


FAULTS: Final[dict[str, tuple[type, str, Callable[[Handler], Handler]]]] = {
    "raises": (ModelServicer, "ResolveModelAlias", raising),
    "writes a row": (ModelServicer, "RegisterModel", writing),
    "changes a row": (ModelServicer, "UpdateModel", writing),
    "stores an episode": (TrainingServicer, "AddEpisodes", writing),
    "leaks": (ModelServicer, "GetModel", leaking),
    "dies": (ModelServicer, "ListModels", dying),
    "gives no reason": (SignalServicer, "GetSignal", silent),
}


if __name__ == "__main__":
    for name in sys.argv.pop(1).split(","):
        servicer, method, fault = FAULTS[name]
        setattr(servicer, method, fault(getattr(servicer, method)))
    cli.main()
