"""What determines a result, of the code: the definitions that a function uses, however far down, and no others.

Read from the source, definition by definition: a function refers to names, a name is defined in its module or
imported from another one of this package, and so on. Comments, docstrings and annotations are left out, so that
only what can change a result changes the hash. What a function reaches through the methods of an object that
it is given cannot be read off its source: name those methods too.
"""

from __future__ import annotations

import ast
import hashlib
import json
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from lox import paths

NAME = paths.PACKAGE.name
Definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def content_hash(data) -> str:
    """Sixteen hexadecimal digits that name plain data."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]


def file_hash(path: Path) -> str:
    """Sixteen hexadecimal digits that name what a file holds."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


_ONE_PARSES = threading.Lock()


def parse(source: str, mode: str = "exec") -> Any:
    """``ast.parse`` for threads: two at once can fail with a SystemError, up to Python 3.12 (CPython issue 106905)."""
    with _ONE_PARSES:
        return ast.parse(source, mode=mode)


@cache
def code_fingerprint(*code: Callable, package: Path = paths.PACKAGE) -> str:
    """Hash of all definitions of this package that functions, classes or methods use, themselves included."""
    return content_hash(definitions([f"{c.__module__}.{c.__qualname__}" for c in code], package))


def definitions(names: list[str], package: Path = paths.PACKAGE) -> dict[str, str]:
    """Full name -> normalised source of every definition that those of these names use, and of their own.

    ``names`` are like "lox.energy.r_align" or "lox.lab.worlds.toy.ToyWorld.examples". Raises ValueError
    for one that is not defined in the package.
    """
    sources: dict[str, str] = {}
    waiting = [(name, _resolve(name, package)) for name in names]
    if missing := [name for name, definition in waiting if definition is None]:
        raise ValueError(
            f"{missing[0]} is not defined at the top of a module of {package.name}, nor in a class there"
        )
    while waiting:
        name, definition = waiting.pop()
        if definition is not None and definition.name not in sources:
            sources[definition.name] = ast.dump(definition.node)
            waiting += [(used, _resolve(used, package)) for used in definition.uses()]
    return sources


def used_by_source(source: str) -> dict[str, str]:
    """``definitions`` of all that a piece of source, such as a notebook's code, imports from the package and names."""
    module = Module("source", parse(source))
    whole = Definition("source", module.tree, module, None)
    return definitions([name for name in whole.uses() if _resolve(name, paths.PACKAGE)])


@dataclass(frozen=True)
class Definition:
    """A top-level definition of a module, or a method of a class (then ``owner`` is the class's name)."""

    name: str
    node: ast.AST
    module: Module
    owner: str | None

    def uses(self) -> Iterator[str]:
        """Full names of what it refers to; of its own class only the attributes that it reads off ``self``."""
        imported = self.module.imports | _imports(ast.walk(self.node), self.module.name)
        for node in ast.walk(self.node):
            chain = _chain(node)
            if not chain:
                continue
            if chain[0] in ("self", "cls") and self.owner and len(chain) > 1:
                yield f"{self.module.name}.{self.owner}.{chain[1]}"
            elif chain[0] in imported:
                yield from _prefixes([imported[chain[0]], *chain[1:]])
            elif chain[0] in self.module.defined:
                yield from _prefixes([f"{self.module.name}.{chain[0]}", *chain[1:]])


@dataclass(frozen=True)
class Module:
    """A module's source: what it defines at its top, and what it imports from the package under which name."""

    name: str
    tree: ast.Module

    @cached_property
    def imports(self) -> dict[str, str]:
        return _imports(_at_top(self.tree), self.name)

    @cached_property
    def defined(self) -> dict[str, ast.AST]:
        nodes: dict[str, ast.AST] = {}
        for node in self.tree.body:
            if isinstance(node, Definitions):
                nodes[node.name] = node
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                nodes |= {n.id: node for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}
        return nodes


@cache
def _module(name: str, package: Path) -> Module | None:
    path = package.parent.joinpath(*name.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return Module(name, _Normalised().visit(parse(file.read_text()))) if file.is_file() else None


@cache
def _resolve(name: str, package: Path) -> Definition | None:
    """The definition that a full name means, through re-exports; None where it is none of the package's."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):  # the longest prefix that is a module
        module = _module(".".join(parts[:end]), package)
        if module is None:
            continue
        rest = parts[end:]
        if rest and rest[0] in module.imports:
            return _resolve(".".join([module.imports[rest[0]], *rest[1:]]), package)
        return _in_module(module, rest)
    return None


def _in_module(module: Module, rest: list[str]) -> Definition | None:
    node = module.defined.get(rest[0]) if rest else None
    if isinstance(node, ast.ClassDef) and len(rest) > 1:
        methods = {n.name: n for n in node.body if isinstance(n, Definitions)}
        method = rest[1] if rest[1] in methods else "__init__"  # an attribute, which that sets
        return (
            Definition(f"{module.name}.{rest[0]}.{method}", methods[method], module, node.name)
            if method in methods
            else None
        )
    return None if node is None else Definition(f"{module.name}.{rest[0]}", node, module, None)


def _imports(nodes: Iterable[ast.AST], module: str) -> dict[str, str]:
    """Name -> full name of what some of these nodes import from the package."""
    full_names: dict[str, str] = {}
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == NAME:
            full_names |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
        elif isinstance(node, ast.Import):
            full_names |= {
                a.asname or NAME: a.asname and a.name or NAME
                for a in node.names
                if a.name.split(".")[0] == NAME
            }
    return full_names


def _at_top(tree: ast.Module) -> Iterator[ast.AST]:
    """The statements of a module, those under an ``if`` too, where names are told to type checkers."""
    for node in tree.body:
        yield from node.body if isinstance(node, ast.If) else [node]


def _prefixes(names: list[str]) -> Iterator[str]:
    """a, a.b, a.b.c of names: of a class that is named to get at one method, all methods may be called later."""
    return (".".join(names[:end]) for end in range(1, len(names) + 1))


def _chain(node: ast.AST) -> list[str]:
    """["a", "b", "c"] of the expression a.b.c or of the name a; empty for anything else."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return [node.id, *reversed(names)] if isinstance(node, ast.Name) else []


class _Normalised(ast.NodeTransformer):
    """Takes out what changes no result: docstrings, and annotations of arguments and results."""

    def _plain(self, node):
        self.generic_visit(node)
        if ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        return node

    visit_Module = visit_ClassDef = _plain

    def visit_FunctionDef(self, node):
        node.returns = None
        for argument in ast.walk(node.args):
            if isinstance(argument, ast.arg):
                argument.annotation = None
        return self._plain(node)

    visit_AsyncFunctionDef = visit_FunctionDef
