"""Fault buttons: routes that kill, freeze and thaw workers and pause Redis, in a class.

They are there only where a stack was launched for one (miniqueue.classroom): it does the deed
itself, on its own processes, and tells the API where to ask. A bare API has no such routes.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from typing import Annotated, Literal

from fastapi import Body, FastAPI, HTTPException, Response
from fastapi.responses import JSONResponse

__all__ = ["ASK", "install"]

ASK = "MINIQUEUE_FAULTS"  # where the stack listens: an address with a secret in it
Fault = Literal["kill", "freeze", "thaw", "pause-redis"]


class Faults:
    """The routes, as methods."""

    def __init__(self, address: str) -> None:
        self._address = address

    def get_classroom(self) -> Response:
        """The faults that there are buttons for."""
        return JSONResponse({"faults": ["kill", "freeze", "thaw", "pause-redis"]})

    def post_fault(
        self, fault: Fault, worker: Annotated[str, Body(embed=True, max_length=64)] = ""
    ) -> Response:
        """Do it: to the worker of that name, or to Redis."""
        body = json.dumps({"fault": fault, "worker": worker}).encode()
        try:
            with urllib.request.urlopen(self._address, body, timeout=10) as reply:
                return JSONResponse(json.load(reply))
        except urllib.error.HTTPError as refused:
            raise HTTPException(409, refused.read().decode()) from None
        except OSError as error:
            raise HTTPException(503, f"the stack does not answer: {error}") from None


def install(app: FastAPI) -> None:
    """Add the routes where a stack has told of itself."""
    if address := os.environ.get(ASK):
        faults = Faults(address)
        add = app.add_api_route
        add("/classroom", faults.get_classroom, include_in_schema=False)
        add("/classroom/{fault}", faults.post_fault, methods=["POST"], include_in_schema=False)
