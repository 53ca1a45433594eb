"""The command `cosolve`: splits off PETSc's options, names the commands, and turns errors into exit codes."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, Final

import click
from cosolve.core.cli.arguments import split_petsc_options
from cosolve.core.cli.ending import ending
from cosolve.core.errors import EXIT_CODES, BadInputError, unknown_name

COMMANDS: Final = {
    "run": ("cosolve.core.cli.run:run", "Run a case: mpirun -n 2 cosolve run case.toml"),
    "demo": ("cosolve.core.cli.demo:demo", "Run the flagship case, or the embedded one without PETSc."),
    "train": ("cosolve.core.cli.train:train", "Generate data and train the model of a case."),
    "bench": ("cosolve.core.cli.bench:bench", "Measure against the best classical rival."),
    "plugins": ("cosolve.core.cli.plugins:plugins", "List plugins and what they offer."),
    "doctor": ("cosolve.core.cli.doctor:doctor", "Check MPI, PETSc, dolfinx, torch, SCIP, threads and GPUs."),
    "check-plugin": ("cosolve.core.cli.check_plugin:check_plugin", "Put a plugin through the conformance kit."),
    "new-plugin": ("cosolve.core.cli.new_plugin:new_plugin", "Write the distribution of a new plugin."),
    "explain": ("cosolve.core.cli.explain:explain", "Say why steps of a run were accepted or not."),
}
"""Where each command lives and its line in the help; a command's module is imported when it is used."""


def exit_code_table() -> str:
    """Return the exit codes as lines of text, for the help."""
    return "\n".join(f"  {code}  {meaning}" for code, meaning in EXIT_CODES.items())


class _LazyGroup(click.Group):
    """A group that imports a command's module only when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            raise BadInputError(unknown_name("command", cmd_name, COMMANDS, hint="Try `cosolve --help`."))
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="\b\nExample:\n  cosolve demo --embedded\n\n\b\nExit codes:\n" + exit_code_table(),
)
@click.version_option(package_name="cosolve", prog_name="cosolve")
def group(**_: Any) -> None:
    """Couple neural surrogates with classical solvers: the surrogate proposes, the solver's own measure decides.

    Long options with one dash (-ksp_type cg, -log_view) go to PETSc untouched.
    """


def _one_thread_each() -> None:
    """Give each process one thread, unless the environment says otherwise; libraries read this when they load.

    Thread pools of BLAS spin between the short products of a time loop: on a busy machine that costs ten times.
    """
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and exit with its code; see `EXIT_CODES`.

    Args:
        argv: Arguments without the program's name; None for those of the process.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    _one_thread_each()
    with ending():
        own, petsc = split_petsc_options(arguments)
        code = group.main(args=own, prog_name="cosolve", standalone_mode=False, obj={"petsc": petsc})
        if isinstance(code, int) and code != 0:
            raise SystemExit(code)
    return 0
