"""What the site adds to the pages of ``docs/``: the order of the navigation, generated pages, links to source files.

MkDocs calls the functions named ``on_…``. Run it from the root of the repository: ``python -m mkdocs build --strict``.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from api_reference import api_pages, plain_roles
from cli_reference import cli_page
from model_pages import with_made_parts
from recipe_reference import recipe_page

ROOT = Path(__file__).parents[2]
SECTIONS: dict[str, tuple[str, list[str]]] = {
    "Start": ("start", ["install", "first-prediction", "your-own-pair"]),
    "Notebooks": ("notebooks", ["index"]),
    "Guides": (
        "guides",
        [
            "data", "labelling", "small-data-sets", "boxes", "training", "several-gpus", "predict",
            "misaligned-cameras", "failing-sensor", "robustness", "confidence", "drone-flight", "geo", "video",
            "cluster", "app",
        ],
    ),
    "Deploying": ("deploy", ["index", "export", "tensorrt", "triton", "serve", "live", "robots", "qgis"]),
    "Models": (
        "models",
        [
            *("index", "cimnet", "cimnetx", "rtfnet", "feanet", "gmnet", "cmx", "cmnext", "eaefnet", "cainet", "sigma"),
            "baselines",
        ],
    ),
    "Paper": ("paper", ["index", "decisions"]),
    "Reference": (
        "reference",
        [
            "cli", "recipe", "data-commands", "layouts", "files", "corruptions", "robustness", "calibration", "http",
            "faults", "api",
        ],
    ),
    "Evidence": ("evidence", ["index"]),
    "Notebook": ("notebook", ["benchmarks"]),
    "Contributing": ("contributing", ["index", "extending", "releasing", "changelog", "security"]),
}  # fmt: skip
"""Title, folder, and the pages that come first, in their order; the other pages of the folder follow by name."""
INSIDE = {"Notebooks": "Start", "Deploying": "Guides", "Notebook": "Evidence"}
"""Sections that are shown inside another one."""
ROOT_PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing/index.md",
    "CHANGELOG.md": "contributing/changelog.md",
    "SECURITY.md": "contributing/security.md",
}
"""Files of the repository's root, and the pages of the site that hold them (``index.md`` is a page of its own)."""
SOURCES = {
    "src/cimnet/training/recipe_sections.py": "reference/recipe.md",
    "src/cimnet/cli/main.py": "reference/cli.md",
}
"""Source files, and the pages of the site that are generated from them: links lead to these pages there."""
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(([^()\s]+)\)")
FENCE = re.compile(r"^(```.*?^```[ \t]*$)", re.MULTILINE | re.DOTALL)


def generated_pages(repository: str) -> dict[str, str]:
    """Pages that are made from the code and from the root's files: address in the docs to Markdown."""
    pages = {"reference/cli.md": cli_page(), "reference/recipe.md": recipe_page(), **api_pages()}
    for name, address in ROOT_PAGES.items():
        if address != "index.md":
            text = (ROOT / name).read_text(encoding="utf-8")
            pages[address] = with_site_links(text, "", posixpath.dirname(f"docs/{address}"), repository)
    return pages


def with_site_links(text: str, source: str, target: str, repository: str) -> str:
    """Links of a page that hold on the site.

    Args:
        text: Markdown; fenced blocks are left alone.
        source: folder that its links are relative to, from the repository's root.
        target: folder of the page on the site, from the repository's root, inside ``docs``.
        repository: address that links to files outside ``docs/`` and to folders lead to, for the site has no pages of
            these. Empty: they become plain text.
    """

    def mend(match: re.Match[str]) -> str:
        image, label, link = match.groups()
        if "://" in link or link.startswith(("#", "mailto:")):
            return match[0]
        name, _, anchor = link.partition("#")
        path = posixpath.normpath(posixpath.join(source, name))
        pages = ROOT_PAGES | SOURCES
        path = f"docs/{pages[path]}" if path in pages else path
        is_folder = (ROOT / path).is_dir()
        if path.startswith("docs/") and not is_folder:
            return f"{image}[{label}]({posixpath.relpath(path, target)}{'#' + anchor if anchor else ''})"
        if not repository:
            return label
        kind = "tree" if is_folder else "blob"
        return f"{image}[{label}]({repository.rstrip('/')}/{kind}/main/{path}{'#' + anchor if anchor else ''})"

    parts = FENCE.split(text)
    return "".join(part if FENCE.fullmatch(part) else LINK.sub(mend, part) for part in parts)


def navigation(pages: set[str]) -> list[Any]:
    """The menu, of the pages that are there.

    Args:
        pages: addresses from the docs folder, such as ``guides/data.md``.
    """
    menu: dict[str, list[Any]] = {}
    for title, (folder, first) in SECTIONS.items():
        here = {page.removeprefix(f"{folder}/").removesuffix(".md") for page in pages if page.startswith(f"{folder}/")}
        ordered = [name for name in first if name in here] + sorted(here - set(first))
        entries: list[Any] = [f"{folder}/{name}.md" for name in ordered if "/" not in name]
        nested = [f"{folder}/{name}.md" for name in ordered if "/" in name]
        menu[title] = entries + ([{"Python, package by package": nested}] if nested else [])
    for title, parent in INSIDE.items():
        inner = menu.pop(title)
        menu[parent] += [{title: inner}] if inner else []
    return [{"Home": "index.md"}, *({title: entries} for title, entries in menu.items() if entries)]


def on_config(config: Any) -> Any:
    """Make the pages, and the menu."""
    config["pages_made"] = generated_pages(config.extra["repository"])
    docs = Path(config.docs_dir)
    written = {path.relative_to(docs).as_posix() for path in docs.rglob("*.md")}
    config.nav = navigation((written - {"index.md"}) | set(config["pages_made"]))
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the generated pages."""
    from mkdocs.structure.files import File

    for address, text in config["pages_made"].items():
        files.append(File.generated(config, address, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Fill in what the registry of models knows, and turn links to source files into links to the repository."""
    folder, name = posixpath.split(f"docs/{page.file.src_uri}")
    if folder == "docs/models":
        markdown = with_made_parts(name.removesuffix(".md"), markdown)
    return with_site_links(markdown, folder, folder, config.extra["repository"])


def on_page_content(html: str, page: Any, config: Any, files: Any) -> str:
    """Turn Sphinx roles of docstrings into links."""
    return plain_roles(html) if page.file.src_uri.startswith(("reference/api", "models/")) else html
