//! What stands around the bridge: compose file, chart and unit, each judged by its ecosystem's own tool. What needs a
//! Docker engine is `tests/stack/run`.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::peers::{may_be_others, peer, program};
use crate::support::process::Process;
use crate::support::{Directory, eventually, free_port, root};

const CHART: &str = "deploy/helm/linkit-bridge";
/// Kubernetes as old as the chart allows, and as new as the schemas are.
const KUBERNETES: [&str; 2] = ["1.25.0", "1.37.0"];

fn run(command: &mut Command) -> (Output, String) {
    let output = command.current_dir(root()).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output, text)
}

fn passes(command: &mut Command) -> String {
    let (output, text) = run(command);
    assert!(output.status.success(), "{command:?}: {text}");
    text
}

/// The compose file as compose reads it.
fn compose(tool: &Path, env: &[(&str, &str)]) -> Value {
    let mut command = Command::new(tool);
    command.args(["config", "--format", "json"]).envs(env.iter().copied());
    let (output, text) = run(&mut command);
    assert!(output.status.success(), "{text}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn compose_takes_the_file_and_two_variables_put_a_linkit_in_the_demos_place() {
    let Some(tool) = peer("docker-compose") else { return };
    let demo = compose(&tool, &[]);
    let names: Vec<_> = demo["services"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(names, ["bridge", "grafana", "prometheus"]);
    assert_eq!(demo["services"]["bridge"]["command"][0], "demo");
    // What the bridge kept through an outage is older than what Prometheus has of others.
    let command = demo["services"]["prometheus"]["command"].as_array().unwrap();
    for flag in ["--config.file=/etc/linkit/deploy/prometheus/prometheus.yml", "--web.enable-otlp-receiver"] {
        assert!(command.iter().any(|given| given == flag), "{flag}: {command:?}");
    }
    let config = std::fs::read_to_string(root().join("deploy/prometheus/prometheus.yml")).unwrap();
    assert!(config.contains("\n    out_of_order_time_window: 24h\n"), "{config}");
    assert_eq!(demo["services"]["bridge"]["environment"]["LINKIT_BRIDGE_API_KEY"], "demo");
    let real = compose(&tool, &[("LINKIT_URL", "http://shop.example:8090"), ("LINKIT_API_KEY", "k-1")]);
    let bridge = &real["services"]["bridge"];
    assert_eq!(bridge["command"][0], "serve");
    for (variable, value) in [
        ("STORE_SOURCE", "telemetry_json"),
        ("STAGING_URL", "http://shop.example:8090"),
        ("RUNTIME_API_KEY", "k-1"),
        ("API_KEY", "k-1"),
        ("STATE_DIR", "/var/lib/linkit-bridge"),
    ] {
        assert_eq!(bridge["environment"][format!("LINKIT_BRIDGE_{variable}")], value, "{variable}");
    }
}

#[test]
fn every_service_is_bounded_checked_and_on_loopback() {
    let Some(tool) = peer("docker-compose") else { return };
    let all = compose(&tool, &[("COMPOSE_PROFILES", "otel,alerting,postgres")]);
    let services = all["services"].as_object().unwrap();
    assert_eq!(services.len(), 7, "{:?}", services.keys());
    for (name, service) in services {
        assert!(service["healthcheck"]["test"].is_array(), "{name} has no health check");
        assert!(service["mem_limit"].as_str().is_some(), "{name} has no memory limit");
        for port in service["ports"].as_array().unwrap_or(&Vec::new()) {
            assert_eq!(port["host_ip"], "127.0.0.1", "{name} is open to the world");
        }
        for volume in service["volumes"].as_array().unwrap_or(&Vec::new()) {
            assert!(volume["type"] != "bind" || volume["read_only"] == true, "{name}: {volume}");
        }
        let (image, tag) = service["image"].as_str().unwrap().rsplit_once(':').unwrap();
        assert!(!image.is_empty() && tag != "latest", "{name}: {image}:{tag}");
    }
}

#[tokio::test]
async fn the_collectors_health_check_tells_whether_it_runs() {
    let (Some(tool), Some(otelcol)) = (peer("docker-compose"), peer("otelcol")) else { return };
    let services = compose(&tool, &[("COMPOSE_PROFILES", "otel")])["services"].take();
    let check: Vec<_> = services["collector"]["healthcheck"]["test"].as_array().unwrap().clone();
    let check: Vec<_> = check.iter().map(|word| word.as_str().unwrap()).collect();
    assert_eq!(check[..2], ["CMD", "/otelcol-contrib"]);
    // On ports of its own.
    let (otlp, health) = (format!("127.0.0.1:{}", free_port()), format!("127.0.0.1:{}", free_port()));
    let config = std::fs::read_to_string(root().join("deploy/collector/collector.yml")).unwrap();
    let config = config.replace("0.0.0.0:4318", &otlp).replace("127.0.0.1:13133", &health);
    let directory = Directory::new("collector");
    let file = directory.write("collector.yml", &config).display().to_string();
    let placed = |word: &&str| word.replace("/etc/linkit/collector.yml", &file).replace("127.0.0.1:13133", &health);
    let arguments: Vec<_> = check[2..].iter().map(placed).collect();
    let is_healthy = || Command::new(&otelcol).args(&arguments).output().unwrap().status.success();
    assert!(!is_healthy(), "healthy before it runs");
    let mut running = Process::start("the collector", Command::new(&otelcol).arg(format!("--config={file}")));
    eventually("the collector being healthy", || async { is_healthy().then_some(()) }).await;
    running.signal("-KILL");
    running.ended().await;
    assert!(!is_healthy(), "healthy after it was killed");
}

#[test]
fn the_charts_own_tests_pass_and_helm_finds_nothing() {
    let (Some(helm), Some(unittest)) = (peer("helm"), peer("helm-unittest")) else { return };
    passes(Command::new(&helm).args(["lint", "--strict", CHART]));
    let text = passes(Command::new(&unittest).args(["--strict", CHART]));
    let tests = text.lines().find_map(|line| line.strip_prefix("Tests:")).unwrap();
    assert!(!tests.trim().starts_with('0') && !tests.contains("failed"), "{text}");
}

#[test]
fn what_the_chart_makes_is_valid_kubernetes_and_prometheus_operator() {
    let (Some(helm), Some(kubeconform)) = (peer("helm"), peer("kubeconform")) else { return };
    let schemas = root().join("target/peers/kubernetes-schemas");
    let directory = Directory::new("chart");
    // What a scrape shows, and how the pod is probed.
    let user = "basicAuth: { username: { name: k, key: u }, password: { name: k, key: p } }";
    let tls = "tlsConfig: { ca: { secret: { name: w, key: c } }, cert: { secret: { name: k, key: c } }, \
               keySecret: { name: k, key: k }, serverName: name }";
    let ways = [
        ("serviceMonitor", "authorization: { name: k, key: m }".to_owned(), ""),
        ("podMonitor", format!("{user}, {tls}"), ", probe: { user: u, cert: c, key: k, ca: a, serverName: name }"),
    ];
    for ((monitor, shown, probe), version) in ways.iter().flat_map(|one| KUBERNETES.map(|two| (one, two))) {
        let values = format!(
            "{monitor}: {{ enabled: true, {shown} }}\n\
             prometheusRule: {{ enabled: true }}\ndashboards: {{ enabled: true }}\n\
             networkPolicy: {{ enabled: true, egress: [ {{ to: [ {{ ipBlock: {{ cidr: 10.0.0.0/8 }} }} ] }} ] }}\n\
             secrets: {{ existingSecret: k }}\nwebConfig: {{ existingSecret: w, scheme: HTTPS{probe} }}\n"
        );
        let values = directory.write("values.yaml", &values);
        let mut template = Command::new(&helm);
        template.args(["template", "shop", CHART, "--kube-version", version, "--values"]).arg(values);
        let (output, text) = run(&mut template);
        assert!(output.status.success(), "{text}");
        let manifests = directory.write("manifests.yaml", &String::from_utf8(output.stdout).unwrap());
        let location = format!(
            "{}/{{{{.NormalizedKubernetesVersion}}}}{{{{.StrictSuffix}}}}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json",
            schemas.display()
        );
        let operator = format!("{}/operator/{{{{.ResourceKind}}}}.json", schemas.display());
        let said = passes(
            Command::new(&kubeconform)
                .args(["-strict", "-summary", "-output", "json", "-kubernetes-version", version])
                .args(["-schema-location", &location, "-schema-location", &operator])
                .arg(&manifests),
        );
        let summary: Value = serde_json::from_str(&said).unwrap();
        assert!(summary["summary"]["valid"].as_u64() >= Some(9), "{said}");
        assert_eq!(summary["summary"]["skipped"], 0, "{said}");
    }
}

#[test]
fn the_chart_refuses_settings_it_does_not_know() {
    let Some(helm) = peer("helm") else { return };
    let (output, text) =
        run(Command::new(&helm).args(["template", "shop", CHART, "--set", "persistance.enabled=true"]));
    assert!(!output.status.success() && text.contains("persistance"), "{text}");
}

#[test]
fn without_an_engine_the_stack_is_skipped_with_a_word_unless_it_is_required() {
    if !may_be_others() {
        return;
    }
    // Alone, where a stranger may read it.
    let directory = Directory::new("stack");
    std::fs::create_dir_all(directory.path().join("tests/stack")).unwrap();
    let script = directory.path().join("tests/stack/run");
    std::fs::copy(root().join("tests/stack/run"), &script).unwrap();
    let as_nobody = |peers: &str| {
        let mut command = Command::new("/bin/bash");
        command.arg(&script).arg("compose").env("LINKIT_BRIDGE_TEST_PEERS", peers).uid(65534);
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, said, _) = as_nobody("");
    assert_eq!(code, Some(0));
    assert!(
        said.starts_with("skipped: the image and the compose file: not root") && said.lines().count() == 1,
        "{said}"
    );
    let (code, said, why) = as_nobody("require");
    assert!(code == Some(1) && said.is_empty() && why.contains("not root"), "{said}{why}");
}

#[test]
fn systemd_takes_the_unit_and_finds_it_closed() {
    let Some(analyze) = program("systemd-analyze") else { return };
    let directory = Directory::new("unit");
    for unit in ["linkit-bridge.service", "optional/linkit-bridge.socket"] {
        // The binary is where the package puts it; here any will do.
        let text = std::fs::read_to_string(root().join("deploy/systemd").join(unit)).unwrap();
        directory.write(unit.trim_start_matches("optional/"), &text.replace("/usr/bin/linkit-bridge", "/bin/true"));
    }
    let units = ["linkit-bridge.service", "linkit-bridge.socket"].map(|unit| directory.path().join(unit));
    // An unknown key is only a warning, so nothing at all may be said.
    let said = passes(Command::new(&analyze).args(["verify", "--man=no"]).args(&units));
    assert_eq!(said, "");
    passes(Command::new(&analyze).args(["security", "--offline=true", "--threshold=15"]).arg(&units[0]));
}
