# Build: docker build -t nearline .   (or podman, buildah)
# BASE can be any Debian image with Python 3.11 or later.
ARG BASE=docker.io/library/python:3.13-slim-bookworm

FROM ${BASE} AS build
WORKDIR /src
RUN python3 -m venv /opt/nearline
COPY requirements.runtime.lock ./
RUN /opt/nearline/bin/pip install --no-cache-dir --require-hashes --no-deps -r requirements.runtime.lock
COPY pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY src ./src
COPY deploy/warm.py ./
# The kernels are compiled here: a read-only container has no place to keep them.
RUN /opt/nearline/bin/pip install --no-cache-dir --no-deps . \
    && NUMBA_CACHE_DIR=/opt/nearline/kernels NUMBA_CPU_NAME=generic /opt/nearline/bin/python warm.py \
    && find /opt/nearline -name '*.pyi' -delete \
    && find /opt/nearline -type d -name tests -prune -exec rm -rf {} + \
    && rm -rf /opt/nearline/lib/python3*/site-packages/pip

FROM ${BASE}
RUN groupadd --gid 10001 nearline \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent nearline \
    && mkdir /store && chown nearline:nearline /store
COPY --from=build /opt/nearline /opt/nearline
ENV PATH=/opt/nearline/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    NUMBA_CACHE_DIR=/opt/nearline/kernels \
    NUMBA_CPU_NAME=generic \
    NEARLINE_STORE=/store
USER 10001:10001
VOLUME /store
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \
    CMD ["python3", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/readyz', timeout=2)"]
# --host 0.0.0.0 needs a key: NEARLINE_API_KEY.
ENTRYPOINT ["nearline"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8080"]
