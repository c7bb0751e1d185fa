"""``python -m daart_fast.cli``."""

import sys

from daart_fast.cli import main

sys.exit(main())
