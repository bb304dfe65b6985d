# What a contributor types; each recipe is one command that stands in README or CONTRIBUTING too.

# Lists the recipes.
default:
    @just --list

# Runs the bridge on a simulated shop.
demo:
    cargo run --release -- demo

# 100,000 lives and deaths of the spool on a file system that is as bad as one may be.
sim:
    LINKIT_BRIDGE_TEST_SIM_RUNS=100000 cargo test --lib delivery::disk::tests::simulation -- --nocapture

# A thousand kills of the bridge at random moments, and what of its pushes arrives.
kills:
    LINKIT_BRIDGE_TEST_KILLS=1000 cargo test --test it spool::kills -- --nocapture

# A Collector that is away for ten minutes, and what is in its file afterwards.
outage:
    LINKIT_BRIDGE_TEST_OUTAGE=600 cargo test --test it spool::outage -- --nocapture

# The tests; those whose peer is absent say that they were skipped.
test:
    cargo test

# Installs or builds every real program the tests run against.
peers:
    tests/peers/install

# Writes the dashboards, with the thresholds of the alert rules.
dashboards:
    dashboards/generate.py

# Exactly what a change must pass.
check:
    .ci/run

# Licences, bans, sources and advisories of all three lock files.
deny:
    .ci/deny

# What the documents have from the code, written anew.
docs:
    LINKIT_BRIDGE_TEST_BLESS=1 cargo test --test it docs

# Manual pages and completions for shells, as packages carry them.
assets OUT="target/assets":
    cargo run --example assets -- {{OUT}}

# The bill of materials of the release binary, CycloneDX 1.5 in JSON; installs cargo-cyclonedx once, in some minutes.
sbom:
    deploy/sbom

# The release binary, built twice and compared bit by bit; prints its size and SHA-256.
release OUT="target/dist":
    deploy/release {{OUT}}

# One fuzz target for some time, such as `just fuzz config 600`; `fuzz/run` runs them all.
fuzz TARGET SECONDS="60":
    fuzz/run {{TARGET}} {{SECONDS}}

# The figures of speed and size, beside their limits measured in the same run.
bench:
    bench/run

# What a bridge costs the PocketBase it reads.
bench-guest:
    bench/guest

# Scrapes, memory and the stop under a flood of half-open connections.
bench-flood:
    bench/flood

# The scrape page beside a static body and other libraries.
bench-exposition:
    bench/exposition/run

# The stack: bridge, Prometheus, Grafana.
up:
    docker compose up --build

# The stack, the image and the Debian package on a Docker engine of their own.
stack:
    tests/stack/run

# The Debian package.
deb:
    deploy/debian/build
