"""Each fault seen on plain WsgiDAV is absent here, and the check that says so can fail.

The checks stand in `faults/`, by noun. Each runs against Headgate, where it has to pass, and, where
plain WsgiDAV has the fault, against plain WsgiDAV, where it has to report just that.
"""

import re

import pytest

from tests.e2e.faults import framing, locks, names, properties, ranges, uploads, versions
from tests.e2e.faults.catalogue import Check
from tests.e2e.wire import Fault
from tests.servers.target import Target

_MODULES = (uploads, locks, versions, ranges, names, properties, framing)
_CHECKS = [pytest.param(check, id=check.name) for module in _MODULES for check in module.CHECKS]
_CONTROLS = [
    pytest.param(check, id=check.name)
    for module in _MODULES
    for check in module.CHECKS
    if check.plain
]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("check", _CHECKS)
def test_gateway_keeps_the_promise(gateway: Target, check: Check) -> None:
    check(gateway)


@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.parametrize("check", _CONTROLS)
def test_plain_wsgidav_breaks_the_promise(control: Target, check: Check) -> None:
    """The same function reports the fault where the fault is known to be."""
    assert check.plain is not None
    with pytest.raises(Fault, match=re.escape(check.plain)):
        check(control)
