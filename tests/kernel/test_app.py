"""The kernel's program: what it reads of its command line."""

import pytest
from ipykernel.kernelapp import IPKernelApp

from earthlab.kernel.app import LabKernelApp


def read(program, arguments):
    app = program()
    app.parse_command_line(list(arguments))
    return app.argv, app.extra_args, app.connection_file, app.log_level


@pytest.mark.parametrize(
    "arguments",
    [
        ("-f", "/a folder/kernel-é.json"),
        ("-f", "--log-level=DEBUG"),
        ("-f", "/k.json", "--log-level=DEBUG"),
        ("--IPKernelApp.connection_file=/k.json",),
        (),
    ],
    ids=" ".join,
)
@pytest.mark.filterwarnings("ignore:.*Unrecognized alias")
def test_a_command_line_says_the_same_as_to_ipython_s_own_kernel(arguments):
    try:
        expected = read(IPKernelApp, arguments)
    except SystemExit as exc:
        expected = exc.code
    try:
        found = read(LabKernelApp, arguments)
    except SystemExit as exc:
        found = exc.code
    assert found == expected
