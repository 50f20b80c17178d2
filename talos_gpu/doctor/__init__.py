"""Why a node's GPU does not work: evidence gathered once, small checks over it, causes with their remedies."""
