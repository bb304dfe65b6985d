//! Against openssl, where there is one, and against certificates that were cut off or bent.

use std::path::Path;
use std::process::Command;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::*;

/// A certificate by openssl with such extensions, and when openssl says that it expires; `None` without openssl.
fn made(arguments: &[&str]) -> Option<(Vec<u8>, i64)> {
    let unique = format!("linkit-bridge-der-{}-{:x}", std::process::id(), fastrand::u64(..));
    let directory = std::env::temp_dir().join(unique);
    std::fs::create_dir(&directory).unwrap();
    let made = made_in(&directory, arguments);
    std::fs::remove_dir_all(&directory).unwrap();
    made
}

fn made_in(directory: &Path, arguments: &[&str]) -> Option<(Vec<u8>, i64)> {
    let file = directory.join("a.pem");
    let mut command = Command::new("openssl");
    command.args([
        "req",
        "-x509",
        "-nodes",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-subj",
        "/CN=a",
    ]);
    command.args(arguments).arg("-keyout").arg(directory.join("a.key")).arg("-out").arg(&file);
    let Ok(done) = command.output() else { return None };
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let mut command = Command::new("openssl");
    command.args(["x509", "-noout", "-enddate", "-dateopt", "iso_8601", "-in"]).arg(&file);
    let told = String::from_utf8(command.output().unwrap().stdout).unwrap();
    let told = told.trim().trim_start_matches("notAfter=").replace(' ', "T");
    let expires = told.parse::<jiff::Timestamp>().unwrap_or_else(|error| panic!("{told}: {error}")).as_second();
    Some((CertificateDer::from_pem_file(&file).unwrap().to_vec(), expires))
}

#[test]
fn openssl_and_this_say_the_same() {
    let names = "subjectAltName=DNS:a.example,email:a@b.example,URI:spiffe://a/b,IP:10.0.0.1,IP:2001:db8::1,RID:1.2.3";
    for (arguments, is_clients, count) in [
        (&["-days", "7"][..], true, 0),
        (&["-days", "40000", "-addext", names], true, 5),
        (&["-days", "7", "-addext", "extendedKeyUsage=serverAuth"], false, 0),
        (&["-days", "7", "-addext", "extendedKeyUsage=critical,serverAuth,clientAuth"], true, 0),
        (&["-days", "7", "-addext", "extendedKeyUsage=anyExtendedKeyUsage", "-addext", names], true, 5),
    ] {
        let Some((der, expires)) = made(arguments) else { return };
        let facts = read(&der).unwrap();
        assert_eq!(
            (facts.not_after, facts.is_clients, facts.names.len()),
            (expires, is_clients, count),
            "{arguments:?}"
        );
        assert!(facts.not_before < facts.not_after);
        for name in ["a.example", "a@b.example", "spiffe://a/b", "10.0.0.1", "2001:db8:0::1"] {
            assert_eq!(facts.names.iter().any(|has| has.is(name)), count > 0, "{name}");
        }
        for name in ["A.example", "a", "10.0.0.2", ""] {
            assert!(!facts.names.iter().any(|has| has.is(name)), "{name}");
        }
    }
}

#[test]
fn what_is_cut_off_or_bent_is_none_and_never_panics() {
    let Some((der, _)) = made(&["-days", "7", "-addext", "subjectAltName=DNS:a.example"]) else { return };
    let whole = read(&der).unwrap();
    for end in 0..der.len() {
        assert_eq!(read(&der[..end]), None, "cut at {end}");
    }
    for at in 0..der.len() {
        for bit in 0..8 {
            let mut bent = der.clone();
            bent[at] ^= 1 << bit;
            let _ = read(&bent);
        }
    }
    let long = [der.as_slice(), b"more"].concat();
    assert_eq!(read(&long).as_ref(), Some(&whole), "what follows is another's");
}

#[test]
fn times_are_read_as_the_standard_writes_them() {
    let of = |tag, text: &str| time((tag, text.as_bytes()));
    assert_eq!(of(UTC_TIME, "700101000000Z"), Some(0));
    assert_eq!(of(UTC_TIME, "491231235959Z"), Some(2_524_607_999));
    assert_eq!(of(UTC_TIME, "500101000000Z"), Some(-631_152_000));
    assert_eq!(of(GENERALIZED_TIME, "20500101000000Z"), Some(2_524_608_000));
    assert_eq!(of(GENERALIZED_TIME, "99991231235959Z"), Some(jiff::Timestamp::MAX.as_second()));
    for (tag, text) in [
        (UTC_TIME, "700101000000"),
        (UTC_TIME, "700101000000+0100"),
        (UTC_TIME, "701301000000Z"),
        (UTC_TIME, "+70101000000Z"),
        (GENERALIZED_TIME, "20500101000000.5Z"),
        (GENERALIZED_TIME, ""),
        (OCTETS, "700101000000Z"),
    ] {
        assert_eq!(of(tag, text), None, "{text}");
    }
}
