//! Editing a Corefile as text: two marked insertions, and taking them out again byte by byte.
//!
//! Text is edited rather than parsed and printed, since a person's comments and layout are theirs.

/// Where the snippet is mounted in CoreDNS.
pub const SNIPPETS: &str = "/etc/coredns/strait";

const BEGIN: &str = "# strait: begin (`strait coredns remove` takes this out)";
/// The same where the line before had no line end, which then was added.
const BEGIN_AFTER_OPEN_LINE: &str =
    "# strait: begin, after a line without end (`strait coredns remove` takes this out)";
const END: &str = "# strait: end";

/// Why a Corefile cannot be connected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CorefileError {
    /// No server block has the plugin that answers for Services.
    #[error(
        "no server block has the plugin `kubernetes {domain}`; is this the cluster's CoreDNS, and is {domain} the cluster's domain?"
    )]
    NoKubernetes {
        /// The cluster's domain.
        domain: String,
    },
    /// Someone else answers for the zone of the cluster set.
    #[error(
        "line {line} already has a server block for {zone}; is another multi-cluster DNS installed? Remove that first"
    )]
    ZoneTaken {
        /// The zone.
        zone: String,
        /// Its line, counted from 1.
        line: usize,
    },
    /// Braces do not match.
    #[error("line {line}: braces do not match; CoreDNS would not load this Corefile either")]
    Braces {
        /// The line, counted from 1.
        line: usize,
    },
}

/// One server block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Block {
    keys: Vec<String>,
    /// The line that opens it.
    open: usize,
    /// Its directives: line and words.
    directives: Vec<(usize, Vec<String>)>,
}

/// The words of one line: quoted ones are one word, a comment ends the line.
fn words(line: &str) -> Vec<String> {
    let (mut all, mut word, mut quoted, mut begun) = (Vec::new(), String::new(), false, false);
    for c in line.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                begun = true;
            }
            '#' if !quoted && !begun => break,
            c if c.is_whitespace() && !quoted => {
                if begun {
                    all.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            c => {
                word.push(c);
                begun = true;
            }
        }
    }
    if begun {
        all.push(word);
    }
    all
}

fn blocks(text: &str) -> Result<Vec<Block>, CorefileError> {
    let (mut found, mut current, mut depth) = (Vec::new(), Block::default(), 0_usize);
    for (at, line) in text.lines().enumerate() {
        let words = words(line);
        let outside = depth == 0;
        if depth == 1 && words.first().is_some_and(|w| w != "}") {
            current.directives.push((at, words.clone()));
        }
        for word in &words {
            match word.as_str() {
                "{" => {
                    depth += 1;
                    if depth == 1 {
                        current.open = at;
                    }
                }
                "}" => {
                    depth = depth.checked_sub(1).ok_or(CorefileError::Braces { line: at + 1 })?;
                    if depth == 0 {
                        found.push(std::mem::take(&mut current));
                    }
                }
                key if outside => current.keys.push(key.trim_end_matches(',').to_owned()),
                _ => {}
            }
        }
    }
    if depth == 0 { Ok(found) } else { Err(CorefileError::Braces { line: text.lines().count() }) }
}

/// The zone of a key such as `dns://cluster.local:53` or `.`.
fn zone_of(key: &str) -> String {
    let bare = key.split_once("://").map_or(key, |(_, rest)| rest);
    let zone = bare
        .rsplit_once(':')
        .map_or(bare, |(zone, port)| if port.bytes().all(|b| b.is_ascii_digit()) { zone } else { bare });
    let zone = zone.trim_end_matches('.').to_ascii_lowercase();
    if zone.is_empty() { ".".into() } else { zone }
}

fn serves(block: &Block, zone: &str) -> bool {
    block.keys.iter().any(|key| zone_of(key) == zone)
}

/// The block that answers for Services: of several, the one for everything.
fn main_block(blocks: &[Block], domain: &str) -> Option<usize> {
    let answers = |block: &Block| {
        let mut directives = block.directives.iter().filter(|(_, words)| words[0] == "kubernetes");
        directives.any(|(_, words)| words[1..].iter().any(|z| zone_of(z) == zone_of(domain)))
    };
    let all: Vec<usize> = (0..blocks.len()).filter(|i| answers(&blocks[*i])).collect();
    all.iter().copied().find(|i| serves(&blocks[*i], ".")).or_else(|| all.first().copied())
}

/// True when CoreDNS takes up a changed Corefile by itself.
#[must_use]
pub fn reloads(text: &str) -> bool {
    let found = blocks(text).unwrap_or_default();
    found.iter().any(|block| block.directives.iter().any(|(_, words)| words[0] == "reload"))
}

/// The Corefile with both insertions; what an earlier version inserted is replaced.
///
/// # Errors
/// [`CorefileError`], naming the line.
pub fn connect(text: &str, domain: &str, zone: &str, dns: &str) -> Result<String, CorefileError> {
    let before = disconnect(text);
    let blocks = blocks(&before)?;
    if let Some(taken) = blocks.iter().find(|b| serves(b, &zone_of(zone))) {
        return Err(CorefileError::ZoneTaken { zone: zone.into(), line: taken.open + 1 });
    }
    let main = main_block(&blocks, domain).ok_or_else(|| CorefileError::NoKubernetes { domain: domain.into() })?;
    let open = blocks[main].open;
    let mut out = String::with_capacity(before.len() + 400);
    for (at, line) in before.split_inclusive('\n').enumerate() {
        out.push_str(line);
        if at == open {
            let indent = indentation(&before, open);
            for inserted in [BEGIN, &format!("import {SNIPPETS}/*.conf"), END] {
                out.push_str(&format!("{indent}{inserted}\n"));
            }
        }
    }
    let begin = if out.ends_with('\n') { BEGIN.to_owned() } else { format!("\n{BEGIN_AFTER_OPEN_LINE}") };
    out.push_str(&format!("{begin}\n{}{END}\n", stub_zone(zone, dns)));
    Ok(out)
}

/// The server block that asks Strait for a zone.
///
/// CoreDNS keeps its UDP sockets, and the kernel keeps each on the agent that it met first: after the crash of that
/// agent's node a question on such a socket is lost, and CoreDNS waits 2 s for it. So an answer that has just expired is
/// given at once and renewed behind it. ClusterSetIPs do not move, and a name that is withdrawn lingers for longer.
fn stub_zone(zone: &str, dns: &str) -> String {
    format!("{zone}:53 {{\n    errors\n    cache 5 {{\n        serve_stale 1m\n    }}\n    forward . {dns}\n}}\n")
}

fn indentation(text: &str, open: usize) -> String {
    let next = text.lines().skip(open + 1).find(|line| !line.trim().is_empty()).unwrap_or("    ");
    let blank: String = next.chars().take_while(|c| c.is_whitespace()).collect();
    if blank.is_empty() { "    ".into() } else { blank }
}

/// The Corefile without anything that [`connect`] inserted.
#[must_use]
pub fn disconnect(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    for line in text.split_inclusive('\n') {
        match line.trim() {
            BEGIN => inside = true,
            BEGIN_AFTER_OPEN_LINE => {
                inside = true;
                out.pop();
            }
            END if inside => inside = false,
            _ if inside => {}
            _ => out.push_str(line),
        }
    }
    out
}

/// True when something of Strait is in the Corefile.
#[must_use]
pub fn connected(text: &str) -> bool {
    disconnect(text) != text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
