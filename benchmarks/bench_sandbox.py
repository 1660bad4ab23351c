"""The platform that is read from, in a process of its own: one account for each size asked for."""

from __future__ import annotations

import json
import sys

from govpay.sandbox import Sandbox


def main(sizes: list[int]) -> None:
    with Sandbox() as sandbox, sandbox.serve() as address:
        accounts = {}
        for size in sizes:
            accounts[size] = sandbox.add_account(name=f"{size} payments")["uid"]
            sandbox.add_payments(accounts[size], size, transactions=False)
        print(json.dumps({"api_url": address.api_url, "accounts": accounts}), flush=True)
        sys.stdin.read()  # until the bench ends, however it ends


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]])
