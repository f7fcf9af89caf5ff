"""Runs as jobs of a SLURM cluster: what is asked of it, the script, and what it says of a job."""
