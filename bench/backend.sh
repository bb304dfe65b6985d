# Sourced by what measures on a real backend: a PocketBase at work on the document's example, and a bridge's config on it.
# Everything ends with the script that sources this, from the top of the checkout.

tests/peers/install backend >/dev/null
backend=target/peers/bin/linkit-backend
work=$(mktemp -d)
pid=
trap '[[ -z $pid ]] || kill "$pid" 2>/dev/null || true; rm -rf "$work"' EXIT

seed() {
    "$backend" seed --dir "$work/shop" --completed-yesterday 3000 >/dev/null
}

serve() { # FLAG…
    LINKIT_API_KEY=bench "$backend" serve --dir "$work/shop" --http 127.0.0.1:0 "$@" >"$work/out" 2>&1 &
    pid=$!
    until url=$(grep -o 'http://127.0.0.1:[0-9]*' "$work/out"); do kill -0 "$pid"; done
}

# A bridge with all three sections, a receiver that is dead and, in a file of its own, TLS.
configs() {
    cat >"$work/bridge.yml" <<YAML
service: { name: linkit, version: "1.0.0" }
web: { api_keys: [ { name: bench, key: bench } ] }
runtime: { source: telemetry_json, url: "$url", api_key: bench }
store: { source: sqlite, path: "$work/shop/data.db" }
staging: { source: sqlite, path: "$work/shop/data.db" }
otlp: { endpoint: "http://127.0.0.1:9" }
YAML
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
        -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE \
        -keyout "$work/server.key" -out "$work/server.pem" 2>/dev/null
    echo 'tls_server_config: { cert_file: server.pem, key_file: server.key }' >"$work/web.yml"
}
