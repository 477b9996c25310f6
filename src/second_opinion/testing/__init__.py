"""Public doubles of the ports, with the semantics of the real thing; the contract suites hold both to it."""
