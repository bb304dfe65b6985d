//! The toolkit's own cases: what it calls good must load, what it calls bad must be refused, and for the right reason.

use std::collections::BTreeMap;

use super::{certified, load};
use crate::support::peers::peer_file;

/// What the reason of each bad case must say. The others are good.
const BAD: [(&str, &str); 22] = [
    ("web_config_auth_clientCAs_invalid.bad.yml", "somefile cannot be read"),
    ("web_config_auth_user_list_invalid.bad.yml", "john is no bcrypt hash"),
    ("web_config_headers_content_type_options.bad.yml", "X-Content-Type-Options may be nosniff"),
    ("web_config_headers_extra_header.bad.yml", "line 3: unknown key Content-Type"),
    ("web_config_headers_frame_options.bad.yml", "X-Frame-Options may be deny or sameorigin"),
    ("web_config_junk.yml", "line 1: "),
    ("web_config_junk_key.yml", "line 2: unknown key cert_filse; did you mean cert_file?"),
    ("web_config_noAuth.bad.yml", "client_auth_type"),
    ("web_config_noAuth_certPath_empty.bad.yml", "lacks cert or cert_file"),
    ("web_config_noAuth_certPath_invalid.bad.yml", "somefile cannot be read"),
    ("web_config_noAuth_certPath_keyPath_empty.bad.yml", "lacks cert or cert_file"),
    ("web_config_noAuth_certPath_keyPath_invalid.bad.yml", "somefile cannot be read"),
    ("web_config_noAuth_cert_empty.bad.yml", "lacks cert or cert_file"),
    ("web_config_noAuth_inventedCiphers.bad.yml", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA2048: there is no such suite"),
    ("web_config_noAuth_inventedCurves.bad.yml", "CurveP257: there is no such curve"),
    ("web_config_noAuth_keyPath_empty.bad.yml", "lacks key or key_file"),
    ("web_config_noAuth_keyPath_invalid.bad.yml", "cannot be read"),
    ("web_config_noAuth_key_empty.bad.yml", "lacks key or key_file"),
    ("web_config_noAuth_noHTTP2Cipher.bad.yml", "cipher_suites lacks what HTTP/2 needs"),
    ("web_config_noAuth_wrongTLSVersion.bad.yml", "TLS111: there is no such version"),
    // Good in the toolkit, and refused here by name: the TLS library has none of them.
    (
        "web_config_noAuth_allCiphers.good.yml",
        "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA: the TLS library has no CBC suites",
    ),
    ("web_config_noAuth_someCurves.good.yml", "CurveP521: the TLS library does not have it"),
];

/// As the last two of [`BAD`].
const BAD_TOO: (&str, &str) = ("web_config_noAuth_allCurves.good.yml", "CurveP521: the TLS library does not have it");

/// Bad by their names, and yet they load, in the toolkit too: the first is letter for letter `web_config_noAuth.good.blocking.yml`,
/// the second lets no client of that certificate in.
const LOADING: [&str; 2] = ["web_config_auth_clientCAs_missing.bad.yml", "web_config_auth_client_san.bad.yaml"];

#[test]
fn every_case_of_the_toolkit_is_judged_as_the_toolkit_judges_it() {
    let Some(cases) = peer_file("web-config") else { return };
    let mut reasons: BTreeMap<_, _> = BAD.into_iter().chain([BAD_TOO]).collect();
    let mut loaded = 0;
    for case in std::fs::read_dir(cases).unwrap() {
        let (path, name) = {
            let entry = case.unwrap();
            (entry.path(), entry.file_name().into_string().unwrap())
        };
        // The others are the certificates they name.
        if !name.ends_with(".yml") && !name.ends_with(".yaml") {
            continue;
        }
        match (load(&path), reasons.remove(name.as_str())) {
            (Ok(_), None) => {
                assert!(!name.contains(".bad.") || LOADING.contains(&name.as_str()), "{name} loads");
                loaded += 1;
            }
            (Err(error), Some(reason)) => {
                assert!(error.contains(reason) && error.contains(&name) && !error.contains('\n'), "{name}: {error}");
            }
            (Ok(_), Some(reason)) => panic!("{name} loads; expected: {reason}"),
            (Err(error), None) => panic!("{name}: {error}"),
        }
    }
    assert!(reasons.is_empty() && loaded >= 18, "{loaded} loaded, not there: {reasons:?}");
}

#[test]
fn a_certificate_and_a_key_may_stand_in_the_file() {
    let Some(directory) = certified("web-inline") else { return };
    let text = |name: &str| std::fs::read_to_string(directory.path().join(name)).unwrap().replace('\n', "\n    ");
    let (certificate, key, authority) = (text("server.crt"), text("server.key"), text("authority.pem"));
    let inline = |key: &str, more: &str| {
        directory
            .write("web.yml", &format!("tls_server_config:\n  cert: |\n    {certificate}\n  key: |\n    {key}\n{more}"))
    };
    let clients = format!("  client_auth_type: RequireAndVerifyClientCert\n  client_ca: |\n    {authority}\n");
    assert!(load(&inline(&key, &clients)).unwrap().is_tls());
    let error = load(&inline("nothing", "")).unwrap_err();
    assert!(error.contains("key holds no private key"), "{error}");
    // The key of another certificate.
    let error = load(&inline(&text("authority.key"), "")).unwrap_err();
    assert!(error.contains("cert and key do not go together") && !error.contains("BEGIN"), "{error}");
}

#[test]
fn a_broken_file_refuses_the_start() {
    let directory = crate::support::Directory::new("web-start");
    let web = directory.write("web.yml", "tls_server_config:\n  cert_file: nowhere.pem\n  key_file: nowhere.key\n");
    let output = crate::support::bridge::command().arg("--web.config.file").arg(&web).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    let last = said.lines().last().unwrap();
    assert!(last.contains("web.yml: cert_file") && last.contains("nowhere.pem cannot be read"), "{said}");
}
