"""Entry point of `focus`: the only place that turns an error into a message on stderr and an exit code.

Exit codes: 0 done, 1 the work failed, 2 the user's input is wrong, 130 interrupted. Any other exception is a bug and
shows its traceback.
"""

import os
import sys
from collections.abc import Sequence

from focus_engine.errors import FocusError, is_out_of_memory, lost_gpu, remedy
from focus_engine.launch.threads import wait_asleep

INTERRUPTED = 130


def main() -> None:
    """Run `focus` and exit with its code."""
    wait_asleep()
    code = run(sys.argv[1:])
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _close_stdout()
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run `focus` with `arguments`; return its exit code."""
    try:
        return _dispatch(_root_first(arguments))
    except FocusError as error:
        return _report_error(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _report_error("interrupted", INTERRUPTED)
    except BrokenPipeError:
        _close_stdout()
        return 0
    except OSError as error:
        return _report_error(_disk_message(error), 1)
    except Exception as error:
        if words := _device_words(error):
            return _report_error(words, 1)
        if type(error).__name__ == "Abort":  # raised by older typer on Ctrl-C
            return _report_error("interrupted", INTERRUPTED)
        if not _is_usage_error(error):
            raise
        return _report_usage_error(error)


def _dispatch(arguments: list[str]) -> int:
    """Run the command through typer, unless it is one that needs no typer; return its exit code."""
    from focus_tui.cli.plain import run_plain

    if run_plain(arguments):
        return 0
    from focus_tui.cli.app import app

    result = app(args=arguments, prog_name="focus", standalone_mode=False)
    return result if isinstance(result, int) else 0


def _root_first(arguments: Sequence[str]) -> list[str]:
    """Move `--root FOLDER` to the front, so that it may also follow the command."""
    front: list[str] = []
    rest: list[str] = []
    waiting = iter(arguments)
    for argument in waiting:
        if argument == "--":
            rest += [argument, *waiting]
        elif argument == "--root":
            front += [argument, *[value for value in [next(waiting, None)] if value is not None]]
        elif argument.startswith("--root="):
            front.append(argument)
        else:
            rest.append(argument)
    return front + rest


def _report_error(message: str, code: int) -> int:
    sys.stderr.write(f"focus: {message}\n")
    return code


def _disk_message(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}: {remedy(error)}; files that were complete before are intact"


def _device_words(error: Exception) -> str:
    """Return the message for memory that is full, or a GPU that is lost; empty if `error` is something else."""
    if is_out_of_memory(error):
        return "out of memory: end other programs, or make smaller batches"
    lost = lost_gpu(error)
    return f"{lost}: see nvidia-smi and dmesg, and try again once it does" if lost else ""


def _is_usage_error(error: Exception) -> bool:
    """Return whether typer refused the arguments; its classes moved between versions, their attributes did not."""
    return hasattr(error, "format_message") and getattr(error, "exit_code", None) in {1, 2}


def _report_usage_error(error: Exception) -> int:
    message = str(error.format_message()) if hasattr(error, "format_message") else str(error)
    if type(error).__name__ == "NoArgsIsHelpError":  # `focus data` alone: the message is its help
        sys.stderr.write(f"{message}\n")
        return 2
    details: list[dict[str, object]] = getattr(
        error.__cause__, "errors", list
    )()  # values that pydantic parsed for typer
    message += "".join(f": {detail['input']!r}" for detail in details[:1] if "input" in detail)
    path = getattr(getattr(error, "ctx", None), "command_path", "focus")
    return _report_error(f"{message.rstrip('.')} (see {path} --help)", 2)


def _close_stdout() -> None:
    """Redirect stdout to /dev/null, so that the interpreter prints no error about the closed pipe."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
