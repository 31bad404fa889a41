//! How many GETs each fault may cost, stated once. A bound that is not 0 has its reason beside it.

/// What a client may lose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// At most so many failed requests.
    AtMost(usize),
    /// Measured and told, not judged.
    Told,
}

/// `(fault, client, bound)`; what is not listed may lose nothing. `*` stands for every client.
const BOUNDS: &[(&str, &str, Bound)] = &[
    // SIGKILL of the agent the client talks to: its open connections are reset and new ones refused until the kubelet has
    // restarted it or kube-proxy has left it, whichever is first. Nothing outside the process can prevent that. Seen: a
    // third of a second to one; ten are allowed, of 50 requests each.
    ("agent-killed", "*", Bound::AtMost(500)),
    // The cluster of the clients is alone, and the service it asks for runs elsewhere: nobody can answer.
    ("cut-off", "tally", Bound::Told),
];

/// Those that only a full run needs.
const FULL: &[(&str, &str, Bound)] = &[
    // Twenty containers start at once, and for a moment some are not answered within two seconds, also of those who ask for
    // another service in another cluster: most likely both CPUs of a small machine are taken. Seen: 0 to 8 of a client, 33
    // with a compiler beside it; none with six pods.
    ("scale-back", "*", Bound::AtMost(20)),
];

/// The bound of one fault for one client.
pub fn of(fault: &str, client: &str, full: bool) -> Bound {
    let bounds = BOUNDS.iter().chain(FULL.iter().filter(|_| full));
    let found = bounds.into_iter().find(|(f, c, _)| *f == fault && (*c == "*" || *c == client));
    found.map_or(Bound::AtMost(0), |(_, _, bound)| *bound)
}
