"""What the ledger tells of a while: calls, causes, operators. Nothing is counted beforehand: set queries read it."""
