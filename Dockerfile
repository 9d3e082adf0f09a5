# Two images of one package: `docker build .` is the Singer tap, and
# `docker build --target source .` the source for Airbyte. With `--build-arg EXTRAS=[s3]` it can
# write files there.

FROM python:3.13-slim AS built
WORKDIR /src
ARG EXTRAS=
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY schemas schemas
COPY tap_llamaclassify tap_llamaclassify
COPY llamaclassify_report llamaclassify_report
COPY llamacloud_sandbox llamacloud_sandbox
ENV PIP_CONSTRAINT=/src/constraints.txt PIP_NO_CACHE_DIR=1
RUN pip wheel --no-deps --wheel-dir /dist . \
    && python -m venv /opt/tap \
    && /opt/tap/bin/pip install "$(echo /dist/*.whl)$EXTRAS"

FROM python:3.13-slim AS base
COPY --from=built /opt/tap /opt/tap
ENV PATH=/opt/tap/bin:$PATH
RUN useradd --uid 1000 --create-home tap
USER 1000
WORKDIR /home/tap

FROM base AS source
LABEL io.airbyte.name=source-llamaclassify io.airbyte.version=0.2.0
ENV AIRBYTE_ENTRYPOINT=source-llamaclassify
ENTRYPOINT ["source-llamaclassify"]

FROM base AS tap
ENTRYPOINT ["tap-llamaclassify"]
