"""The `turnpike` command.

Exit codes: 0 done; 1 not done, and one line on standard error says why; 2 the command line is wrong; 130 interrupted.
"""

from __future__ import annotations

import os
import sys

import click

from localstack.errors import StackError
from turnpike_cli.catalog_commands import catalog
from turnpike_cli.disputes import disputes
from turnpike_cli.errors import CommandError
from turnpike_cli.explain import explain
from turnpike_cli.keys import keys
from turnpike_cli.login import login, logout, whoami
from turnpike_cli.organization import audit, members, orgs, workspaces
from turnpike_cli.reconcile import reconcile
from turnpike_cli.simulate import simulate
from turnpike_cli.stack import stack, up
from turnpike_cli.statement import statement
from turnpike_cli.status import status
from turnpike_cli.suspense import suspense

FAILED = 1
MISUSED = 2
INTERRUPTED = 130
_PROGRAM = "turnpike"


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="turnpike-cli", prog_name=_PROGRAM, message="%(prog)s %(version)s")
@click.option("--traceback", is_flag=True, help="Show where an unexpected error comes from.")
@click.pass_context
def turnpike(context: click.Context, traceback: bool) -> None:
    """Run Turnpike on this machine, and manage its keys.

    Exit codes: 0 done; 1 not done; 2 the command line is wrong; 130 interrupted.
    """


for command in (
    up,
    stack,
    login,
    logout,
    whoami,
    keys,
    orgs,
    members,
    workspaces,
    audit,
    disputes,
    status,
    explain,
    catalog,
    reconcile,
    statement,
    suspense,
    simulate,
):
    turnpike.add_command(command)


def main() -> None:
    """Run the command line of this process and exit."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run a command line and return the exit code. Whatever goes wrong is one line on standard error."""
    try:
        # The exit code of --help and --version; a command gives None.
        return int(turnpike.main(arguments, prog_name=_PROGRAM, standalone_mode=False) or 0)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return MISUSED
    except click.ClickException as error:
        context = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else _PROGRAM
        click.echo(f"{context}: {error.format_message()} (see {context} --help)", err=True)
        return error.exit_code
    except (StackError, CommandError) as error:
        click.echo(f"{_PROGRAM}: {error}", err=True)
        return FAILED
    except (KeyboardInterrupt, click.Abort):
        click.echo(f"{_PROGRAM}: interrupted", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has gone; what is left in the buffer must not fail once more at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        if "--traceback" in arguments:
            raise
        reason = str(error).partition("\n")[0] or type(error).__name__
        click.echo(
            f"{_PROGRAM}: unexpected {type(error).__name__}: {reason} (`turnpike --traceback …` says where)", err=True
        )
        return FAILED


if __name__ == "__main__":
    main()
