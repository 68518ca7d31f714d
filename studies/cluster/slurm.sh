#!/usr/bin/env bash
# Workers of one study on a SLURM cluster: sbatch --array=1-8 studies/cluster/slurm.sh gumbel-softmax --trials 100
#
# Before: a PostgreSQL that all nodes reach, with its password in ~/.pgpass (or PGPASSWORD) rather than in the URL:
#     export DISCRETE_VAE_STORAGE=postgresql+psycopg://user@host/database
# RUNS and ARTIFACTS, folders that all nodes share, let a worker go on from the checkpoints of one that was killed.
#SBATCH --job-name=discrete-vae-study
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=4
#SBATCH --mem=16G
#SBATCH --time=12:00:00
#SBATCH --signal=INT@120
#SBATCH --requeue
set -euo pipefail
: "${DISCRETE_VAE_STORAGE:?set it to the URL of a PostgreSQL database}"
exec srun python -m studies worker "$@" --runs "${RUNS:-runs}" --artifacts "${ARTIFACTS:-artifacts}"
