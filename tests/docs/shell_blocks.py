"""Shell blocks of the documentation, and what they need to be run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from snippets import ROOT, as_the_page_says, pages

# A script that the reader saves, or a block that may hold commands.
_STEP = re.compile(
    r"^<!-- script: (\S+) -->\n```\w+\n(.*?)^```|^```(?:text|shell|console|bash)\n(.*?)^```",
    flags=re.MULTILINE | re.DOTALL,
)
_COMMANDS = ("cosolve", "mpirun", "python", "pip", "make", "conda", "sudo", "sbatch", "srun", "export", "mamba")

EXCEPTIONS = {
    r"(sbatch|srun|squeue|scancel)\b": "Slurm: no batch system here",
    r"(conda|mamba)\b": "conda: not run here, as the page says",
    r"sudo\b": "root and the network, on a system that the page says was not tried",
}
"""Commands that no test runs, by their beginning, and why."""

SHORTER = {r"^make ": f"make --dry-run -C {ROOT} ", r"--minutes 15\b": "--minutes 0.6"}
"""What is replaced in a command: targets that set up a system are only read, and training gets less time."""

IN_THE_REPOSITORY = ("README.md", "docs/how-to/install.md")
"""Pages whose reader stands in a copy of the repository."""

HEAT = """
[problem]
name = "heat"
cells = 8
end_time = 0.4
[[surrogate]]
name = "quadratic_extrapolation"
[output]
directory = "runs/case"
checkpoint_every = 5
"""

PREPARED = {
    "docs/how-to/read_a_ledger.md": ["cosolve run case.toml --output runs/demo-curing"],
    "docs/how-to/restart.md": ["cosolve run case.toml"],
    "docs/tutorial/guide_my_mips.md": [
        "python -c 'from pathlib import Path; from cosolve.examples.mips.families import write_folder; "
        'write_folder("set-cover", "easy", range(12), Path("fleet"))\'',
        "gzip -c $(ls fleet/* | head -1) > tomorrow.mps.gz",
    ],
}
"""What the reader of a page has done before its first block."""

SLOW = {
    "README.md": "installs cosolve and runs the embedded demo",
    "docs/how-to/install.md": "installs cosolve and runs the embedded demo",
    "docs/tutorial/guide_my_mips.md": "writes programs, trains a guide and solves one with it",
    "docs/tutorial/embedded.md": "installs cosolve and runs the embedded demo",
    "docs/tutorial/first_hybrid_run.md": "runs the plate twice, once on two ranks",
    "docs/how-to/run_under_mpi.md": "three jobs, one of them on four ranks",
    "docs/how-to/compare_operators.md": "trains five networks",
    "docs/how-to/train_a_model.md": "generates data and trains",
}
"""Pages whose commands take long, and why; those of the benches are slow, too, see `is_slow`."""

_BENCHES = "docs/reference/benches/"


def name_of(page: Path) -> str:
    """Return a page's path in the repository."""
    return page.relative_to(ROOT).as_posix()


def is_slow(page: Path) -> bool:
    """Return whether a page's commands take long: they are listed, or run a whole bench."""
    return name_of(page) in SLOW or name_of(page).startswith(_BENCHES)


def steps(page: Path) -> list[tuple[str, str]]:
    """Return what the reader of a page does, in order: `(file, text)` to save, and `("", command)` to run."""
    found: list[tuple[str, str]] = []
    for name, text, block in _STEP.findall(page.read_text()):
        if name:
            found.append((name, as_the_page_says(text)))
            continue
        lines = block.replace("\\\n", " ").splitlines()
        prompted = [line[2:] for line in lines if line.startswith("$ ")]
        # Other lines of a block are what its commands print.
        plain = [line for line in lines if line.split(" ")[0] in _COMMANDS]
        found += [("", command) for command in prompted or plain]
    return found


def commands(page: Path) -> list[str]:
    """Return the commands of a page in order."""
    return [text for name, text in steps(page) if not name]


def exception(command: str) -> str:
    """Return why a command is not run; empty when it is."""
    return next((why for pattern, why in EXCEPTIONS.items() if re.match(pattern, command)), "")


def shell_pages() -> list[Path]:
    """Return the pages with commands that a test can run."""
    everything = [*pages(), ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "examples/third_party/README.md"]
    return [page for page in everything if any(not exception(command) for command in commands(page))]


def prepare(page: Path, folder: Path, environment: Path) -> None:
    """Write what the reader of a page has at hand."""
    (folder / ".venv").symlink_to(environment)
    (folder / "case.toml").write_text(HEAT)
    (folder / "examples").symlink_to(ROOT / "examples")


def script_of(page: Path) -> str:
    """Return a page as a shell script that stops at the first command that fails, having said which."""
    lines = ["set -e"]
    done = [("", command) for command in PREPARED.get(name_of(page), [])]
    for name, text in [*done, *steps(page)]:
        if name:
            lines += [f"mkdir -p {shlex.quote(str(Path(name).parent))}", f"cat > {shlex.quote(name)} <<'END OF FILE'"]
            lines += [text + "END OF FILE"]
        elif not exception(text):
            for pattern, words in SHORTER.items():
                text = re.sub(pattern, words, text)
            lines += [f"echo {shlex.quote('$ ' + text)}", text]
    return "\n".join(lines) + "\n"
