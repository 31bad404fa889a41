use super::*;
use crate::load::Speech;
use crate::process::free;
use crate::responder::{self, Stall};

const PATIENT: Duration = Duration::from_secs(20);

/// A pod on a thread that ends with the process.
fn pod(stall: Option<Stall>) -> SocketAddr {
    let at = free().unwrap();
    std::thread::spawn(move || responder::serve(at, stall));
    at
}

fn client(at: SocketAddr, load: Load) -> Client {
    let end = Instant::now() + PATIENT;
    loop {
        match Client::open(at, load) {
            Ok(client) => return client,
            Err(error) => assert!(Instant::now() < end, "{error:#}"),
        }
        std::thread::yield_now();
    }
}

fn load(speech: Speech, body: usize, connections: u32, streams: u32) -> Load {
    Load { speech, body, connections, streams }
}

#[test]
fn a_stall_of_a_second_is_a_second_of_slow_requests() {
    let at = pod(Some(Stall { after: 500, length: Duration::from_secs(1) }));
    let outcome = client(at, load(Speech::H1, 128, 8, 1)).run(Pace::Open(1000.0), Duration::from_secs(3)).unwrap();
    assert_eq!(outcome.good, 3000, "what is due is asked, whatever became of the others");
    let slow = outcome.latency.count_between(100_000_000, LONGEST);
    // What was due in the first 900 ms of the stall was late by more than 100 ms, however fast the machine is. A slow one adds
    // to it, so the upper bound is wide.
    assert!((850..2500).contains(&slow), "{slow} slow requests");
    assert!(outcome.micros(1.0) > 900_000.0, "the first of them waited for nearly all of it");
}

#[test]
fn a_closed_loop_hides_that_stall() {
    let at = pod(Some(Stall { after: 500, length: Duration::from_secs(1) }));
    let outcome = client(at, load(Speech::H1, 128, 8, 1)).run(Pace::Closed, Duration::from_secs(2)).unwrap();
    // Eight requests saw it. With a machine that stops by itself now and then there are a few eights.
    let slow = outcome.latency.count_between(900_000_000, LONGEST);
    assert!((1..=24).contains(&slow), "{slow} slow requests");
}

#[test]
fn every_speech_gets_whole_bodies_of_every_size() {
    let at = pod(None);
    for speech in [Speech::H1, Speech::Post, Speech::H2, Speech::Grpc] {
        for body in [0, 128, 10_240, 1 << 20] {
            let streams = if speech.one_at_a_time() { 1 } else { 8 };
            let mut client = client(at, load(speech, body, 4, streams));
            let outcome = client.run(Pace::Closed, Duration::from_millis(100)).unwrap();
            assert!(outcome.good >= 4, "{speech:?}, {body} bytes: {}", outcome.good);
            let again = client.run(Pace::Open(100.0), Duration::from_millis(100)).unwrap();
            assert_eq!(again.good, 10, "{speech:?}, {body} bytes, on the same connections");
            client.each_once().unwrap();
            client.run(Pace::Open(100.0), Duration::from_millis(20)).unwrap();
        }
    }
}

#[test]
fn the_schedule_is_fixed_before_anything_is_answered() {
    let begin = Instant::now();
    let mut schedule = Schedule::new(Pace::Open(10.0), begin, begin + Duration::from_secs(1));
    assert_eq!(schedule.next(begin), Some(begin));
    assert_eq!(schedule.next(begin), None);
    assert_eq!(schedule.pause(begin, true), Duration::from_millis(100));
    // Half a second late: the five that were due are due at their own time.
    let late = begin + Duration::from_millis(550);
    let due: Vec<u128> =
        std::iter::from_fn(|| schedule.next(late)).map(|d| d.duration_since(begin).as_millis()).collect();
    assert_eq!(due, [100, 200, 300, 400, 500]);
    let end = begin + Duration::from_secs(5);
    assert_eq!(std::iter::from_fn(|| schedule.next(end)).count(), 4);
    assert!(schedule.over(end));
}

#[test]
fn nobody_there_is_said_with_the_address() {
    let at = free().unwrap();
    let error = Client::open(at, load(Speech::H1, 1, 1, 1)).map(|_| ()).unwrap_err();
    assert!(format!("{error:#}").contains(&at.to_string()), "{error:#}");
}
