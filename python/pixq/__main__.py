"""`python -m pixq`."""

import sys

from pixq.cli import main

sys.exit(main())
