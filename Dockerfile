# The image: docker build -t shardwright .
# Plain syntax, so that builders without BuildKit take it too.

# The base of the final image: any with glibc. Debian's slim one is the libc that the build stage links
# against, is mirrored everywhere, and has a shell for a look around. Nothing here needs that shell:
# gcr.io/distroless/cc-debian12 will do as well.
ARG RUNTIME=debian:bookworm-slim

FROM rust:1.95-slim-bookworm AS build
# All of them. Without `embedded` there are no embedded servers and no `demo`:
# --build-arg FEATURES=postgres,sqs,firehose,s3,parquet
ARG FEATURES=embedded,postgres,sqs,firehose,s3,parquet
# `release` leaves out the link-time optimisation.
ARG PROFILE=dist
WORKDIR /src

# Writes the list of crates into the binary, where scanners of images read it: SECURITY.md.
RUN cargo install --locked cargo-auditable@0.7.7

# The dependencies in a layer of their own: it stays cached until they or the arguments change.
COPY Cargo.toml Cargo.lock ./
# The benches are not in the context; cargo refuses a manifest that names them.
RUN sed -i '/^\[\[bench\]\]$/,/^$/d' Cargo.toml \
    && mkdir src \
    && echo 'fn main() {}' > src/main.rs \
    && touch src/lib.rs \
    && cargo auditable build --locked --profile "$PROFILE" --no-default-features --features "$FEATURES"

# Cargo goes by times: the files must be newer than what was built of the empty ones.
COPY src src
COPY config config
RUN touch src/main.rs src/lib.rs \
    && cargo auditable build --locked --profile "$PROFILE" --no-default-features --features "$FEATURES" \
    && mkdir -p /out/bin /out/data /out/etc \
    && cp "target/$PROFILE/shardwright" /out/bin/ \
    && echo '# Mount yours over this one, or set SHARDWRIGHT__… variables.' > /out/etc/shardwright.toml

FROM $RUNTIME
# The AWS SDK trusts the system's certificates and fails without any; the slim base has none.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/bin/shardwright /usr/local/bin/
# Empty, so that a configuration may come from the environment alone, as in deploy/ecs.
COPY --from=build /out/etc /etc/shardwright
# File sinks write here: relative paths in `path` begin at the working directory.
COPY --from=build --chown=10001:10001 /out/data /data

ENV SHARDWRIGHT_CONFIG=/etc/shardwright/shardwright.toml
WORKDIR /data
# A number, so that Kubernetes' runAsNonRoot can tell.
USER 10001:10001
STOPSIGNAL SIGTERM
# The command itself gives up after 3 s.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 \
    CMD ["shardwright", "healthcheck"]
ENTRYPOINT ["shardwright"]
CMD ["run"]

ARG VERSION=unversioned
ARG REVISION=unknown
LABEL org.opencontainers.image.title="shardwright" \
      org.opencontainers.image.description="KCL-compatible Kinesis consumer: leases, CloudWatch Logs envelopes, ETL, sinks, dead letters" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
