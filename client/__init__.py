"""How to speak the contract: the SDK (`studies`), the worker's protocol (`leases`) and the command line (`cli`)."""
