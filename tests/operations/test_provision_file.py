"""Accounts that a file contains twice, in any spelling."""

from __future__ import annotations

import pytest

from govpay.operations.provision_file import BadFile, read_file

ONE = '{name = "A", processor = "zift", external_account_id = "1", external_merchant_id = "2"}'
TWO = ONE.replace('"A"', '"B"')


@pytest.mark.parametrize("accounts", [f"[{ONE}, {TWO}]", f"[\n  {ONE},\n  {TWO},\n]"])
def test_twins_in_one_array(accounts: str) -> None:
    with pytest.raises(BadFile) as caught:
        read_file(f'accounts = {accounts}\n[client]\nname = "Town"\n')
    assert ["same external ids" in problem.text for problem in caught.value.problems] == [True]
