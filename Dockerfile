# linkit-bridge in a small image: built with the whole toolchain, run without it, and without a shell.
#
#   docker build -t linkit-bridge .
#   docker run --rm -p 127.0.0.1:9464:9464 linkit-bridge demo --web.listen-address=:9464
#
# The address is given because the default, 127.0.0.1, is the container's own loopback.

# Debian's full image: jemalloc and SQLite are compiled from C, which needs cc and make.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# What `--version` calls it, such as: --build-arg BUILD_REVISION="$(git describe --always --dirty)"
ARG BUILD_REVISION=unknown
# The caches outlive the build, the binary does not stay in them.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin linkit-bridge \
    && install -D -m 0755 target/release/linkit-bridge /out/linkit-bridge \
    && install -d -m 0700 /out/lib/linkit-bridge

# The same Debian's C library and certificate authorities, nothing else; its user is 65532.
FROM gcr.io/distroless/cc-debian12:nonroot
LABEL org.opencontainers.image.title="linkit-bridge" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /out/linkit-bridge /usr/local/bin/linkit-bridge
# For `state_dir` and spools: a named volume mounted there takes over owner and mode.
COPY --from=build --chown=65532:65532 /out/lib/ /var/lib/
# There is no shell to ask with: the bridge asks itself.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 \
    CMD ["/usr/local/bin/linkit-bridge", "probe"]
USER 65532:65532
EXPOSE 9464
ENTRYPOINT ["/usr/local/bin/linkit-bridge"]
