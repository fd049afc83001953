"""`python -m miniqueue` is the command line."""

import sys

from miniqueue.cli import main

sys.exit(main())
