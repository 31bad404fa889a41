//! A daemon that is asked to leave.

use std::time::{Duration, Instant};

use strait_load::generator::now_us;
use strait_load::sample::Kind;
use tokio::net::TcpStream;

use crate::load::Load;
use crate::world::World;
use crate::{wait, web};

const DELAY: Duration = Duration::from_secs(10);
/// Longer than the delay, shorter than what requests under way are then given.
const SLOW_MS: u64 = 12_500;
/// What the end itself may take on a busy machine.
const SLACK: Duration = Duration::from_secs(8);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_loses_nothing_that_was_accepted() {
    let mut world = World::new(86, &["us-west", "us-east"]);
    world.populate().await;
    let mut west = world.start_with("us-west", &["--drain-delay=10s", "--drain-timeout=20s"]);
    let east = world.start("us-east");
    west.sees("us-east", 2).await;
    east.sees("us-west", 2).await;

    let load = Load::start(west.site.listener(), 60);
    load.served_by("us-west", 40).await;
    let slow = tokio::spawn(web::get_owned(west.site.listener(), format!("/slow/{SLOW_MS}")));
    wait::holds("the slow request is at a pod", async || world.pods("us-west").iter().any(|p| p.thinking() > 0)).await;

    let (asked, asked_us) = (Instant::now(), now_us());
    west.process.signal("TERM");
    west.process.says(&["SIGTERM", "leaving"]).await;
    wait::holds("/readyz says that it drains", async || {
        let ready = web::get(west.site.admin(), "/readyz").await.unwrap();
        (ready.status, ready.body.trim()) == (503, "draining")
    })
    .await;
    wait::holds("answers close their connections", async || {
        let answer = web::get(west.site.listener(), "/").await.unwrap();
        assert_eq!(answer.status, 200);
        answer.header("connection") == "close"
    })
    .await;
    assert!(asked.elapsed() < DELAY, "this machine is too busy to judge: the drain was over before it was looked at");

    // A connection that was accepted in time may say its first word after that.
    let late = TcpStream::connect(west.site.listener()).await.unwrap();
    wait::holds("new connections are refused", async || TcpStream::connect(west.site.listener()).await.is_err()).await;
    let answer = web::get_on(late, west.site.listener(), "/").await.unwrap();
    assert_eq!((answer.status, answer.header("connection")), (200, "close"));

    let status = west.process.ended().await;
    assert!(status.success(), "{status}: {:#?}", west.process.log.all());
    assert!(asked.elapsed() >= DELAY, "it left before others could know");
    assert!(asked.elapsed() < Duration::from_millis(SLOW_MS) + SLACK, "it took {:?}", asked.elapsed());
    let slow = slow.await.unwrap().unwrap();
    assert_eq!((slow.status, slow.body.trim()), (200, "pod of us-west"), "a request under way is answered");

    let samples = load.end().await;
    let delay_us = u64::try_from((DELAY - Duration::from_secs(1)).as_micros()).unwrap();
    let samples: Vec<_> = samples.into_iter().filter(|s| s.kind != Kind::Late).collect();
    let during = samples.iter().filter(|s| (asked_us..asked_us + delay_us).contains(&s.start_us));
    let (fine, broken): (Vec<_>, Vec<_>) = during.partition(|s| s.is_ok());
    assert!(broken.is_empty(), "while it drains everything is answered: {broken:#?}");
    assert!(fine.iter().any(|s| !s.kept), "new connections are accepted while it drains");
    let lost: Vec<_> = samples.iter().filter(|s| !s.is_ok() && s.kind != Kind::Refused).collect();
    assert!(lost.is_empty(), "accepted and lost: {lost:#?}");
    assert!(west.process.log.with(&["did not end in time"]).is_empty());
    west.process.says_once(&["gone"]).await;
    east.sees("us-east", 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_that_leaves_says_goodbye() {
    let mut world = World::new(99, &["us-west", "us-east"]);
    let mut daemons = world.start_all().await;
    daemons[0].process.signal("TERM");
    assert!(daemons[0].process.ended().await.success());
    let east = &daemons[1].process;
    east.says(&["INFO", "sync session ended", "us-west", "the other side left: shutting down"]).await;
    // Nobody has to look for a fault that is none.
    for fault in ["closed the session", "without a goodbye"] {
        assert_eq!(east.log.with(&["WARN", "us-west", fault]), Vec::<String>::new());
    }
}
