//! What a backend read, one line a request, in the form both backends share.

use std::fmt::Write;
use std::sync::{Arc, Mutex};

#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    /// Notes a request that was read whole, and returns its line.
    pub fn whole(&self, method: &str, target: &str, body: &[u8]) -> String {
        let line = line(method, target, body);
        self.note(line.clone());
        line
    }

    /// Notes a line.
    pub fn note(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }

    /// Lines whose target bears a case's mark.
    pub fn of(&self, mark: &str) -> Vec<String> {
        let all = self.0.lock().unwrap();
        all.iter().filter(|line| line.split(' ').nth(1).is_some_and(|target| target.contains(mark))).cloned().collect()
    }
}

/// `METHOD TARGET whole xBODY`, the body in hexadecimal.
pub fn line(method: &str, target: &str, body: &[u8]) -> String {
    let mut line = format!("{method} {target} whole x");
    for byte in body {
        write!(line, "{byte:02x}").unwrap();
    }
    line
}
