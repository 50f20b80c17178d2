"""Rollouts: many stacks in waves, planned and approved as a whole, journalled, resumable."""
