# syntax=docker/dockerfile:1
# The relay as it runs in production: no compiler, no pip cache, no root, nothing written but /data.

FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build

# The dependencies first: their layer is built again only when the pinned list changes.
COPY requirements/runtime.txt requirements/build.txt requirements/
RUN python -m venv /build/tools \
    && /build/tools/bin/pip install --require-hashes -r requirements/build.txt \
    && python -m venv /opt/relay \
    && /opt/relay/bin/pip install --require-hashes --only-binary :all: -r requirements/runtime.txt

COPY pyproject.toml ./
COPY relay relay
RUN /build/tools/bin/pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
    && /opt/relay/bin/pip install --no-deps --no-index dist/*.whl \
    && /opt/relay/bin/pip uninstall --yes pip


FROM python:3.13-slim
COPY --from=build /opt/relay /opt/relay
ENV PATH=/opt/relay/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    RELAY_CONFIG=/config/relay.yaml

# The working directory is the root, so that the default `spool.path`, ./data/spool.db, is on the volume.
WORKDIR /
RUN mkdir /data && chown 65532:65532 /data
VOLUME /data

# By number, so that Kubernetes can verify `runAsNonRoot`.
USER 65532:65532
EXPOSE 8080 9090
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s CMD ["relay", "healthcheck"]
ENTRYPOINT ["relay"]
CMD ["run"]
