"""One self-contained web page for a panel: no kernel, no network, opens from a file."""

from __future__ import annotations

import base64
import html as escape
import json

# The part of a widget host that panel.js uses: state to read, and nobody to send to.
_HOST = """
const revive = (key, value) => {
  if (!value || typeof value !== "object" || typeof value.base64 !== "string") return value;
  return new DataView(Uint8Array.from(atob(value.base64), (c) => c.charCodeAt(0)).buffer);
};
const place = document.getElementById("panel");
const given = JSON.parse(document.getElementById("state").textContent, revive);
const model = {
  get: (name) => given.state[name],
  on() {}, off() {}, set() {}, save_changes() {},
  send() { throw new Error("a page has no kernel"); },
};
const url = URL.createObjectURL(new Blob([given.esm], { type: "text/javascript" }));
const widget = (await import(url)).default();
URL.revokeObjectURL(url);
place.replaceChildren();
widget.initialize({ model });
widget.render({ model, el: place });
"""

_STYLE = """
:root { color-scheme: light dark; }
body { margin: 0 auto; padding: 20px 24px; max-width: 1120px; background: Canvas; color: CanvasText;
  font-family: system-ui, -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 22px; font-weight: 600; margin: 0 0 10px; }
img { max-width: 100%; }
"""


def html(esm: str, css: str, state: dict, *, title: str, text: str, png: bytes) -> str:
    """The page as text.

    esm, css: front end of the widget. state: its traits; bytes may sit anywhere in it. title: heading of the page.
    text, png: line and picture for a browser that runs no scripts.
    """
    given = json.dumps({"esm": esm, "state": {**state, "offline": True}}, default=_encode).replace("</", "<\\/")
    given = given.replace("<!--", "<\\u0021--")
    picture = base64.b64encode(png).decode("ascii")
    name, line = escape.escape(title), escape.escape(text)
    still = f'<img alt="{line}" src="data:image/png;base64,{picture}"><p>{line}</p>'
    return (
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{name}</title>\n'
        f'<style>{_STYLE}{css}</style></head>\n<body class="toysup-page"><main><h1>{name}</h1>'
        f'<div id="panel"><noscript>{still}</noscript></div></main>\n'
        f'<script type="application/json" id="state">{given}</script>\n'
        f'<script type="module">{_HOST}</script>\n</body></html>\n'
    )


def _encode(value):
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"base64": base64.b64encode(bytes(value)).decode("ascii")}
    raise TypeError(f"a panel's state cannot hold {type(value).__name__}")
