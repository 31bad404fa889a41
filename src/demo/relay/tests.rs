use super::*;

async fn echo(tasks: &TaskTracker, stop: &CancellationToken) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (inner, stop) = (tasks.clone(), stop.clone());
    tasks.spawn(async move {
        while let Some(Ok((stream, _))) = stop.run_until_cancelled(listener.accept()).await {
            inner.spawn(stop.clone().run_until_cancelled_owned(async move {
                let (mut read, mut write) = stream.into_split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
            }));
        }
    });
    address
}

fn free() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

async fn ask(stream: &mut TcpStream, limit: Duration) -> Option<[u8; 2]> {
    let mut answer = [0; 2];
    stream.write_all(b"hi").await.ok()?;
    tokio::time::timeout(limit, stream.read_exact(&mut answer)).await.ok()?.ok()?;
    Some(answer)
}

#[tokio::test]
async fn it_carries_late_refuses_and_swallows() {
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let to = echo(&tasks, &stop).await;
    let from = free();
    let distance = Duration::from_millis(40);
    let relay = Relay::start(from, to, distance, Arc::new(Alarm::start().unwrap()), &tasks, stop.clone()).unwrap();
    let patience = Duration::from_secs(20);

    let mut stream = TcpStream::connect(from).await.unwrap();
    let began = Instant::now();
    assert_eq!(ask(&mut stream, patience).await, Some(*b"hi"));
    assert!(began.elapsed() >= distance * 2, "handshake and answer each cost a round trip");
    let began = Instant::now();
    assert_eq!(ask(&mut stream, patience).await, Some(*b"hi"));
    assert!(began.elapsed() >= distance);

    relay.set(Mode::Swallow);
    assert_eq!(ask(&mut stream, distance * 4).await, None, "silence");
    assert!(relay.counters().swallowed.load(Ordering::Relaxed) > 0);
    relay.set(Mode::Carry);
    let mut late = [0; 2];
    tokio::time::timeout(patience, stream.read_exact(&mut late)).await.unwrap().unwrap();

    relay.set(Mode::Refuse);
    let ended = tokio::time::timeout(patience, stream.read(&mut late)).await.unwrap();
    assert!(matches!(ended, Ok(0) | Err(_)), "an open connection ends");
    tokio::time::timeout(patience, async {
        while TcpStream::connect(from).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();

    relay.set(Mode::Carry);
    let mut again = tokio::time::timeout(patience, async {
        loop {
            match TcpStream::connect(from).await {
                Ok(stream) => return stream,
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    })
    .await
    .unwrap();
    assert_eq!(ask(&mut again, patience).await, Some(*b"hi"));
    stop.cancel();
    tasks.close();
    tasks.wait().await;
}
