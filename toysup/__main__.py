"""`python -m toysup`: the pre-flight check. Prints a table and a short code; exits with 1 if there is a fault."""

import sys

from toysup import configure, preflight


def main() -> int:
    """Print the report; return the exit status."""
    configure()
    found = preflight.rows()
    print(preflight.report(found))
    return int(any(not row.ok for row in found))


if __name__ == "__main__":
    sys.exit(main())
