# What a contributor types; each recipe is one command that stands in README or CONTRIBUTING too.

# Lists the recipes.
default:
    @just --list

# Runs the bridge on a simulated shop.
demo:
    cargo run --release -- demo

# The tests; those whose peer is absent say that they were skipped.
test:
    cargo test

# Installs or builds every real program the tests run against.
peers:
    tests/peers/install

# Exactly what a change must pass.
check:
    .ci/run

# The figures of speed and size, beside their limits measured in the same run.
bench:
    bench/run

# What a bridge costs the PocketBase it reads.
bench-guest:
    bench/guest

# The scrape page beside a static body and other libraries.
bench-exposition:
    bench/exposition/run

# The stack: bridge, Prometheus, Grafana.
up:
    docker compose up --build
