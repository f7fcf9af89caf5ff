#!/bin/bash
#SBATCH --job-name=focus-stopped
#SBATCH --output=@RUN@/logs/slurm-%j.out
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1

# Written by focus start --slurm, which submitted it.
# 120 s before the time limit SLURM sends USR1: the worker saves a checkpoint and asks
# to be requeued. Started again by SLURM, it goes on from its last checkpoint.

# exec: the signals go to the worker itself.
exec @PYTHON@ -m focus_engine.worker @RUN@ --slurm
