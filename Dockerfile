# Lineup in a container, for the CPU. With the build argument TORCH_INDEX_URL empty, torch and torchvision come from the
# default package index, whose build is the one for NVIDIA GPUs: docker build --build-arg TORCH_INDEX_URL= .
FROM python:3.11-slim-bookworm AS dependencies
ARG TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv /opt/lineup
COPY requirements.txt requirements-s3.txt ./
RUN grep -E '^(torch|torchvision)==' requirements.txt > torch.txt \
    && /opt/lineup/bin/pip install ${TORCH_INDEX_URL:+--index-url "$TORCH_INDEX_URL"} -r torch.txt
RUN /opt/lineup/bin/pip install -r requirements.txt -r requirements-s3.txt

FROM dependencies AS package
COPY pyproject.toml README.md LICENSE requirements-parquet.txt requirements-umap.txt ./
COPY ml ml
COPY backend backend
RUN /opt/lineup/bin/pip wheel --no-deps --wheel-dir /wheels .

# the packages are one layer that changes with requirements.txt alone, Lineup's own code a small one above it
FROM python:3.11-slim-bookworm
LABEL org.opencontainers.image.title="Lineup" \
      org.opencontainers.image.description="An ML backend for Label Studio that puts the right task in front of the annotator" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --create-home --uid 1001 lineup && install -d -o lineup /data/models /data/cache
COPY --from=dependencies /opt/lineup /opt/lineup
COPY --from=package /wheels /wheels
RUN /opt/lineup/bin/pip install --no-cache-dir --no-deps --no-index /wheels/*.whl
ENV PATH=/opt/lineup/bin:$PATH PYTHONUNBUFFERED=1 \
    HOST=0.0.0.0 PORT=9090 MODEL_DIR=/data/models MODEL_CACHE=/data/cache HF_HOME=/data/cache
WORKDIR /home/lineup
VOLUME ["/data/models", "/data/cache"]
EXPOSE 9090
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/health', timeout=4)"]
USER lineup
CMD ["lineup", "serve"]
