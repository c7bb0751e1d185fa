"""Loss terms, under the names by which daart's scripts import them.

Nothing in daart_fast imports this module.
"""

from daart_fast.models.loss_terms import kl_div_to_std_normal

__all__ = [
    "kl_div_to_std_normal",
]
