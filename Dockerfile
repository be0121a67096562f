# Build: docker build -t nearline .   (or podman; deploy/image.sh does without an engine)
# BASE can be any Debian image with Python 3.11 or later.
ARG BASE=docker.io/library/python:3.13-slim-bookworm

FROM ${BASE} AS build
# requirements.encoder.lock adds the packages that text encoders need.
ARG LOCK=requirements.runtime.lock
WORKDIR /src
# strip, which makes libraries smaller; nothing of this stage but the environment is kept.
# hadolint ignore=DL3008
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends binutils
RUN python3 -m venv /opt/nearline
COPY ${LOCK} ./
RUN /opt/nearline/bin/pip install --no-cache-dir --no-compile --require-hashes --no-deps -r ${LOCK}
COPY pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY src ./src
COPY deploy/slim.py ./
# The kernels are compiled here: a read-only container has no place to keep them.
RUN /opt/nearline/bin/pip install --no-cache-dir --no-compile --no-deps . \
    && python3 slim.py /opt/nearline \
    && PYTHONDONTWRITEBYTECODE=1 NUMBA_CACHE_DIR=/opt/nearline/kernels NUMBA_CPU_NAME=generic \
       /opt/nearline/bin/nearline doctor --compile

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
