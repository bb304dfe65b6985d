//! With a comparison that can be counted and held up, and a clock that stands still.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier, mpsc};

use super::*;

const NOW: Duration = Duration::from_secs(1000);

fn users() -> Users {
    let hash = |password: &str| SecretString::from(bcrypt::hash(password, 4).unwrap());
    Users::new(BTreeMap::from([("alice".to_owned(), hash("a")), ("bob".to_owned(), hash("b"))])).unwrap()
}

fn credentials(name: &str, password: &str) -> Credentials {
    Credentials { name: name.to_owned(), password: SecretSlice::from(password.as_bytes().to_vec()) }
}

fn address(number: u32) -> Option<IpAddr> {
    Some(IpAddr::from(number.to_be_bytes()))
}

/// Checks that count how often a password is compared; `a` is right for everybody.
fn counted() -> (Arc<Checks>, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let checks = Checks::with(move |password, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        password == b"a"
    });
    (Arc::new(checks), count)
}

#[tokio::test]
async fn who_is_known_and_right_is_let_in() {
    let (checks, users) = (Arc::new(Checks::new()), users());
    for (name, password, verdict) in [
        ("alice", "a", Verdict::Right),
        ("bob", "b", Verdict::Right),
        ("alice", "b", Verdict::Wrong),
        ("alice", "", Verdict::Wrong),
        ("carol", "a", Verdict::Wrong),
        ("", "", Verdict::Wrong),
        ("alice", "a", Verdict::Right),
    ] {
        assert_eq!(checks.check(&users, credentials(name, password), None, NOW).await, verdict, "{name} {password}");
    }
    let hash = users.hashes["alice"].expose_secret().to_owned();
    assert_eq!(checks.check(&users, credentials("alice", &hash), None, NOW).await, Verdict::Wrong);
}

#[tokio::test]
async fn what_was_right_is_compared_once_and_what_was_wrong_each_time() {
    let ((checks, count), users) = (counted(), users());
    for _ in 0..5 {
        assert_eq!(checks.check(&users, credentials("alice", "a"), None, NOW).await, Verdict::Right);
    }
    assert_eq!(count.load(Ordering::SeqCst), 1);
    for expected in 2..5 {
        assert_eq!(checks.check(&users, credentials("alice", "x"), None, NOW).await, Verdict::Wrong);
        assert_eq!(count.load(Ordering::SeqCst), expected);
    }
    // Another hash of the same user is another password, though it was right before.
    let changed = self::users();
    checks.check(&changed, credentials("alice", "a"), None, NOW).await;
    assert_eq!(count.load(Ordering::SeqCst), 5);
    assert_eq!(lock(&checks.kept).keys.len(), 2);
}

#[tokio::test]
async fn an_unknown_user_costs_what_a_known_one_costs_and_is_never_kept() {
    let (sender, compared) = mpsc::channel();
    let checks = Arc::new(Checks::with(move |_, hash| sender.send(hash[..7].to_owned()).is_ok()));
    let users = users();
    for name in ["carol", "carol", "dave"] {
        assert_eq!(checks.check(&users, credentials(name, "a"), None, NOW).await, Verdict::Wrong);
        assert_eq!(compared.try_recv().unwrap(), "$2b$04$");
    }
    assert!(lock(&checks.kept).keys.is_empty());
    let seed = RandomState::new();
    let (hash, is_known) = users.hash("carol", &seed);
    assert_eq!((hash.clone(), is_known), (users.hash("carol", &seed).0, false));
    assert!(bcrypt::verify("a", &hash).is_ok_and(|is_right| !is_right), "it must cost what any other does");
}

#[test]
fn no_two_triples_have_one_digest() {
    let fields: [&[u8]; 6] = [b"", b"a", b"ab", b":", b"a:b", b"\0"];
    let mut seen = HashSet::new();
    for name in fields {
        for hash in fields {
            for password in fields {
                assert!(seen.insert(digest([name, hash, password])), "{name:?} {hash:?} {password:?}");
            }
        }
    }
}

#[tokio::test]
async fn an_address_has_ten_guesses_a_second_and_no_more_are_computed() {
    let ((checks, count), users) = (counted(), users());
    let ask = async |password: &str, from: u32, now| {
        checks.check(&users, credentials("alice", password), address(from), now).await
    };
    let mut verdicts = Vec::new();
    for _ in 0..15 {
        verdicts.push(ask("x", 1, NOW).await);
    }
    assert_eq!(verdicts, [[Verdict::Wrong; 10].as_slice(), &[Verdict::TooMany; 5]].concat());
    assert_eq!(count.load(Ordering::SeqCst), 10);
    // It is its own bound: another address has not guessed, and one that is right gets its guess back.
    for _ in 0..20 {
        assert_eq!(ask("a", 2, NOW).await, Verdict::Right);
    }
    assert_eq!(ask("a", 1, NOW).await, Verdict::Right, "what is kept needs no guess");
    assert_eq!(ask("x", 1, NOW + Duration::from_millis(100)).await, Verdict::Wrong);
    assert_eq!(ask("x", 1, NOW + Duration::from_millis(100)).await, Verdict::TooMany);
}

/// On one worker, so that a check that computes on it would stop the test.
#[tokio::test]
async fn a_flood_of_guesses_keeps_nobody_waiting_whose_password_is_kept_and_others_not_for_long() {
    let (open, computing) = (Arc::new(Barrier::new(TURNS + 1)), Arc::new(AtomicUsize::new(0)));
    let (gate, most, before) = (Arc::clone(&open), Arc::clone(&computing), Arc::new(AtomicUsize::new(0)));
    let before_bob = Arc::clone(&before);
    let checks = Arc::new(Checks::with(move |password, _| {
        match password {
            b"a" => {}
            b"b" => before.store(most.load(Ordering::SeqCst), Ordering::SeqCst),
            _ if most.fetch_add(1, Ordering::SeqCst) < TURNS => _ = gate.wait(),
            _ => {}
        }
        password != b"x"
    }));
    let users = Arc::new(users());
    let ask = |name: &'static str, password: &'static str, from: u32| {
        let (checks, users) = (Arc::clone(&checks), Arc::clone(&users));
        async move { checks.check(&users, credentials(name, password), address(from), NOW).await }
    };
    assert_eq!(ask("alice", "a", 0).await, Verdict::Right);
    // Two compute until they are let go, the others wait; from a hundred addresses, so that none is over its bound.
    let flood: Vec<_> = (0..800).map(|number| tokio::spawn(ask("alice", "x", 1 + number % 100))).collect();
    while checks.places.available_permits() > PLACES - 800 || computing.load(Ordering::SeqCst) < TURNS {
        tokio::task::yield_now().await;
    }
    let bob = tokio::spawn(ask("bob", "b", 0));
    while checks.places.available_permits() > PLACES - 801 {
        tokio::task::yield_now().await;
    }
    for _ in 0..1000 {
        assert_eq!(ask("alice", "a", 0).await, Verdict::Right);
    }
    assert_eq!(computing.load(Ordering::SeqCst), TURNS);
    tokio::task::spawn_blocking(move || open.wait()).await.unwrap();
    assert_eq!(bob.await.unwrap(), Verdict::Right);
    let before_bob = before_bob.load(Ordering::SeqCst);
    assert!(before_bob <= 100, "he waits for {before_bob} guesses of a hundred addresses");
    for guess in flood {
        assert_eq!(guess.await.unwrap(), Verdict::Wrong);
    }
    assert_eq!((checks.places.available_permits(), checks.turns.available_permits()), (PLACES, TURNS));
}

#[tokio::test]
async fn an_address_waits_in_a_line_of_its_own_that_does_not_grow() {
    let (open, shut) = (Arc::new(Barrier::new(2)), Arc::new(AtomicUsize::new(0)));
    let (gate, first) = (Arc::clone(&open), Arc::clone(&shut));
    let checks = Arc::new(Checks::with(move |_, _| {
        if first.fetch_add(1, Ordering::SeqCst) == 0 {
            gate.wait();
        }
        false
    }));
    let users = Arc::new(users());
    let ask = |from: u32, now| {
        let (checks, users) = (Arc::clone(&checks), Arc::clone(&users));
        async move { checks.check(&users, credentials("alice", "x"), address(from), now).await }
    };
    let line: Vec<_> = (0..LINE).map(|_| tokio::spawn(ask(1, NOW))).collect();
    while checks.places.available_permits() > PLACES - LINE || shut.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    // A second later it may guess again, and yet nobody has left the line; another's is empty.
    assert_eq!(ask(1, NOW + Duration::from_secs(1)).await, Verdict::TooMany);
    assert_eq!(ask(2, NOW).await, Verdict::Wrong);
    assert_eq!(shut.load(Ordering::SeqCst), 2, "two guesses of one address at a time");
    tokio::task::spawn_blocking(move || open.wait()).await.unwrap();
    for guess in line {
        assert_eq!(guess.await.unwrap(), Verdict::Wrong);
    }
    let mut lines = Lines::default();
    let held: Vec<_> = (0..10 * PLACES).filter_map(|at| lines.join(address(at.try_into().unwrap())?)).take(5).collect();
    assert_eq!(held.len(), 5);
    for at in 0..10 * PLACES {
        lines.join(address(at.try_into().unwrap()).unwrap());
    }
    assert!(lines.0.len() <= PLACES + 1, "{} lines", lines.0.len());
    assert!(
        held.iter().all(|held| lines.0.values().any(|line| Arc::ptr_eq(line, held))),
        "one is gone that is stood in"
    );
}

#[tokio::test]
async fn a_client_that_leaves_gives_its_place_back_when_its_password_is_compared() {
    let (open, count) = (Arc::new(Barrier::new(2)), Arc::new(AtomicUsize::new(0)));
    let (gate, compared) = (Arc::clone(&open), Arc::clone(&count));
    let checks = Arc::new(Checks::with(move |_, _| {
        if compared.fetch_add(1, Ordering::SeqCst) == 0 {
            gate.wait();
        }
        true
    }));
    let users = users();
    {
        let mut left = std::pin::pin!(checks.check(&users, credentials("alice", "a"), None, NOW));
        assert!(futures_util::poll!(left.as_mut()).is_pending());
    }
    assert_eq!(checks.places.available_permits(), PLACES - 1);
    tokio::task::spawn_blocking(move || open.wait()).await.unwrap();
    while checks.places.available_permits() < PLACES {
        tokio::task::yield_now().await;
    }
    assert_eq!(checks.check(&users, credentials("alice", "a"), None, NOW).await, Verdict::Right);
    assert_eq!(count.load(Ordering::SeqCst), 1, "what was found out is kept");
}

#[test]
fn what_is_kept_is_bounded_and_the_latest() {
    let mut kept = Kept::default();
    let key = |number: usize| digest([&number.to_be_bytes(), b"", b""]);
    (0..KEPT_MAX + 10).for_each(|number| kept.keep(key(number)));
    assert_eq!((kept.keys.len(), kept.order.len()), (KEPT_MAX, KEPT_MAX));
    assert!(!kept.keys.contains(&key(9)) && kept.keys.contains(&key(10)));
}

#[test]
fn credentials_are_read_as_go_reads_them() {
    let read = |value: &str| {
        let headers = HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())]);
        Credentials::of(&headers)
            .map(|read| (read.name, String::from_utf8(read.password.expose_secret().to_vec()).unwrap()))
    };
    let pair = |name: &str, password: &str| Some((name.to_owned(), password.to_owned()));
    assert_eq!(read("Basic YWxpY2U6YQ=="), pair("alice", "a"));
    assert_eq!(read("bAsIc YWxpY2U6YTpi"), pair("alice", "a:b"));
    assert_eq!(read("Basic Og=="), pair("", ""));
    for value in ["", "Basic", "Basic ", "Basic YWxpY2U", "Basic YQ==", "Bearer YWxpY2U6YQ==", "Basic  YWxpY2U6YQ=="] {
        assert_eq!(read(value), None, "{value:?}");
    }
}

#[test]
fn hashes_are_checked_and_none_is_told() {
    let of = |name: &str, hash: &str| Users::new(BTreeMap::from([(name.to_owned(), SecretString::from(hash))]));
    for hash in [
        "$2y$12$1DpfPeqF9HzHJt.EWswy1exHluGfbhnn3yXhR7Xes6m3WJqFg0Wby",
        "$2y$18$4VeFDzXIoPHKnKTU3O3GH.N.vZu06CVqczYZ8WvfzrddFU6tGqjR.",
    ] {
        assert!(of("alice", hash).is_ok());
    }
    assert!(of("bob", "$2y$18$4VeFDzXIoPHKnKTU3O3GH.N.vZu06CVqczYZ8WvfzrddFU6tGqjR.").unwrap().is_slow());
    for hash in ["hunter2", "", "$2y$99$1DpfPeqF9HzHJt.EWswy1exHluGfbhnn3yXhR7Xes6m3WJqFg0Wby", "$1$hunter2"] {
        let error = of("john", hash).unwrap_err();
        assert!(error.contains("john is no bcrypt hash") && !error.contains("hunter2"), "{error}");
    }
    assert!(!of("john: hunter2", "x").unwrap_err().contains("hunter2"));
}
