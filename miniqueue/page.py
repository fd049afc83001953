"""The dashboard and the API's description: files that the browser gets, and the headers that keep
both to themselves.

The pages hold no data; what they show they ask the API for, with the token if there is one. All of
their files are here: a classroom may have no internet.
"""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

from fastapi import FastAPI, Response
from fastapi.openapi.docs import get_swagger_ui_html
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


async def get_docs() -> Response:
    """The API's description, with buttons to try it (Swagger UI)."""
    page = get_swagger_ui_html(
        openapi_url="openapi.json",
        title="miniqueue: the API",
        swagger_js_url="docs/swagger-ui-bundle.js",
        swagger_css_url="docs/swagger-ui.css",
        swagger_favicon_url="dashboard/icon.svg",
    )
    page.headers.update(HEADERS)
    page.headers["Content-Security-Policy"] = _policy_of(bytes(page.body).decode())
    return page


def _policy_of(page: str) -> str:
    """POLICY, which also allows the one script that stands in the page, and Swagger UI's icons."""
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = POLICY.replace("script-src 'self'", f"script-src 'self' 'sha256-{digest}'")
    return policy.replace("img-src 'self'", "img-src 'self' data:")


def install(app: FastAPI) -> None:
    """Serve the dashboard at `/` and the description at `/docs`, and below `/dashboard` and `/docs`
    what belongs to them.
    """
    app.add_api_route("/", get_page, include_in_schema=False)
    app.mount("/dashboard", Files(directory=FOLDER), name="dashboard")
    app.add_api_route("/docs", get_docs, include_in_schema=False)
    app.mount("/docs", Files(packages=[("fastapi_offline", "static")]), name="docs")
