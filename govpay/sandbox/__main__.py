"""`python -m govpay.sandbox` runs the sandbox without Django."""

from __future__ import annotations

import argparse
import sqlite3
import sys

from govpay.sandbox.command import add_arguments, serve
from govpay.sandbox.server import PortBusy


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m govpay.sandbox", description="Serve the sandbox on 127.0.0.1.")
    add_arguments(parser)
    try:
        serve(vars(parser.parse_args(arguments)), say)
    except (PortBusy, ValueError, sqlite3.Error, OSError) as error:
        sys.stderr.write(f"govpay sandbox: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
