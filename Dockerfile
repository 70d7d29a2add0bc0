# Lineup in a container. Build argument TORCH_INDEX_URL: package index of another build of torch and torchvision
# (PyTorch's own CPU-only or CUDA index, say); empty takes the default index's.
FROM python:3.12-slim AS build
ARG TORCH_INDEX_URL=
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv /opt/lineup
COPY requirements.txt ./
RUN grep -E '^(torch|torchvision)==' requirements.txt > torch.txt \
    && /opt/lineup/bin/pip install ${TORCH_INDEX_URL:+--index-url "$TORCH_INDEX_URL"} -r torch.txt \
    && /opt/lineup/bin/pip install -r requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY ml ml
COPY backend backend
RUN /opt/lineup/bin/pip install --no-deps .

FROM python:3.12-slim
RUN useradd --create-home --uid 1001 lineup && install -d -o lineup /data/models
COPY --from=build /opt/lineup /opt/lineup
ENV PATH=/opt/lineup/bin:$PATH HOST=0.0.0.0 PORT=9090 MODEL_DIR=/data/models PYTHONUNBUFFERED=1
USER lineup
VOLUME /data/models
EXPOSE 9090
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/health', timeout=2)"]
CMD ["lineup", "serve"]
