"""Take the pictures in docs/ of a version's report, and of an alert in the console, in Debian's Chromium.

counterfoil simulate --out payments.parquet && counterfoil train payments.parquet --profile payments
python benchmarks/pictures.py artifacts/VERSION/report.html
python benchmarks/pictures.py http://127.0.0.1:8000/console/alerts/N    # that `make demo` serves; it is taken
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

DOCS = Path(__file__).parents[1] / "docs"
#: Pixels around what is shown.
MARGIN = 12
#: The notes under charts and tables, which are too small to read in a picture.
WITHOUT_NOTES = ".split figcaption, .split p { display: none } .split .scroll { margin-bottom: 0 }"


def main() -> None:
    """Parse arguments, take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", help="a report, or the address of an alert")
    parser.add_argument("--out", type=Path, default=DOCS)
    arguments = parser.parse_args()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        if arguments.page.startswith("http"):
            page = browser.new_page(viewport={"width": 1366, "height": 768})
            page.goto(arguments.page)
            page.click("button[formaction$='/take'], form[action$='/take'] button")
            page.screenshot(path=arguments.out / "console.png")
        else:
            page = browser.new_page(viewport={"width": 1120, "height": 900}, device_scale_factor=1.5)
            page.goto(Path(arguments.page).resolve().as_uri())
            page.add_style_tag(content=WITHOUT_NOTES)
            take(page, ".headline", ".tiles", arguments.out / "report.png")
            take(page, ".split", ".split", arguments.out / "caught.png")
        browser.close()


def take(page: Page, first: str, last: str, path: Path) -> None:
    """What lies between the first of one selector and the first of another, both included, as PNG."""
    boxes = [box for box in (page.locator(one).first.bounding_box() for one in (first, last)) if box]
    left, top = (min(box[side] for box in boxes) - MARGIN for side in ("x", "y"))
    right = max(box["x"] + box["width"] for box in boxes) + MARGIN
    bottom = max(box["y"] + box["height"] for box in boxes) + MARGIN
    clip = {"x": left, "y": top, "width": right - left, "height": bottom - top}
    page.screenshot(path=path, full_page=True, clip=clip)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
