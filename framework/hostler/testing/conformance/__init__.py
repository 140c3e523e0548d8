"""What a class promises by being a plugin, and the check that it keeps all of it."""

from hostler.testing.conformance.check import assert_plugin_contract, check_contract
from hostler.testing.conformance.findings import Breach, Findings

__all__ = ["Breach", "Findings", "assert_plugin_contract", "check_contract"]
