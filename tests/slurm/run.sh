#!/usr/bin/env bash
# `make test-slurm`: a SLURM cluster on loopback (lab.sh), the tests in it, and its end.
# Debian's packages are installed when they are missing. Arguments go to pytest.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
export PATH=$PATH:/usr/sbin:/sbin
for tool in slurmctld slurmd sbatch munged; do
    if ! command -v $tool >/dev/null; then
        command -v apt-get >/dev/null || { echo "there is no $tool, and no apt-get to install slurm-wlm with" >&2; exit 1; }
        sudo=""
        [ "$(id -u)" = 0 ] || sudo=sudo
        $sudo apt-get update -qq
        DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends slurm-wlm munge >/dev/null
        break
    fi
done

# The cluster claims more than the machine has: jobs that a test holds still cost nothing.
LAB=$(mktemp -d "${TMPDIR:-/tmp}/snakecap-slurm.XXXXXX")
# It remembers ended jobs for longer than the tests take, on a slow machine too.
export LAB LAB_CPUS=16 LAB_MEM=200000 LAB_GPUS=2 LAB_MINJOBAGE=3600
# Not a server's, and below those that the kernel gives to clients.
LAB_PORT=${LAB_PORT:-$((20000 + RANDOM % 10000))}
export LAB_PORT
trap 'bash "$here/lab.sh" stop' EXIT
bash "$here/lab.sh" start
eval "$(bash "$here/lab.sh" env)"
export SNAKECAP_LAB=$LAB
# What failed stays where its path says; a run that passes leaves nothing.
.venv/bin/python -m pytest -n 6 --basetemp "$LAB/tests" -p no:cacheprovider "$here" "$@"
bash "$here/lab.sh" stop
trap - EXIT
rm -rf "$LAB"
