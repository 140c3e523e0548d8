"""The contract of a plugin, all of it: what `assert_plugin_contract` and `hostler plugins check` look at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from hostler.plugins.messages import file_of
from hostler.plugins.options import construct, option_fields, option_type
from hostler.plugins.signatures import is_listener
from hostler.secrets.credentials import is_secret_name
from hostler.testing.conformance.findings import Findings, place_of
from hostler.testing.conformance.import_probe import check_import
from hostler.testing.conformance.lifecycle_checks import check_life
from hostler.testing.conformance.listener_checks import check_listener_form, check_listening
from hostler.testing.conformance.signature_checks import check_hooks, check_options, check_shape

_PLANTED = "planted-secret-2f7c9a41"


def assert_plugin_contract(class_: type, options: Mapping[str, object] | None = None) -> None:
    """Check everything that a plugin or listener class promises by being one; `options` are as in TOML.

    Looked at: the form of class and hooks; that every option has a type, a default that fits, and a
    meaning; that importing its module does nothing; that hooks keep their deadlines, can be cancelled and
    raise nothing for plain values; that a stream of reports can be closed and opened again; that pre_spawn
    edits every launch alike; that two objects share nothing; that no secret shows in a repr. Hooks are
    really called, in folders that are removed afterwards, with an address that nobody listens at. It takes
    some seconds. A listener is called with some events and their end, and sends what it sends.

    Raises AssertionError, which says of everything that is wrong where it is and how to mend it.
    """
    findings = check_contract(class_, options)
    if findings.breaches:
        raise AssertionError(findings.text(class_.__name__))
    if findings.unbuilt:
        raise AssertionError(f"{findings.unbuilt}; give what it needs: options={{...}}")


def check_contract(class_: type, options: Mapping[str, object] | None = None) -> Findings:
    """The same, with the findings as a value; also what could not be checked, and why."""
    findings = Findings()
    options = options or {}

    if check_shape(class_, findings):
        listens = is_listener(class_)
        callable_ = check_listener_form(class_, findings) if listens else check_hooks(class_, findings)
        usable = check_options(class_, findings)
        check_import(class_, findings)
        if callable_ and usable and _can_be_built(class_, options, findings):
            _check_secrets(class_, options, findings)
            (check_listening if listens else check_life)(class_, options, findings)

    return findings


def _can_be_built(class_: type, options: Mapping[str, object], findings: Findings) -> bool:
    """Whether these options make an object; why not is noted, for it may be the options' fault."""
    plugin, problems = construct(class_, options)
    # What is wrong with an option is a ValueError; all else is a fault of the class, told with its file.
    fault = next((one.message for one in problems if one.message.startswith(f"{file_of(class_)}: ")), "")
    if fault:
        mend = 'correct that line; what is wrong with an option is a ValueError, "OPTION: what is wrong"'
        findings.broken(place_of(class_), f"no object can be made: {fault.partition(': ')[2]}", mend)
    elif problems:
        reasons = "; ".join(str(problem) for problem in problems)
        findings.could_not_be_built(
            f"{place_of(class_)}: its hooks, since other options are needed: {reasons}"
        )
    return plugin is not None


def _check_secrets(class_: type, options: Mapping[str, object], findings: Findings) -> None:
    """Plant a secret in each option that is named like one, and look for it where objects are shown."""
    for name, field in option_fields(class_).items():
        kind = option_type(class_, field)
        if not is_secret_name(name) or str not in (kind, *get_args(kind)):
            continue
        plugin, _ = construct(class_, {**options, name: _PLANTED})
        if plugin is not None and _PLANTED in repr(plugin):
            findings.broken(
                place_of(class_, name),
                "shows its value in repr(), and so in errors and logs",
                'option("", "...", secret=True), or @dataclass(eq=False, repr=False)',
            )
