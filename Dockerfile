# Two images from one file:
#   docker build --target serve -t counterfoil .          the HTTP service: no torch, no compiler, non-root
#   docker build --target train -t counterfoil-train .    the training job
# Models live in the volume /data/artifacts; decision log, API keys, users and compiled kernel beside them; the
# service works with a read-only root file system. It listens on every address of its container, and so starts only
# once there is a key:
#   docker run --rm -v counterfoil:/data counterfoil keys create switch --scope score
#   docker run --read-only --tmpfs /tmp -v counterfoil:/data -p 8000:8000 counterfoil
#   docker run -v counterfoil:/data -v "$PWD":/in:ro counterfoil-train train /in/history.csv --profile payments

FROM python:3.11-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/counterfoil
WORKDIR /src
# Every package in the version and with the hash of the lock; only then, from nothing else, the project itself.
# Where people sign in by OpenID Connect: --build-arg LOCK=serve-oidc.
COPY requirements requirements
ARG LOCK=serve
RUN /opt/counterfoil/bin/pip install --require-hashes --requirement "requirements/$LOCK.lock"
COPY pyproject.toml README.md LICENSE counterfoil.py ./
COPY app app
COPY cli cli
COPY models models
COPY training training
RUN /opt/counterfoil/bin/pip install --no-deps --no-build-isolation .

FROM build AS build-train
# Without TORCH_INDEX pip's default index gives the CUDA build, gigabytes larger. To train on the processor alone:
#   docker build --target train --build-arg TORCH_INDEX=<PyTorch's index of CPU wheels> .
ARG TORCH_INDEX=""
RUN /opt/counterfoil/bin/pip install --require-hashes --requirement requirements/train.lock \
 && /opt/counterfoil/bin/pip install --requirement requirements/torch.txt ${TORCH_INDEX:+--index-url "$TORCH_INDEX"}

FROM python:3.11-slim-bookworm AS runtime
ENV PATH=/opt/counterfoil/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    COUNTERFOIL_ARTIFACTS=/data/artifacts \
    COUNTERFOIL_DATABASE_URL=sqlite:////data/counterfoil.db \
    COUNTERFOIL_KEYS_FILE=/data/keys.json \
    COUNTERFOIL_USERS_FILE=/data/users.json \
    NUMBA_CACHE_DIR=/data/.numba \
    ORT_DISABLE_TELEMETRY=1
RUN useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin counterfoil \
 && install --directory --owner counterfoil --group counterfoil /data
USER 10001
WORKDIR /data
VOLUME /data
ENTRYPOINT ["counterfoil"]

FROM runtime AS train
COPY --from=build-train /opt/counterfoil /opt/counterfoil
CMD ["--help"]

FROM runtime AS serve
COPY --from=build /opt/counterfoil /opt/counterfoil
ENV COUNTERFOIL_HOST=0.0.0.0 COUNTERFOIL_PORT=8000
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 CMD ["counterfoil", "health"]
CMD ["serve"]
