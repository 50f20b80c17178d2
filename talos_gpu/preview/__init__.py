"""What an update of stacks would do, told so that a reviewer can decide: made without node and cluster."""
