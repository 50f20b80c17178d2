"""A new stack file: from flags, from the node itself, from questions."""
