"""The API page: it runs under its own policy, and its script asks for a key where one is needed."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from base64 import b64encode
from pathlib import Path

import pytest

from tests.app.calls import Client

# The page's elements and the network as the script sees them; Swagger UI only says what it was given.
_BROWSER = """
const form = {hidden: true, elements: {key: {value: ""}}, on: {}, addEventListener(name, act) { this.on[name] = act; }};
const output = {value: ""};
globalThis.location = {href: "https://bank.example/scoring/docs"};
globalThis.document = {querySelector: (name) => ({form, output})[name]};
const seen = {asked: [], shown: [], forms: []};
globalThis.fetch = async (url, {headers}) => {
  seen.asked.push([url, headers.Authorization ?? null]);
  const good = !KEYED || headers.Authorization === "Bearer good";
  return {status: good ? 200 : 401, json: async () => ({detail: "the API key is unknown or was revoked"})};
};
globalThis.SwaggerUIBundle = (options) => {
  const own = options.requestInterceptor({headers: {Authorization: "Bearer typed"}}).headers.Authorization;
  const sent = options.requestInterceptor({headers: {}}).headers.Authorization ?? null;
  seen.shown.push([options.url, sent, own]);
};
globalThis.SwaggerUIBundle.presets = {apis: null};
const settle = () => new Promise((done) => setTimeout(done));
(async () => {
  eval(SCRIPT);
  await settle();
  seen.forms.push([form.hidden, form.hidden ? "" : output.value]);
  for (const key of TYPED) {
    form.elements.key.value = key;
    form.on.submit({preventDefault() {}});
    await settle();
    seen.forms.push([form.hidden, form.hidden ? "" : output.value]);
  }
  console.log(JSON.stringify(seen));
})();
"""


def script(client: Client) -> str:
    (found,) = re.findall(r"<script>(.*?)</script>", client.get("/docs").text, re.DOTALL)
    return str(found)


def test_the_policy_lets_the_pages_own_script_run_and_no_other(client: Client) -> None:
    page = client.get("/docs")
    digest = b64encode(hashlib.sha256(script(client).encode()).digest()).decode()
    policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
    assert policy["script-src"] == f"'self' 'sha256-{digest}'"
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert not re.search(r"\son\w+=|https?://", page.text)


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
@pytest.mark.parametrize("keyed", [False, True])
def test_the_script_asks_for_a_key_only_where_one_is_needed(client: Client, tmp_path: Path, keyed: bool) -> None:
    typed = ["bad", " good "] if keyed else []
    constants = {"KEYED": keyed, "TYPED": typed, "SCRIPT": script(client)}
    program = tmp_path / "page.js"
    program.write_text(
        "".join(f"const {name} = {json.dumps(value)};\n" for name, value in constants.items()) + _BROWSER
    )
    done = subprocess.run(["node", program], capture_output=True, text=True, check=True)
    seen = json.loads(done.stdout)
    url = "https://bank.example/scoring/openapi.json"
    if keyed:
        assert seen["asked"] == [[url, None], [url, "Bearer bad"], [url, "Bearer good"]]
        assert seen["forms"] == [[False, ""], [False, "the API key is unknown or was revoked"], [True, ""]]
        assert seen["shown"] == [[url, "Bearer good", "Bearer typed"]]
    else:
        assert seen["asked"] == [[url, None]]
        assert seen["forms"] == [[True, ""]]
        assert seen["shown"] == [[url, None, "Bearer typed"]]


def test_the_pages_files_are_served_from_here_and_no_others(client: Client) -> None:
    names = re.findall(r'(?:href|src)="(static-offline-docs/[^"]+)"', client.get("/docs").text)
    types = {name: client.get(f"/{name}").headers["content-type"].split(";")[0] for name in names}
    assert sorted(types.values()) == ["image/png", "text/css", "text/javascript"]
    assert all(len(client.get(f"/{name}").content) > 1_000 for name in names)
    for name in ("redoc.standalone.js", "..%2fcore.py", "", "x/y"):
        assert client.get(f"/static-offline-docs/{name}").status_code == 404
