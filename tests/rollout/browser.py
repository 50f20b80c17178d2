"""A real browser, asked by its own command line."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import struct
import subprocess
import zlib
from pathlib import Path
from typing import Any

from lab.system import BROWSERS

_SECONDS = 60
_LOOK = """
<script>
addEventListener("load", () => {
const box = e => { const r = e.getBoundingClientRect(); return [r.left, r.top, r.width, r.height].map(Math.round); };
const all = s => [...document.querySelectorAll(s)];
const pre = document.createElement("pre");
pre.id = "seen";
pre.textContent = JSON.stringify({
  title: document.title,
  text: document.body.innerText,
  fetched: performance.getEntriesByType("resource").map(e => e.name),
  scripts: all("script").length - 1,
  images: all("img").map(img => ({source: img.currentSrc, width: img.complete ? img.naturalWidth : 0, alt: img.alt})),
  wide: document.documentElement.scrollWidth > innerWidth,
  lanes: all(".lane").map(lane => ({
    stack: lane.closest("tr").cells[0].innerText, box: box(lane),
    bars: [...lane.children].map(bar => ({
      box: box(bar), colour: getComputedStyle(bar).backgroundColor, title: bar.title,
    })),
  })),
});
document.body.append(pre);
});
</script>
"""


def browser() -> str:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    assert found, "there is no chromium: `python -m lab prepare` installs it, or `apt-get install chromium`"
    return found


def look(page: Path, *, width: int = 1200) -> dict[str, Any]:
    """What the browser made of a page; looked at in a copy that has our question at its end."""
    copy = page.with_suffix(".looked.html")
    copy.write_text(page.read_text().replace("</body>", f"{_LOOK}</body>"))
    done = _run(page.parent, "--dump-dom", "--enable-logging=stderr", f"--window-size={width},900", copy.as_uri())
    match = re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, re.DOTALL)
    assert match, done.stdout[-2000:]
    seen: dict[str, Any] = json.loads(html.unescape(match[1]))
    return {**seen, "console": re.findall(r"CONSOLE[:(]\d+[])]?\)?\] (.*)", done.stderr)}


def screenshot(page: Path, *, width: int = 1200, height: int = 900) -> tuple[int, int, set[tuple[int, int, int]]]:
    """Width, height and the colours of the page as it is drawn."""
    target = page.with_suffix(".png")
    _run(page.parent, f"--screenshot={target}", f"--window-size={width},{height}", page.as_uri())
    return _colours(target.read_bytes())


def _run(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Its profile, caches and crash folder below `home`; no sandbox, for root has none; no name resolves."""
    flags = ["--headless", "--disable-gpu", "--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars"]
    flags += ["--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", "TZ": "UTC"}
    done = subprocess.run(
        [browser(), *flags, f"--user-data-dir={home / 'browser'}", *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done


def _colours(png: bytes) -> tuple[int, int, set[tuple[int, int, int]]]:
    """Read a PNG of 8 bit RGB or RGBA, as the browser writes it."""
    position, data = 8, b""
    while position < len(png):
        size, kind = struct.unpack(">I4s", png[position : position + 8])
        body = png[position + 8 : position + 8 + size]
        if kind == b"IHDR":
            width, height, depth, form = struct.unpack(">IIBB", body[:10])
        elif kind == b"IDAT":
            data += body
        position += size + 12
    assert depth == 8
    step = {2: 3, 6: 4}[form]
    rows, line, found = zlib.decompress(data), width * step + 1, set[tuple[int, int, int]]()
    previous = bytearray(line - 1)
    for y in range(height):
        kind, row = rows[y * line], bytearray(rows[y * line + 1 : (y + 1) * line])
        _unfilter(kind, row, previous, step)
        found |= {(row[x], row[x + 1], row[x + 2]) for x in range(0, len(row), step)}
        previous = row
    return width, height, found


def _unfilter(kind: int, row: bytearray, above: bytearray, step: int) -> None:
    for x in range(len(row)):
        left = row[x - step] if x >= step else 0
        corner = above[x - step] if x >= step else 0
        row[x] = (row[x] + (0, left, above[x], (left + above[x]) // 2, _paeth(left, above[x], corner))[kind]) & 255


def _paeth(left: int, above: int, corner: int) -> int:
    guess = left + above - corner
    distances = [(abs(guess - left), 0, left), (abs(guess - above), 1, above), (abs(guess - corner), 2, corner)]
    return min(distances)[2]
