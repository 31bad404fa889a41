//! The direction of dependencies, proved from what cargo resolves.

use anyhow::{Result, bail};

use crate::run::{cargo, output};

/// A crate, and the beginnings of the package names that nothing below it may have.
const FORBIDDEN: [(&str, &[&str]); 3] = [
    ("strait-dns", &["kube", "k8s-openapi"]),
    ("strait-proxy", &["kube", "k8s-openapi"]),
    ("strait-catalog", &["hyper", "rustls", "kube"]),
];

/// Fails when a crate depends, however indirectly, on what it must not know.
pub(crate) fn check() -> Result<()> {
    let mut wrong = Vec::new();
    for (package, forbidden) in FORBIDDEN {
        let tree = output(cargo().args(["tree", "--package", package, "--edges", "normal", "--prefix", "none"]))?;
        let found = offenders(&tree, forbidden);
        println!("{package}: none of {}{}", forbidden.join(", "), if found.is_empty() { "" } else { ": WRONG" });
        wrong.extend(found.into_iter().map(|name| format!("{package} → {name}")));
    }
    if !wrong.is_empty() {
        bail!("dependencies point the wrong way: {}", wrong.join(", "));
    }
    Ok(())
}

fn offenders<'a>(tree: &'a str, forbidden: &[&str]) -> Vec<&'a str> {
    let mut found: Vec<&str> = tree
        .lines()
        .filter_map(|l| l.split_whitespace().next())
        .filter(|name| {
            forbidden.iter().any(|f| name == f || name.strip_prefix(f).is_some_and(|rest| rest.starts_with('-')))
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_found_by_the_beginning_of_its_name() {
        let tree = "strait-dns v0.1.0 (/x)\nkube v5.0.0\nkube-core v5.0.0 (*)\nhyper v1.12.0\n";
        assert_eq!(offenders(tree, &["kube"]), ["kube", "kube-core"]);
        assert_eq!(offenders(tree, &["rustls"]), [""; 0]);
    }

    #[test]
    fn another_word_that_begins_alike_is_not_meant() {
        assert_eq!(offenders("hyperloglog v1.0.0\nkubernetes v1\n", &["hyper", "kube"]), [""; 0]);
    }
}
