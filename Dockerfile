# The platform's image: built in one stage, run in another as a user without rights.
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml hatch_build.py package.json package-lock.json README.md ./
COPY core core
COPY migrations migrations
COPY device_gateway device_gateway
COPY telemetry telemetry
COPY anomaly anomaly
COPY proactive proactive
COPY api api
COPY simulator simulator
COPY cli cli
RUN python -m venv /opt/forewarn && /opt/forewarn/bin/pip install --no-cache-dir .

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --home-dir /var/lib/forewarn --create-home forewarn
COPY --from=build /opt/forewarn /opt/forewarn
ENV PATH=/opt/forewarn/bin:$PATH PYTHONUNBUFFERED=1
USER forewarn
WORKDIR /var/lib/forewarn
ENTRYPOINT ["forewarn"]
CMD ["--help"]
