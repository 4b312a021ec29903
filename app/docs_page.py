"""The API page at /docs: Swagger UI, served from here, that asks for a key where one is needed to read the document.

Its files are read once and answered from memory: a thread and an open file for each of many clients that ask for a
megabyte and read nothing would hold up everyone else. The page itself tells nothing of the model and is open. A key
typed into it stays in the page's memory.
"""

from __future__ import annotations

from base64 import b64encode
from functools import cache
from hashlib import sha256
from importlib.resources import files

from anyio.to_thread import run_sync
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

#: Where the page's files are, below the page's own folder.
STATIC = "static-offline-docs"
#: Name of a file -> its type.
_FILES = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css", "favicon.png": "image/png"}
_SCRIPT = """
const where = new URL("openapi.json", location.href).href;
const form = document.querySelector("form");
let key = "";

function signed(request) {
  if (key && !request.headers.Authorization) request.headers.Authorization = "Bearer " + key;
  return request;
}

async function show() {
  const answer = await fetch(where, signed({headers: {}}));
  form.hidden = answer.status !== 401;
  if (answer.status === 401) {
    document.querySelector("output").value = key ? (await answer.json()).detail : "";
    return;
  }
  SwaggerUIBundle({
    url: where,
    dom_id: "#swagger-ui",
    layout: "BaseLayout",
    deepLinking: true,
    presets: [SwaggerUIBundle.presets.apis],
    requestInterceptor: signed,
  });
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  key = form.elements.key.value.trim();
  show();
});
show();
"""
_PAGE = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Counterfoil</title>
<link rel="stylesheet" href="{STATIC}/swagger-ui.css">
<link rel="icon" href="{STATIC}/favicon.png">
</head>
<body>
<form hidden>
<label>API key <input name="key" type="password" autocomplete="off" required></label>
<button>Show the API</button>
<output></output>
</form>
<div id="swagger-ui"></div>
<script src="{STATIC}/swagger-ui-bundle.js"></script>
<script>{_SCRIPT}</script>
</body>
</html>
"""
#: Content-Security-Policy of the page: its own files, its one script, and nothing from anywhere else. Swagger UI sets
#: styles in place and draws its icons from data: URLs.
POLICY = (
    "default-src 'none'; "
    f"script-src 'self' 'sha256-{b64encode(sha256(_SCRIPT.encode()).digest()).decode()}'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


async def docs_page(_request: Request) -> Response:
    """The page."""
    return HTMLResponse(_PAGE)


async def docs_file(request: Request) -> Response:
    """A file of the page."""
    name = request.path_params["name"]
    if name not in _FILES:
        raise HTTPException(404)
    return Response(await run_sync(_content, name), media_type=_FILES[name])


@cache
def _content(name: str) -> bytes:
    return (files("fastapi_offline") / "static" / name).read_bytes()
