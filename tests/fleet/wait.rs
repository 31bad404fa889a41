//! Waiting for a condition instead of for a time.

use std::time::{Duration, Instant};

/// Far above what anything here takes, even on a machine that does other things as well.
pub const LIMIT: Duration = Duration::from_secs(40);
/// Between two looks.
const STEP: Duration = Duration::from_millis(40);

/// Asks again until there is an answer.
pub async fn until<T>(what: &str, ask: impl AsyncFnMut() -> Option<T>) -> T {
    until_within(LIMIT, what, ask).await
}

/// The same where it takes longer.
pub async fn until_within<T>(limit: Duration, what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < end, "not within {} s: {what}", limit.as_secs());
        tokio::time::sleep(STEP).await;
    }
}

/// The same for a condition.
pub async fn holds(what: &str, mut ask: impl AsyncFnMut() -> bool) {
    until(what, async || ask().await.then_some(())).await;
}
