"""``python -m daart_fast``: the command ``daart-fast``."""

import sys

from daart_fast.cli import main

sys.exit(main())
