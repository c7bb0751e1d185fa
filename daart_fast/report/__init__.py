"""One html file about models."""
