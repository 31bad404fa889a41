//! What the process may use.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Files that a node's traffic may need: two for each connection that is carried.
const FEW: u64 = 65_536;

/// Raises the soft limit of open files to the hard one. The soft one is 1,024 in many places for the sake of programs that
/// use `select`; a proxy that reaches it refuses connections.
pub fn raise_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    let before = limit.current;
    limit.current = limit.maximum;
    let raised = setrlimit(Resource::Nofile, limit);
    let now = getrlimit(Resource::Nofile).current;
    match (raised, now) {
        (Err(error), _) => tracing::warn!(limit = ?before, %error, "the limit of open files stays"),
        (Ok(()), Some(now)) if now < FEW => {
            tracing::info!(limit = now, "few open files are allowed; under load, connections beyond them are refused");
        }
        (Ok(()), _) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_the_hard_one() {
        raise_open_files();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }
}
