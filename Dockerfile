# The environment of constraints.txt with the package and its plug-ins, for jobs on other machines:
# docs/containers.md. The base is an image of Debian or Ubuntu. As it stands, for machines without a GPU:
#   docker build --tag bench .
# For GPUs, whose driver the machine has; PyPI's PyTorch is the CUDA build and brings its libraries:
#   docker build --tag bench:cuda --build-arg PYTORCH= \
#     --build-arg BASE=nvidia/cuda:12.8.1-base-ubuntu24.04 .

ARG BASE=python:3.11-slim
FROM ${BASE}

# git: Snakemake packs the files that git tracks for jobs elsewhere. rsync: its storage plug-in `fs`.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git rsync \
    && (python3 -m venv --help > /dev/null || apt-get install --yes python3 python3-venv) \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /bench

# PyTorch by itself, as it is large and its index is another one.
ARG PYTORCH="--index-url https://download.pytorch.org/whl/cpu"
COPY constraints.txt ./
RUN python3 -m venv /opt/bench \
    && /opt/bench/bin/pip install --no-cache-dir \
       $(grep -E '^torch(vision)?==' constraints.txt) ${PYTORCH}

COPY pyproject.toml README.md LICENSE ./
COPY bench bench
RUN /opt/bench/bin/pip install --no-cache-dir --constraint constraints.txt '.[cluster]'

COPY Snakefile params.yaml ./
COPY profiles profiles
COPY workflows workflows

ENV PATH=/opt/bench/bin:${PATH}
RUN bench config > /dev/null && python -m snakemake --cores 1 --dry-run tables > /dev/null
