"""Lays out the pages that `make docs` makes a site of: docs/, README.md and CONTRIBUTING.md.

Pages link to each other and to files of the repository by relative paths, so that they can be read
where they are. On the site those to pages hold, and those to other files become text.
"""

import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
FROM_ABOVE = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md"}
"""Pages whose sources are not in docs/, and what the site calls them."""
PICTURES = ("*.png", "*.svg")

_link = re.compile(r"(?<!!)\[([^]]+)\]\((?![a-z]+:|#)([^)#\s]+)(#[^)\s]+)?\)")


def lay_out(folder: Path) -> None:
    """Write the site's pages and pictures into a folder, which is emptied before."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    docs = ROOT / "docs"
    names = FROM_ABOVE | {f"docs/{page.name}": page.name for page in docs.glob("*.md")}
    for source, name in names.items():
        page = ROOT / source
        text = on_the_site(page.read_text(encoding="utf-8"), page.parent)
        (folder / name).write_text(text, encoding="utf-8")
    for pattern in PICTURES:
        for picture in docs.glob(pattern):
            shutil.copy(picture, folder)


def on_the_site(text: str, folder: Path) -> str:
    """Return a page with its links as they are on the site.

    Args:
        text: The page.
        folder: Where its source is.
    """

    def linked(found: re.Match[str]) -> str:
        words, path, anchor = found[1], found[2], found[3] or ""
        target = (folder / path).resolve().relative_to(ROOT).as_posix()
        if target in FROM_ABOVE:
            return f"[{words}]({FROM_ABOVE[target]}{anchor})"
        if target.startswith("docs/"):
            return f"[{words}]({target.removeprefix('docs/')}{anchor})"
        return words

    return _link.sub(linked, text)


if __name__ == "__main__":
    lay_out(Path(sys.argv[1]))
