"""Runs as SLURM jobs: options, script and submission, and the state of a job."""
