"""The dashboard: files that the browser gets, and the headers that keep it to itself.

The page holds no data; what it shows it asks the API for, with the token if there is one.
"""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI, Response
from fastapi.responses import FileResponse
from starlette.staticfiles import StaticFiles
from starlette.types import Message, Receive, Scope, Send

__all__ = ["install"]

FOLDER = Path(__file__).parent / "dashboard"
# A frame on this machine may hold it: JupyterLab shows it beside a notebook.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'self' http://localhost:* http://127.0.0.1:*"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


class Files(StaticFiles):
    """Static files with these headers."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                more = [(k.lower().encode(), v.encode()) for k, v in HEADERS.items()]
                message["headers"] = [*message["headers"], *more]
            await send(message)

        await super().__call__(scope, receive, tell)


async def get_page() -> Response:
    """The dashboard."""
    return FileResponse(FOLDER / "index.html", headers=HEADERS)


def install(app: FastAPI) -> None:
    """Serve the page at `/`, and what belongs to it below `/dashboard`."""
    app.add_api_route("/", get_page, include_in_schema=False)
    app.mount("/dashboard", Files(directory=FOLDER), name="dashboard")
