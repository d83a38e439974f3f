# syntax=docker/dockerfile:1
# Both programs, one image each: docker build --target mcp-server -t countersign/mcp-server . and the same with --target agent.
# Without the embedded Postgres and without the tool server inside the agent: those are for one machine.

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
# Both in one go, so that what they share is compiled once and alike; queries are checked against the committed data.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --package mcp-server --package agent --no-default-features \
    && install -D --target-directory=/out target/release/mcp-server target/release/agent

FROM debian:bookworm-slim AS base
# Certificates of the authorities that model providers, payment providers and authorization servers are checked against: the newest,
# because an old list distrusts new ones and trusts some it should not.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --create-home --home-dir /var/lib/countersign countersign
ENV COUNTERSIGN_HOME=/var/lib/countersign \
    LOG_FORMAT=json
# Settings may lie here as a file `.env`, which a program reads when it starts: a secret that no `inspect` shows.
WORKDIR /run/countersign
USER 10001
STOPSIGNAL SIGTERM

FROM base AS mcp-server
COPY --from=build /out/mcp-server /usr/local/bin/
EXPOSE 8001
HEALTHCHECK --interval=5s --timeout=4s --start-period=10s --retries=3 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8001 && printf 'GET /readyz HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' >&3 && head -1 <&3 | grep -q ' 200 '"]
ENTRYPOINT ["mcp-server"]

FROM base AS agent
COPY --from=build /out/agent /usr/local/bin/
EXPOSE 8000
HEALTHCHECK --interval=5s --timeout=4s --start-period=10s --retries=3 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8000 && printf 'GET /readyz HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' >&3 && head -1 <&3 | grep -q ' 200 '"]
ENTRYPOINT ["agent"]
