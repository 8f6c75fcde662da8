# `translate` for CPUs, as a container that asks nothing of a network when it runs:
#
#   docker build --build-arg TORCH_INDEX=ADDRESS -t translate .
#   docker run --rm --network none --user "$(id -u):$(id -g)" -v "$PWD:/data" translate convert run in out
#
# docs/installing.md says which address, and the rest. Only building needs a network.

# Python and Debian; `constraints.txt` was tested with this Python.
ARG PYTHON=3.11-slim-bookworm

FROM python:${PYTHON} AS build
# Where torch comes from: the address of an index of CPU builds, or "default" for what the package index has, which on
# x86-64 is a build for NVIDIA GPUs of several gigabytes.
ARG TORCH_INDEX=""
# What is installed beside the core, as pip takes extras.
ARG EXTRAS="heif,onnx,serve"
SHELL ["/bin/bash", "-o", "errexit", "-o", "pipefail", "-c"]
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore PATH=/opt/translate/bin:$PATH
RUN if [ -z "$TORCH_INDEX" ] && [ "$(uname -m)" = x86_64 ]; then \
      echo "say where torch comes from, by --build-arg TORCH_INDEX=ADDRESS; see docs/installing.md" >&2; exit 1; \
    fi
# git reads the version from the tag of the commit; it stays in this stage.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git \
    && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/translate
COPY constraints.txt /source/constraints.txt
# Alone and first, since it is large and seldom changes; what it needs comes with the next line from the package index.
RUN if [ -z "$TORCH_INDEX" ] || [ "$TORCH_INDEX" = default ]; then from=(); else from=(--index-url "$TORCH_INDEX"); fi; \
    pip install --no-deps --constraint /source/constraints.txt "${from[@]}" torch
COPY . /source
RUN pip install --constraint /source/constraints.txt "/source[$EXTRAS]" \
    && pip check \
    && translate --version

FROM python:${PYTHON}
LABEL org.opencontainers.image.title="translate" \
      org.opencontainers.image.description="Image-to-image translation: train, convert whole folders, serve" \
      org.opencontainers.image.licenses="MIT"
RUN groupadd --gid 1000 translate \
    && useradd --uid 1000 --gid translate --create-home translate \
    && install --directory --owner translate --group translate /data
COPY --from=build /opt/translate /opt/translate
ENV PATH=/opt/translate/bin:$PATH PYTHONDONTWRITEBYTECODE=1
USER translate
WORKDIR /data
ENTRYPOINT ["translate"]
CMD ["--help"]
