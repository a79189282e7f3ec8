"""What surrounds the code agrees with it: pins, environments, workflows, commands named in prose."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import typer
import yaml
from check_jsonschema.cli import main as check_jsonschema
from click.testing import CliRunner
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import lox
from lox.cli import app

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PROSE = [ROOT / "README.md", ROOT / "data" / "README.md", *sorted((ROOT / "book").glob("*.md"))]


def requirements(group: str) -> list[Requirement]:
    """What ``dependencies`` ("core") or an extra asks for, with what the extras that it names ask for."""
    core = group == "core"
    lines = PROJECT["dependencies"] if core else PROJECT["optional-dependencies"][group]
    found = []
    for requirement in map(Requirement, lines):
        own = requirement.name == PROJECT["name"]
        found += [r for extra in requirement.extras for r in requirements(extra)] if own else [requirement]
    return found


def declared() -> list[Requirement]:
    groups = ["core", *PROJECT["optional-dependencies"]]
    return sorted({r for group in groups for r in requirements(group)}, key=str)


def pins() -> dict[str, Version]:
    lines = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line[:1] not in "#"]
    named = [line.split("==") for line in lines]
    assert all(len(pin) == 2 for pin in named), "every line of requirements.txt is NAME==VERSION"
    return {canonicalize_name(name): Version(version) for name, version in named}


@pytest.mark.parametrize("requirement", declared(), ids=str)
def test_every_dependency_has_a_pin_in_its_range(requirement):
    assert pins()[canonicalize_name(requirement.name)] in requirement.specifier


def test_pins_are_of_releases_anyone_can_install():
    local = {name: version for name, version in pins().items() if version.local or version.is_devrelease}
    assert local == {}


ADAPTER = ROOT / "lox" / "checkpoints" / "adapter.py"
ROOMS = {  # of lox -> the extras that what it imports may be declared in, besides the core
    "core": ({*(ROOT / "lox").glob("*.py"), *(ROOT / "lox" / "checkpoints").rglob("*.py")} - {ADAPTER}, []),
    "adapter": ({ADAPTER}, ["adapter"]),
    "lab": (set((ROOT / "lox" / "lab").rglob("*.py")), ["lab"]),
    "book": (set((ROOT / "lox" / "book").rglob("*.py")), ["book"]),
}


def distributions(paths: set[Path]) -> set[str]:
    """The distributions that what is imported in ``paths`` comes from; the module, where there is none."""
    known = packages_distributions()
    modules = {name for path in paths for name in imported_modules(path)} - set(sys.stdlib_module_names)
    return {canonicalize_name(known.get(name, [name])[0]) for name in modules - {"lox"}}


@pytest.mark.parametrize("room", ROOMS)
def test_what_a_room_imports_is_declared_for_it(room):
    paths, extras = ROOMS[room]
    allowed = {canonicalize_name(r.name) for group in ["core", *extras] for r in requirements(group)}
    assert distributions(paths) <= allowed


def test_the_core_asks_for_nothing_that_it_does_not_import():
    core = {canonicalize_name(requirement.name) for requirement in requirements("core")}
    assert core == distributions(ROOMS["core"][0]) | {"numpy"}  # torch's tensors are written through it


def test_all_is_all_the_extras():
    assert set(map(str, requirements("all"))) | set(map(str, requirements("core"))) == set(
        map(str, declared())
    )


def imported_modules(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_text())))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    named = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and not node.level}
    return {name.split(".")[0] for name in plain | named}


def test_conda_environment_takes_the_same_pins():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    [pip] = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    [python] = [entry for entry in environment["dependencies"] if str(entry).startswith("python=")]
    assert "-r requirements.txt" in pip and "-e ." in pip
    assert not [line for line in pip if not line.startswith("-")], "versions stand in requirements.txt alone"
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(python.split("=")[1])


@pytest.mark.parametrize("schema", ["vendor.github-workflows", "custom.github-workflows-require-timeout"])
@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_are_valid(path, schema):
    validate(path, schema)


def test_citation_is_valid_and_of_this_version():
    path = ROOT / "CITATION.cff"
    validate(path, "vendor.citation-file-format")
    assert yaml.safe_load(path.read_text())["version"] == lox.__version__


def validate(path: Path, schema: str) -> None:
    result = CliRunner().invoke(check_jsonschema, ["--builtin-schema", schema, str(path)])
    assert result.exit_code == 0, result.output


def test_prose_names_only_commands_that_exist():
    texts = {path: path.read_text() for path in [*PROSE, *WORKFLOWS]}
    named = {path: set(re.findall(r"\bmake ([a-z]+)\b", code(text))) for path, text in texts.items()}
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.M))
    assert {"book", "test"} <= named[ROOT / "README.md"]
    assert {path.name: unknown for path, found in named.items() if (unknown := found - targets)} == {}


def test_prose_gives_lox_only_options_that_it_has():
    commands = typer.main.get_command(app).commands
    for path in PROSE:
        for line in re.findall(r"\blox ([a-z]+[^\n`]*)", code(path.read_text())):
            name, *words = line.split()
            assert name in commands, f"{path.name}: lox {line}"
            options = {option for parameter in commands[name].params for option in parameter.opts}
            unknown = {word for word in words if word.startswith("-")} - options
            assert not unknown, f"{path.name}: lox {line}"


def test_everything_cited_is_in_the_bibliography():
    known = set(re.findall(r"^@\w+{(.+),$", (ROOT / "book" / "references.bib").read_text(), flags=re.M))
    for path in [*PROSE, *sorted((ROOT / "notebooks").glob("*.md"))]:
        roles = re.findall(r"{cite(?::\w+)?}`([^`]+)`", path.read_text())
        cited = {key.strip() for role in roles for key in role.split(",")}
        assert cited <= known, f"{path.name}: {cited - known}"


def code(text: str) -> str:
    """The code in a Markdown text, fenced or inline; all of a text that has none."""
    fenced = re.findall(r"^```\w*\n(.*?)^```", text, flags=re.M | re.S)
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))
    return "\n".join(fenced + inline) or text


def test_chapters_in_the_contents_have_a_source():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    pages = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]] + [toc["root"]]
    chapters = {Path(page).name for page in pages if page.startswith("executed/")}
    assert chapters == {path.stem for path in (ROOT / "notebooks").glob("*.md")}
    assert all((ROOT / f"{page}.md").exists() for page in pages if not page.startswith("executed/"))
