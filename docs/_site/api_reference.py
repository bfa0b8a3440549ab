"""Pages of the Python API: the public names of ``cimnet`` and of its packages, in mkdocstrings' notation."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src"
PACKAGES = {
    "data": ["cimnet.data", "cimnet.data.corruptions", "cimnet.data.synthetic"],
    "models": ["cimnet.models"],
    "training": ["cimnet.training"],
    "inference": ["cimnet.inference", "cimnet.inference.jobs"],
    "evaluation": ["cimnet.evaluation"],
    "registration": ["cimnet.registration"],
    "curation": ["cimnet.curation.check", "cimnet.curation.stats", "cimnet.curation.label"],
    "analysis": ["cimnet.analysis.robustness"],
    "deploy": [
        "cimnet.deploy.export", "cimnet.deploy.serve", "cimnet.deploy.app", "cimnet.deploy.geo", "cimnet.deploy.video",
        "cimnet.deploy.robots",
    ],
    "errors": ["cimnet.errors"],
}  # fmt: skip
"""Pages, and the packages that each one lists."""
ROLE = re.compile(r":(?:func|class|meth|mod|attr|data|exc|obj):<code>~?!?([\w.]+)</code>")


def api_pages() -> dict[str, str]:
    """Address to Markdown: ``reference/api.md`` for ``import cimnet``, and a page for each package."""
    names = [name for name in public_names("cimnet") if name != "__version__"]
    top = "# Python: `import cimnet`\n\nThese names stay. Those of the [packages](api/data.md) change only with a note "
    top += "in the changelog.\n\n" + "\n".join(_entry("cimnet", name, f"cimnet.{name}", 2) for name in names)
    pages = {"reference/api.md": top}
    for package, modules in PACKAGES.items():
        pages[f"reference/api/{package}.md"] = f"# {package}\n\n" + "\n".join(_module(module) for module in modules)
    return pages


def _module(name: str) -> str:
    """The public names of one package, under its name. Those that ``import cimnet`` has, too, stand on that page."""
    shown = {home_of("cimnet", member): member for member in public_names("cimnet")}
    lines = [f"## `{name}`\n"]
    for member in public_names(name):
        home = home_of(name, member)
        there = f"`{member}`: see [`cimnet.{shown.get(home)}`][{home}]\n"
        lines.append(there if home in shown else _entry(name, member, member, 3))
    return "\n".join(lines)


def _entry(module: str, name: str, heading: str, level: int) -> str:
    """One name in mkdocstrings' notation."""
    return f"::: {home_of(module, name)}\n    options: {{heading: {heading}, heading_level: {level}}}\n"


def public_names(module: str) -> list[str]:
    """The names in a module's ``__all__``; without one, its public classes and functions. Nothing is imported."""
    body = _tree(module).body
    for node in body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            return list(ast.literal_eval(node.value))
    kinds = (ast.ClassDef, ast.FunctionDef)
    return [node.name for node in body if isinstance(node, kinds) and not node.name.startswith("_")]


def home_of(module: str, name: str) -> str:
    """The full name where a class, function or constant is defined: a package may hold a module of the same name."""
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("cimnet"):
            for alias in node.names:
                if name == (alias.asname or alias.name):
                    return home_of(node.module, alias.name)
    return f"{module}.{name}"


@cache
def _tree(module: str) -> ast.Module:
    path = SOURCE / module.replace(".", "/")
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(path.read_text(encoding="utf-8"))


def plain_roles(html: str) -> str:
    """Sphinx roles in docstrings become links to what they name, or code where the site has no such page."""
    return ROLE.sub(r'<autoref identifier="\1" optional><code>\1</code></autoref>', html)
