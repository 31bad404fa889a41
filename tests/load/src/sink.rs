//! Samples into a file, flushed so often that the file tells the truth even when the process or its node dies.

use std::path::Path;
use std::time::Duration;

use tokio::fs::File;
use tokio::io::{AsyncWriteExt, BufWriter};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::sample::Sample;

/// How long a sample may stay in memory.
const FLUSH: Duration = Duration::from_millis(100);
/// Samples on their way to the file; when it is full, finished requests wait and the schedule goes on.
const QUEUE: usize = 4096;

/// Begins writing to a new file. Samples go into the sender; when all senders are gone the task ends with the number written.
///
/// # Errors
/// When the file cannot be made.
pub async fn open(path: &Path) -> std::io::Result<(mpsc::Sender<Sample>, JoinHandle<std::io::Result<u64>>)> {
    let file = BufWriter::new(File::create(path).await?);
    let (sender, receiver) = mpsc::channel(QUEUE);
    Ok((sender, tokio::spawn(write(file, receiver))))
}

async fn write(mut file: BufWriter<File>, mut samples: mpsc::Receiver<Sample>) -> std::io::Result<u64> {
    let mut written = 0;
    let mut tick = interval(FLUSH);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            sample = samples.recv() => match sample {
                Some(sample) => {
                    file.write_all(format!("{sample}\n").as_bytes()).await?;
                    written += 1;
                }
                None => {
                    file.flush().await?;
                    return Ok(written);
                }
            },
            _ = tick.tick() => file.flush().await?,
        }
    }
}
