"""The book: every notebook that is not current is run, and the site is built of the executed copies."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import yaml

from lox import paths
from lox.book import run
from lox.lab import profile as profiles
from lox.lab import stages

JOBS = 2  # notebooks run at once: most of each is work that one core does
FIRST = 2  # parts of the table of contents that are run first and make a first site
LONG = ("degradation", "judge_free_rank")  # begun among the last, one would run on alone while a core idles


def build(profile: str = "toy", report: Callable[[str], None] = print) -> Path:
    """Run every notebook that is not current and build the site; returns its first page.

    Where there is no site yet, one of the ``FIRST`` parts is built while the other notebooks run.
    """
    profiles.load(profile)
    _require_own_folder()
    run.require_writable(run.executed_folder(profile), stages.root(), paths.project("_build"))
    names, first = in_order(), set(notebooks(FIRST))
    waiting = [name for name in names if not run.is_current(name, profile)]
    report(f"{len(names) - len(waiting)} of {len(names)} notebooks are current, {len(waiting)} to run")

    def first_site(left: set[str]) -> None:
        if left and not left & first and not _index().exists():
            report(f"a first site, {len(left)} chapters are to come: {_build_site(profile, FIRST).as_uri()}")

    if waiting:
        run_all(waiting, profile, report, first_site)
    report("building the site")
    return _build_site(profile)


def run_all(
    waiting: Sequence[str],
    profile: str,
    report: Callable[[str], None] = print,
    then: Callable[[set[str]], None] = lambda left: None,
) -> None:
    """Run several notebooks, ``JOBS`` at once; ChildProcessError, with every failure, if some failed.

    The first has as many workers: it makes models that most of the others begin from. While none has failed,
    ``then`` is called after each with the names of those that are left.
    """
    threads = max(1, (os.cpu_count() or 1) // JOBS)
    os.environ["OMP_NUM_THREADS"] = str(threads)  # two jobs that each take all cores slow each other down
    failures: list[str] = []
    left = set(waiting)
    # Threads, for each only waits for a kernel, and kernels end when this process does.
    with ThreadPoolExecutor(JOBS) as pool:
        workers = dict.fromkeys(waiting, threads) | dict.fromkeys(waiting[:1], JOBS * threads)
        jobs = {pool.submit(run.run, name, profile, workers=workers[name]): name for name in waiting}
        for job in as_completed(jobs):
            error = job.exception()
            failures += [str(error)] if error else []
            left.remove(jobs[job])
            done = len(waiting) - len(left)
            report(f"[{done}/{len(waiting)}] {jobs[job]}{' failed' if error else ''}")
            if not failures:
                then(set(left))
    if failures:
        raise ChildProcessError("\n".join(failures))


def _require_own_folder() -> None:
    """The site's pages lie in the project: ValueError where LOX_EXECUTED has notebooks executed elsewhere."""
    if run.executed_folder("") != paths.project("executed").absolute():
        raise ValueError(
            f"LOX_EXECUTED is {run.executed_folder('')}: `lox book` builds the site of executed/ in the project, "
            "so unset it; `lox run` may write elsewhere"
        )


def in_order() -> list[str]:
    """The notebooks as in the table of contents, but ``LONG`` right after its ``FIRST`` parts."""
    return list(dict.fromkeys([*notebooks(FIRST), *LONG, *notebooks()]))


def _contents() -> dict:
    return yaml.safe_load(paths.project("_toc.yml").read_text())


def notebooks(parts: int | None = None) -> list[str]:
    """The notebooks of the table of contents: its root, and those in its first so many parts, or in all."""
    contents = _contents()
    chapters = [chapter["file"] for part in contents["parts"][:parts] for chapter in part["chapters"]]
    files = map(Path, [contents["root"], *chapters])
    return [file.name for file in files if file.parts[0] == "executed"]


def _build_site(profile: str, parts: int | None = None) -> Path:
    """The site, or one of so many parts, where what links to the others is left as text; returns its first page."""
    toc = paths.project("_build", "_toc.yml")
    toc.parent.mkdir(exist_ok=True)
    contents = _contents()
    contents["parts"] = contents["parts"][:parts]
    written = yaml.safe_dump(contents, allow_unicode=True, sort_keys=False)
    toc.write_text(written.replace("executed/toy/", f"executed/{profile}/"))
    jupyter_book = Path(sys.executable).with_name("jupyter-book")
    strict = ["-W", "-n", "--keep-going"] if parts is None else []
    options = ["--toc", str(toc), "--all", "-q", *strict]
    command = [str(jupyter_book), "build", str(paths.ROOT), *options]
    built = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if built.returncode:
        raise ChildProcessError(f"the site was not built:\n{built.stdout[-4000:]}")
    return _index()


def _index() -> Path:
    return paths.project("_build", "html", "index.html")
