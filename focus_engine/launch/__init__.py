"""Starting runs, and proving what they do: processes, slots, torchrun, SLURM."""
