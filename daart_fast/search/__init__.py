"""Lists in a config file -> trials -> one result each."""
