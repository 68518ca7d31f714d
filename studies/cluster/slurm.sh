#!/usr/bin/env bash
# Workers of one study on a SLURM cluster: sbatch --array=1-8 studies/cluster/slurm.sh gumbel-softmax --trials 100
#
# Submit it from the checkout, with the environment active (venv, conda) whose Python is to run. What is given to sbatch
# before the script's name replaces the lines below: --time=2:00:00, or --gres=none where there are no GPUs.
# Before: a PostgreSQL that all nodes reach, with its password in ~/.pgpass (or PGPASSWORD) rather than in the URL:
#     export DISCRETE_VAE_STORAGE=postgresql+psycopg://user@host/database
# RUNS and ARTIFACTS (or --runs and --artifacts), folders that all nodes share, let a worker go on from the checkpoints
# of one that was stopped or killed.
# scancel, scontrol requeue and, two minutes before it, the time limit stop a worker as Ctrl-C does: it saves and gives
# its trial back. Tasks that reached their limit are not started again; the same sbatch goes on with the study.
#SBATCH --job-name=discrete-vae-study
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=4
#SBATCH --mem=16G
#SBATCH --time=12:00:00
#SBATCH --signal=INT@120
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail
: "${DISCRETE_VAE_STORAGE:?set it to the URL of a PostgreSQL database}"

python=$(command -v python || true)
lacking=${python:+$("$python" -c '
from importlib.util import find_spec
print(*(name for name in ("studies", "torch", "optuna") if not find_spec(name)))')}
if [[ -z $python || -n $lacking ]]; then
    echo "error: ${python:-there is no python}${lacking:+ has no $lacking};" \
        "run sbatch from the checkout, with its environment active" >&2
    exit 2
fi

# srun does not give its task the job's processors by itself, and torch would take the whole node's.
export SRUN_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK:-1}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$SRUN_CPUS_PER_TASK}
exec srun --export=ALL python -m studies worker "$@" ${RUNS:+--runs "$RUNS"} ${ARTIFACTS:+--artifacts "$ARTIFACTS"}
