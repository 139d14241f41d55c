"""Names and values of variables: a list can never make a switch act."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialer import channel_variables
from dialer.switch import extract_reserved

ACTS = (
    "api_on_answer api_hangup_hook exec_after_bridge_app execute_on_answer execute_on_ring_2 session_in_hangup_hook "
    "origination_uuid originate_timeout group_confirm_key bridge_pre_execute_aleg_app park_timeout leg_timeout "
    "transfer_ringback record_post_process_exec_app sip_h_X_Evil hangup_after_bridge export_vars _body campon uuid "
    "_nolocal_api_on_answer absolute_codec_string effective_caller_id_number call_timeout system_on_fax_success "
    "instant_ringback intercept_unbridged_only bridge_pre_execute_aleg_data RECORD_STEREO playback_timeout_sec "
    "playback_delimiter playback_terminators origination_nested_vars app_disable_expand_variables"
)


@pytest.mark.parametrize("name", ACTS.split())
def test_a_name_that_the_switch_acts_on_is_refused_in_any_case_of_letters(name: str) -> None:
    for written in (name, name.upper(), name.title()):
        with pytest.raises(ValueError, match="administrator"):
            channel_variables.check_name(written)
        channel_variables.check_name(written, [name])


@pytest.mark.parametrize(
    "name", ["customer_name", "debt", "language", "productID", "_x", "A" * 64, "contract_2", "myhook"]
)
def test_a_name_of_a_business_is_taken(name: str) -> None:
    channel_variables.check_name(name)


@pytest.mark.parametrize("name", ["", "1x", "a b", "a-b", "x" * 65, "імя", "a\n", "a=b", "a,b", "[x]", None, 7])
def test_what_is_no_name_is_refused(name: object) -> None:
    with pytest.raises(ValueError, match="no name"):
        channel_variables.check_name(name)


def test_our_own_names_are_nobody_elses() -> None:
    with pytest.raises(ValueError, match="belongs to the dialer"):
        channel_variables.check_name("Dialer_Attempt", ["dialer_attempt"])


@pytest.mark.parametrize("value", ["", "x", "two\nlines\tand a tab", "я" * 2048, 20000, 1.5, True])
def test_plain_values_are_taken(value: object) -> None:
    channel_variables.check_value("x", value)


@pytest.mark.parametrize(
    "value", ["a\rb", "\0", "\x1b", "\x7f", "\x85", "\ud800", "я" * 2049, None, [], {}, float("nan"), float("inf")]
)
def test_other_values_are_refused_by_name(value: object) -> None:
    with pytest.raises(ValueError, match="“note”"):
        channel_variables.check_value("note", value)


@given(st.text())
def test_a_check_answers_whatever_it_is_given(text: str) -> None:
    for check in (channel_variables.check_name, lambda value: channel_variables.check_value("x", value)):
        with contextlib.suppress(ValueError):
            check(text)


def test_names_are_extracted_from_every_way_in_which_sources_speak_of_them(tmp_path: Path) -> None:
    (tmp_path / "src" / "mod").mkdir(parents=True)
    (tmp_path / "configure.ac").write_text("AC_INIT([freeswitch], [1.2.3-test], bugs@example.org)\n")
    (tmp_path / "src" / "a.h").write_text(
        '#define SWITCH_FOO_VARIABLE "foo_it"\n#define OTHER "by_macro"\n# define X_PREFIX "pre_"\n'
    )
    (tmp_path / "src" / "mod" / "a.c").write_text(
        """
        v = switch_channel_get_variable(switch_core_session_get_channel(session), "plain_read");
        v = switch_channel_get_variable(channel, OTHER);
        switch_channel_set_variable(channel, "written_too", "not_a_name");
        if (switch_channel_var_true(channel, cond ? "one_way" : "or_other")) {}
        v = switch_event_get_header(var_event, "from_braces"); w = switch_event_get_header(event, "Not-A-Variable");
        switch_snprintf(vname, sizeof(vname), "made_%d_up", i);
        v = switch_event_get_header(event, "variable_seen_in_event");
        switch_channel_get_variable(channel, "last_" OTHER); switch_channel_get_variable(channel, "sip_h_x");
        switch_channel_get_variable(channel, "language");
        """
    )
    assert extract_reserved.version(tmp_path) == "1.2.3-test"
    found = set(extract_reserved.extract(tmp_path))
    assert found - set(extract_reserved.FAMILIES.split()) == {
        "foo_it", "pre_*", "plain_read", "by_macro", "written_too", "one_way", "or_other", "from_braces", "made_*_up",
        "seen_in_event", "last_by_macro",
    }  # fmt: skip
