//! Floods of every shape against the door alone: it needs no sockets.

use std::net::Ipv6Addr;
use std::time::Duration;

use super::*;

const LIMITS: Limits = Limits {
    connections: 32,
    connections_per_address: 8,
    handshake: Duration::ZERO,
    header: Duration::ZERO,
    request: Duration::ZERO,
    answer: Duration::ZERO,
    idle: Duration::ZERO,
    body_bytes: 0,
};

fn peer(address: impl Into<IpAddr>) -> Peer {
    Peer { address: Some(address.into()) }
}

fn v4(last: usize) -> Peer {
    peer(Ipv4Addr::from(0x0a00_0000 + u32::try_from(last).unwrap()))
}

/// How its connections stand: whether the door still has the place.
fn is_in(place: &Place) -> bool {
    place.door.inside().connection(place.ticket()).is_some()
}

fn idle(place: Place) -> Place {
    place.established();
    place.progress().answered();
    place
}

fn busy(place: Place) -> Place {
    place.established();
    place.progress().handling();
    place
}

fn dropped(door: &Door, reason: Reason) -> u64 {
    door.inside().dropped[reason as usize]
}

fn counts(door: &Door) -> (usize, usize) {
    let inside = door.inside();
    let by_holder = inside.holders.values().map(|holder| (holder.connections.len(), holder.half_open));
    let sums = by_holder.fold((0, 0), |(open, half), holder| (open + holder.0, half + holder.1));
    assert_eq!(sums, (inside.open, inside.half_open));
    sums
}

#[test]
fn an_address_has_its_share_and_no_more() {
    let door = Arc::<Door>::default();
    let held: Vec<_> = (0..8).map(|_| door.admit(v4(1), &LIMITS).unwrap()).collect();
    assert_eq!(door.admit(v4(1), &LIMITS).unwrap_err(), Reason::Address);
    door.admit(v4(2), &LIMITS).unwrap();
    drop(held);
    assert_eq!(counts(&door), (0, 0));
    door.admit(v4(1), &LIMITS).unwrap();
    assert_eq!(dropped(&door, Reason::Address), 1);
}

#[test]
fn a_network_of_ipv6_is_one_address() {
    let door = Arc::<Door>::default();
    let of = |network: u16, host: u16| peer(Ipv6Addr::new(0x2001, 0xdb8, 0, network, 0, 0, 0, host));
    let _held: Vec<_> = (0..8).map(|host| door.admit(of(1, host), &LIMITS).unwrap()).collect();
    assert_eq!(door.admit(of(1, 99), &LIMITS).unwrap_err(), Reason::Address);
    door.admit(of(2, 0), &LIMITS).unwrap();
}

#[test]
fn a_unix_socket_has_half_of_the_places() {
    let door = Arc::<Door>::default();
    let unix = Peer { address: None };
    let _held: Vec<_> = (0..16).map(|_| door.admit(unix, &LIMITS).unwrap()).collect();
    assert_eq!(door.admit(unix, &LIMITS).unwrap_err(), Reason::Address);
    door.admit(v4(1), &LIMITS).unwrap();
}

#[test]
fn the_oldest_half_open_of_who_has_most_of_them_makes_room() {
    let door = Arc::<Door>::default();
    let scraper = door.admit(v4(0), &LIMITS).unwrap();
    let served: Vec<_> = (0..4).map(|_| busy(door.admit(v4(1), &LIMITS).unwrap())).collect();
    let flood: Vec<_> = (0..27).map(|at| door.admit(v4(2 + at % 5), &LIMITS).unwrap()).collect();
    assert_eq!(counts(&door), (32, 28));
    let newcomer = door.admit(v4(99), &LIMITS).unwrap();
    // Addresses 2 and 3 have six each; the first of them came first.
    assert!(!is_in(&flood[0]) && flood[1..].iter().all(is_in));
    assert!(is_in(&scraper) && is_in(&newcomer) && served.iter().all(is_in));
    assert_eq!((counts(&door), dropped(&door, Reason::Evicted)), ((32, 28), 1));
    drop(flood);
    assert_eq!(counts(&door), (6, 2));
}

#[test]
fn a_flood_of_half_open_from_thousands_never_costs_a_served_connection() {
    let door = Arc::<Door>::default();
    let served: Vec<_> = (0..10).map(|at| idle(door.admit(v4(at), &LIMITS).unwrap())).collect();
    let flood: Vec<_> = (0..5000).map(|at| door.admit(v4(1000 + at), &LIMITS).unwrap()).collect();
    assert!(served.iter().all(is_in));
    assert_eq!(flood.iter().filter(|place| is_in(place)).count(), 22);
    // The newest are those that are left: who is about to send is not closed for who was silent.
    assert!(flood[5000 - 22..].iter().all(is_in));
}

#[test]
fn where_all_have_sent_requests_the_greedy_lose_what_they_need_least() {
    let door = Arc::<Door>::default();
    let scraper = idle(door.admit(v4(0), &LIMITS).unwrap());
    let mut greedy: Vec<_> = (0..7).map(|_| busy(door.admit(v4(1), &LIMITS).unwrap())).collect();
    greedy.push(idle(door.admit(v4(1), &LIMITS).unwrap()));
    let others: Vec<_> = (0..23).map(|at| idle(door.admit(v4(2 + at / 4), &LIMITS).unwrap())).collect();
    assert_eq!(counts(&door), (32, 0));
    let newcomer = busy(door.admit(v4(99), &LIMITS).unwrap());
    assert!(is_in(&newcomer) && is_in(&scraper) && others.iter().all(is_in));
    let left: Vec<_> = greedy.iter().map(is_in).collect();
    assert_eq!(left, [true, true, true, true, true, true, true, false]);
    // An idle one is there no more, so the next is the one that has been busy longest.
    door.admit(v4(100), &LIMITS).unwrap();
    assert!(!is_in(&greedy[0]));
}

#[test]
fn whoever_has_no_connection_gets_in_and_whoever_has_as_many_as_others_does_not() {
    let door = Arc::<Door>::default();
    let held: Vec<_> = (0..32).map(|at| busy(door.admit(v4(at), &LIMITS).unwrap())).collect();
    assert_eq!(door.admit(v4(5), &LIMITS).unwrap_err(), Reason::Full);
    let newcomer = door.admit(v4(99), &LIMITS).unwrap();
    assert!(is_in(&newcomer) && !is_in(&held[0]) && held[1..].iter().all(is_in));
    assert_eq!(dropped(&door, Reason::Full), 1);
}

#[test]
fn a_late_connection_is_counted_once_and_one_that_made_room_is_not_late() {
    let door = Arc::<Door>::default();
    let late = door.admit(v4(1), &LIMITS).unwrap();
    late.progress().late();
    drop(late);
    let evicted = door.admit(v4(1), &LIMITS).unwrap();
    door.make_room();
    evicted.progress().late();
    drop(evicted);
    assert_eq!((dropped(&door, Reason::Timeout), dropped(&door, Reason::Evicted)), (1, 1));
    assert_eq!(counts(&door), (0, 0));
    door.make_room();
    assert_eq!(dropped(&door, Reason::Evicted), 1, "nobody is there to make room");
}

#[test]
fn what_it_counts_is_read_as_figures() {
    let door = Arc::<Door>::default();
    let _half = door.admit(v4(1), &LIMITS).unwrap();
    let whole = idle(door.admit(v4(1), &LIMITS).unwrap());
    whole.fails(Reason::Malformed);
    let shown: Vec<_> =
        door.readings().iter().map(|reading| (reading.attributes[0].1.clone(), reading.value)).collect();
    let (open, dropped) = ([("established", 1), ("half_open", 1)], [("address", 0), ("full", 0), ("evicted", 0)]);
    let by_client = [("timeout", 0), ("tls", 0), ("malformed", 1)];
    let expected = open.into_iter().chain(dropped).chain(by_client);
    assert_eq!(shown, expected.map(|(word, value)| (word.to_owned(), Some(value))).collect::<Vec<_>>());
}
