"""Runs cqlsh with its warning about the server's version on stderr, since stdout is for data."""

import contextlib
import sys

from cqlshlib import __main__, cqlshmain

check_build_versions = cqlshmain.Shell.check_build_versions


def check_on_stderr(shell):
    """Replaces the method `check_build_versions`."""
    with contextlib.redirect_stdout(sys.stderr):
        check_build_versions(shell)


cqlshmain.Shell.check_build_versions = check_on_stderr
sys.argv[0] = "cqlsh"
sys.exit(__main__.main())
