"""`llamacloud-sandbox`, or `python -m llamacloud_sandbox`: the sandbox on the command line."""

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until Ctrl-C. The exit code is 0, 2 for options that cannot be, 1 without the extra."""
    try:
        from llamacloud_sandbox.command import run  # noqa: PLC0415 - the extra may be missing
    except ModuleNotFoundError as error:
        sys.stderr.write(
            f"llamacloud-sandbox: {error.name} is not installed; "
            "pip install 'tap-llamaclassify[sandbox]' brings it\n"
        )
        return 1
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
