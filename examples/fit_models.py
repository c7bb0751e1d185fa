"""Fit a model for each combination of settings in three config files.

    python examples/fit_models.py
    python examples/fit_models.py --data_config D.yaml --model_config M.yaml --train_config T.yaml

Without config files it fits the ones in ``configs/``, on a small demo set that it writes first;
then it writes a report, and the picture that docs/images/ethogram.png is: a minute of a session
that was held out. Copy this script and change it: `fit` takes one combination to a finished model,
and its body in ``daart_fast/search/fit.py``, a call for each step, is what to start from where a
step should be another. Any function that takes a trial and returns something can stand in its
place.
"""

import sys
from pathlib import Path

from daart_fast.demo import finish_demo
from daart_fast.search.arguments import get_all_params
from daart_fast.search.fit import fit

CONFIGS = Path(__file__).resolve().parents[1] / "configs"

if __name__ == "__main__":
    params = get_all_params("grid_search", default_configs=CONFIGS)
    results = params.optimize_parallel(fit)
    finish_demo(results)  # where it is the demo set; leave it out of your own script
    sys.exit(1 if any(result is None for _, result in results) else 0)
