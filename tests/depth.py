"""Which tests `make test` leaves to `.ci/run`, so that it takes little time on two cores.

Each line names a test function, or a whole file, and how many of its cases `make test` runs: the first, the last and
those between at equal distances. The others get the mark `ci`. Measured in CPU seconds with Python 3.11 on SQLite: a
test that starts processes of its own costs two and more, one that opens every page of the admin five.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import pytest

KEPT: dict[str, int] = {
    # Processes that are killed, race, or run a command: one of each kind stays.
    "faults/test_sync_kills.py::test_a_killed_sync_costs_only_its_missing_pages": 1,
    "faults/test_money_kills.py::test_killed_at_every_step": 1,
    "faults/test_money_kills.py::test_killed_at_every_step_of_a_second_attempt": 0,
    "faults/test_money_kills.py::test_reconciliation_is_killed_as_well": 0,
    "faults/test_webhook_kills.py": 0,
    "faults/test_webhook_outages.py::test_four_processes_and_a_secret_that_was_rolled": 0,
    "faults/test_webhook_outages.py::test_events_that_were_never_queued_are_worked_on_later": 0,
    "faults/test_sync_workers.py::test_who_waits_for_a_killed_owner_goes_on_at_once": 0,
    "client/test_auth_processes.py::test_a_fleet_that_meets_an_expired_token_fetches_one": 0,
    "operations/test_wallets.py::test_processes_at_once_make_one": 0,
    "management/test_import_methods.py::test_killed_in_the_middle_nothing_is_imported_twice": 0,
    "management/test_import_methods.py::test_without_a_terminal_there_is_one_line": 0,
    "management/test_provision.py::test_a_killed_run_is_continued": 0,
    "management/test_provision.py::test_a_refused_step_is_named_with_its_key_path_and_the_exit_code_is_1": 0,
    "management/test_commands.py::test_sync_of_some_lists_of_one_account": 0,
    "management/test_commands.py::test_the_token_command_never_shows_the_token": 0,
    "management/test_commands.py::test_a_wrong_secret_is_one_line_and_no_storm": 0,
    "management/test_commands.py::test_exit_1_when_one_list_failed_and_the_others_are_done": 0,
    "management/test_commands.py::test_a_missing_setting_is_one_line_with_its_cure": 1,
    "management/test_commands.py::test_what_does_not_exist_is_one_line": 0,
    "management/test_commands.py::test_reconcile_says_what_it_did": 0,
    "test_workers.py::test_accounts_that_hang_hold_no_event_of_another": 0,
    "test_workers.py::test_one_worker_on_redis_serves_money_and_events_before_lists": 0,
    "management/test_work.py::test_it_runs_until_it_is_stopped": 0,
    "management/test_doctor.py::test_no_secret_is_told": 1,
    "management/test_doctor.py::test_an_error_exits_1_and_is_told_with_its_cure": 0,
    "management/test_doctor.py::test_without_settings_each_check_still_says_its_part": 0,
    "management/test_replay.py::test_failed_events_are_worked_on_again": 0,
    "management/test_restored.py::test_everything_is_read_and_released": 0,
    "client/test_auth_processes.py": 0,
    "faults/test_sync_workers.py::test_a_task_leaves_the_list_to_its_owner_at_once": 0,
    "faults/test_money_kills.py::test_killed_process_blocks_its_payment_until_it_is_settled": 0,
    "faults/test_webhook_outages.py::test_a_worker_that_dies_leaves_its_event_to_the_next": 0,
    "faults/test_concurrency_cache.py": 0,
    "management/test_commands.py::test_sync_prints_one_line_a_list": 0,
    "management/test_doctor.py::test_a_site_in_order_is_all_ok_and_exits_0": 0,
    "management/test_restored.py::test_a_command_that_was_killed_goes_on": 0,
    "operations/test_provisioning.py::test_two_runs_at_once_make_one_of_each": 0,
    "project/test_settings.py::test_generated_secret_key_stays_and_is_private": 0,
    "doctor/test_checks.py::test_site_of_a_real_platform": 0,
    "doctor/test_checks.py::test_cache_that_another_process_fills_is_shared": 0,
    "project/test_demo.py::test_busy_sandbox_port_is_named": 0,
    "project/test_broker.py::test_many_processes_that_bind_at_once_lose_nothing": 0,
    "project/test_settings.py::test_naming_a_platform_leaves_the_sandbox": 1,
    "security/test_deployment.py::test_the_deployment_check_finds_nothing": 0,
    "sandbox/test_courier.py::test_the_base_of_another_start_is_followed": 0,
    "sandbox/test_courier.py::test_kill_9_loses_no_webhook": 0,
    "sandbox/test_state.py::test_clean_end_on_signals": 1,
    "sync/test_lease.py::test_two_processes_have_two_identities": 0,
    # Whole sites: every page, every address, the whole demo city.
    "admin/test_access.py::test_every_address_without_a_row_tells_of_own_ones_only": 0,
    "admin/test_access.py::test_every_address_with_a_foreign_row_is_as_if_it_did_not_exist": 1,
    "admin/test_access.py::test_filters_neither_list_nor_take_foreign_rows": 1,
    "security/test_pages.py::test_pages_for_staff": 0,
    "servers/test_strict_servers.py::test_every_page_of_the_admin": 0,
    "servers/test_strict_servers.py::test_every_address_of_rest": 1,
    "sync/test_pull.py::test_the_whole_city_arrives": 0,
    "sandbox/test_city.py": 0,
    "rest/test_schema.py::test_every_answer_keeps_the_document": 1,
    "admin/test_review.py::test_page_lists_all_kinds": 0,
    # The same for each model, each fault or each action: some of them.
    "admin/test_base.py::test_page_reads_little": 2,
    "admin/test_base.py::test_page_shows_no_secret_and_runs_no_script": 2,
    "admin/test_base.py::test_page_has_nothing_to_type_into": 2,
    "admin/test_base.py::test_nobody_changes_a_row": 2,
    "admin/test_base.py::test_staff_without_permissions_see_nothing": 2,
    "admin/test_base.py::test_staff_with_every_permission_of_django_still_only_look": 2,
    "admin/test_changelist.py::test_list_keeps_its_budget": 2,
    "admin/test_changelist.py::test_filtered_list_keeps_its_budget": 2,
    "admin/test_changelist.py::test_list_keeps_its_size_whatever_the_texts": 2,
    "admin/test_changelist.py::test_list_shows_no_secret_and_runs_no_script": 2,
    "admin/test_charges.py::test_what_cannot_be_quoted": 4,
    "admin/test_confirmations.py::test_amount_must_be_money": 4,
    "admin/test_confirmations.py::test_form_sent_twice_is_one_action": 1,
    "admin/test_confirmations.py::test_row_that_changed_since_it_was_shown_is_refused": 2,
    "admin/test_fee_previews.py::test_a_platform_in_trouble": 2,
    "admin/test_retries.py::test_it_reopens_the_same_operation": 1,
    "admin/test_retries.py::test_offered_to_who_holds_that_permission_and_to_nobody_else": 1,
    "admin/test_setup.py::test_what_is_refused": 3,
    "admin/test_links.py::test_what_cannot_be_asked_for": 3,
    "faults/test_sync_reads.py::test_one_bad_answer_is_repeated": 12,
    "faults/test_sync_reads.py::test_a_platform_that_stays_bad_stops_the_run_cleanly": 2,
    "faults/test_payers_texts.py::test_a_row_with_an_odd_text_is_kept": 6,
    "faults/test_incomplete_lists.py::test_a_list_that_may_be_cut_is_unproved": 4,
    "faults/test_misrouted_accounts.py::test_a_list_that_had_rows_and_answers_404_is_a_failure": 3,
    "faults/test_money_signs.py::test_answer_that_is_no_success": 9,
    "faults/test_money_signs.py::test_answer_that_is_no_success_is_read_at_once": 4,
    "faults/test_money_signs.py::test_refusal_of_the_second_attempt_says_nothing_of_the_first": 3,
    "faults/test_money_signs.py::test_success_that_the_platform_takes_back_is_a_review_item": 2,
    "faults/test_money_signs.py::test_refund_that_the_platform_makes_late": 2,
    "faults/test_money_signs.py::test_late_one_arrives_before_try_again": 2,
    "faults/test_money_races.py::test_two_administrators_refund_the_same_payment": 1,
    "models/test_access.py::test_the_same_rows_as_by_looking_at_each": 12,
    "operations/test_provisioning.py::test_a_lost_answer_never_makes_a_second_one": 2,
    "operations/test_provisioning.py::test_a_refused_step_is_named_and_the_others_are_done": 2,
    "operations/test_provisioning.py::test_a_stop_after_any_write_is_continued": 2,
    "operations/test_sessions.py::test_every_refused_option_names_itself": 11,
    "operations/test_lookups.py::test_api_that_refuses_options_is_read_row_by_row": 2,
    "operations/test_restoring.py::test_every_operation_is_refused_while_held": 3,
    "sync/test_walks.py::test_a_link_that_names_another_host_brings_every_row": 3,
    "rest/test_access.py::test_each_group_does_what_it_may_and_sees_everything": 1,
    "rest/test_base.py::test_a_row_has_its_address": 3,
    "rest/test_base.py::test_a_list_costs_six_statements_however_long": 3,
    "security/test_tracebacks.py": 3,
    "sync/test_events.py::test_a_payload_that_names_nothing_fails_at_once": 7,
    "sync/test_histories.py::test_nothing_is_lost_or_doubled_after_the_next_full_run": 1,
    "sync/test_missing.py::test_what_is_gone_becomes_a_tombstone": 2,
    "sync/test_walks.py::test_all_envelopes_and_short_pages": 3,
    "test_budgets.py::test_an_incremental_run_with_nothing_new": 1,
    "test_budgets.py::test_a_page_of_changed_rows_with_signals_and_bad_ones": 2,
    "test_card_numbers.py::test_staff_type_one": 1,
    "test_translations.py::test_lists_and_pages_speak_spanish": 4,
    "doctor/test_checks.py::test_checkout": 2,
    "doctor/test_checks.py::test_clock": 2,
    "doctor/test_checks.py::test_platform_that_does_not_answer": 1,
    "doctor/test_checks.py::test_queue_age": 1,
    "test_checkout_endings.py::test_a_paid_session_that_is_not_shown_any_more_is_not_paid_again": 2,
    "operations/test_payments.py::test_lost_capture_is_judged_by_what_the_payment_has_become": 3,
    "operations/test_tenants.py::test_wrong_account_is_refused_before_anything": 4,
    "operations/test_tenants.py::test_wrong_checkout_is_refused": 3,
    "operations/test_tenants.py::test_lost_checkout": 1,
    "sync/test_events.py::test_a_payload_of_another_shape": 2,
    "sync/test_events.py::test_disputes_returns_and_reversals_raise_a_flag": 2,
    "rest/test_pagination.py::test_every_row_comes_once_and_in_order": 1,
    "rest/test_retries.py::test_the_same_key_tries_again": 1,
    "admin/test_flags.py::test_filter_reads_the_partial_index": 1,
    "admin/test_access.py::test_no_action_reaches_a_foreign_payment_even_with_a_signed_key": 1,
    "admin/test_confirmations.py::test_every_address_checks_the_exact_permission": 2,
    "admin/test_fee_previews.py::test_a_page_of_before_charges_nothing": 1,
    "faults/test_money_signs.py::test_try_again_is_pressed_twice_at_once": 1,
}


def leave_to_ci(items: Iterable[pytest.Item]) -> None:
    """Mark what `make test` does not run."""
    found: defaultdict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        name = item.nodeid.partition("[")[0].removeprefix("tests/")
        for each in (name, name.partition("::")[0]):
            if each in KEPT:
                found[each].append(item)
    for name, cases in found.items():
        few = KEPT[name]
        kept = {round(number * (len(cases) - 1) / max(1, few - 1)) for number in range(min(few, len(cases)))}
        for number, item in enumerate(cases):
            if number not in kept:
                item.add_marker("ci")
