//! Whether the time of a judgement tells how near a wrong key is: Welch's t over two classes measured in random order,
//! as dudect does (Reparaz, Balasch, Verbauwhede: "Dude, is my code constant time?", 2017). Long, so only on demand.

use std::hint::black_box;
use std::time::Instant;

use super::*;

/// Above it the classes differ for certain.
const T_MAX: f64 = 4.5;
const SAMPLES: usize = 1_000_000;
/// Of the samples, those that nothing interrupted: the fastest of both classes together.
const KEPT: f64 = 0.9;

/// Welch's t of two classes of cases, `true` and `false`.
fn t_of(mut judged: impl FnMut(bool)) -> f64 {
    let mut random = fastrand::Rng::with_seed(7);
    let mut samples = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        let class = random.bool();
        let started = Instant::now();
        judged(class);
        samples.push((started.elapsed().as_nanos() as f64, class));
    }
    let mut times: Vec<f64> = samples.iter().map(|sample| sample.0).collect();
    times.sort_by(f64::total_cmp);
    let longest = times[(SAMPLES as f64 * KEPT) as usize];
    let moments = |class: bool| {
        let of_class = samples.iter().filter(|sample| sample.1 == class && sample.0 <= longest);
        let times: Vec<f64> = of_class.map(|sample| sample.0).collect();
        let count = times.len() as f64;
        let mean = times.iter().sum::<f64>() / count;
        let variance = times.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / (count - 1.0);
        (mean, variance / count)
    };
    let ((one, of_one), (other, of_other)) = (moments(true), moments(false));
    (one - other) / (of_one + of_other).sqrt()
}

fn shown(key: &str) -> HeaderMap {
    HeaderMap::from_iter([(AUTHORIZATION, key.parse().unwrap())])
}

#[test]
#[ignore = "long and in need of a quiet machine: cargo test --release --lib timing -- --ignored --nocapture"]
fn the_time_of_a_refusal_does_not_tell_how_near_the_key_was() {
    let good = "lb_0123456789abcdefghjkmnpqrstvwxyz";
    let keys: Vec<_> =
        (0..20).map(|at| ApiKey::from_secret(format!("k{at}"), &SecretString::from(format!("{at}")))).collect();
    let keys: Vec<_> = keys.into_iter().chain([ApiKey::from_secret("good", &SecretString::from(good))]).collect();
    let near = shown(&good.replace('z', "y"));
    let far = shown(&"Q".repeat(good.len()));
    let t = t_of(|is_near| {
        let headers = if is_near { &near } else { &far };
        black_box(judge(black_box(&keys), black_box(headers), Scope::Telemetry, Wall::default()));
    });
    println!("near against far keys: t = {t:.2} over {SAMPLES} samples");
    assert!(t.abs() < T_MAX, "t = {t}");
}

#[test]
#[ignore = "long and in need of a quiet machine: cargo test --release --lib timing -- --ignored --nocapture"]
fn the_time_of_a_comparison_does_not_tell_how_many_bytes_of_a_digest_are_right() {
    let held = digest(b"a key");
    let mut near = held;
    near[31] ^= 1;
    let mut far = held;
    far[0] ^= 1;
    let t = t_of(|is_near| {
        let candidate = if is_near { &near } else { &far };
        for _ in 0..16 {
            black_box(bool::from(black_box(&held).ct_eq(black_box(candidate))));
        }
    });
    println!("31 right bytes against none: t = {t:.2} over {SAMPLES} samples");
    assert!(t.abs() < T_MAX, "t = {t}");
}
