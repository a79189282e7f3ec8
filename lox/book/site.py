"""The book: every notebook that is not current is run, and the site is built of the executed copies."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import count
from pathlib import Path

from lox import paths
from lox.book import run
from lox.lab import profile as profiles
from lox.lab import stages

JOBS = 2  # notebooks run at once: most of each is work that one core does
FEW = (
    "attackers",
    "rivals",
)  # need only the seeds that the first notebook makes first, so they run beside it
LONG = ("degradation", "judge_free_rank")  # begun among the last, one would run on alone while a core idles


def build(profile: str = "toy", report: Callable[[str], None] = print) -> Path:
    """Run every notebook that is not current and build the site; returns its first page."""
    profiles.load(profile)
    _require_own_folder()
    run.require_writable(run.executed_folder(profile), stages.root(), paths.project("_build"))
    names = in_order()
    waiting = [name for name in names if not run.is_current(name, profile)]
    report(f"{len(names) - len(waiting)} of {len(names)} notebooks are current, {len(waiting)} to run")
    if waiting:
        run_all(waiting, profile, report)
    report("building the site")
    return _build_site(profile)


def run_all(waiting: Sequence[str], profile: str, report: Callable[[str], None] = print) -> None:
    """Run several notebooks, ``JOBS`` at once; ChildProcessError, with every failure, if some failed.

    The first has as many workers: it makes models that most of the others begin from. The next one waits for those
    that it needs, and fills the core that is idle while the first makes its last.
    """
    threads = max(1, (os.cpu_count() or 1) // JOBS)
    os.environ["OMP_NUM_THREADS"] = str(threads)  # two jobs that each take all cores slow each other down
    failures: list[str] = []
    done = count(1)
    # Threads, for each only waits for a kernel, and kernels end when this process does.
    with ThreadPoolExecutor(JOBS) as pool:
        workers = dict.fromkeys(waiting, threads) | dict.fromkeys(waiting[:1], JOBS * threads)
        jobs = {pool.submit(run.run, name, profile, workers=workers[name]): name for name in waiting}
        for job in as_completed(jobs):
            error = job.exception()
            failures += [str(error)] if error else []
            report(f"[{next(done)}/{len(waiting)}] {jobs[job]}{' failed' if error else ''}")
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
    """The notebooks as in the table of contents, but ``FEW`` right after the first, ``LONG`` after robustness."""
    text = paths.project("_toc.yml").read_text()
    place = {name: text.find(f"/{name}\n") for name in run.names()}
    after = dict.fromkeys(FEW, "intro") | dict.fromkeys(LONG, "robustness")
    return sorted(place, key=lambda name: (place[after.get(name, name)], name in after, place[name]))


def _build_site(profile: str) -> Path:
    toc = paths.project("_build", "_toc.yml")
    toc.parent.mkdir(exist_ok=True)
    toc.write_text(paths.project("_toc.yml").read_text().replace("executed/toy/", f"executed/{profile}/"))
    jupyter_book = Path(sys.executable).with_name("jupyter-book")
    options = ["--toc", str(toc), "--all", "-W", "-n", "--keep-going", "-q"]
    command = [str(jupyter_book), "build", str(paths.ROOT), *options]
    built = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if built.returncode:
        raise ChildProcessError(f"the site was not built:\n{built.stdout[-4000:]}")
    return paths.project("_build", "html", "index.html")
