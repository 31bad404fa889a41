//! The snippet of plain names that CoreDNS imports: one exact rewrite a service, and nothing else.

use std::fmt::Write as _;

use strait_catalog::ServiceKey;

use crate::api::SYSTEM_NAMESPACE;

const HEADER: &str =
    "# Written by strait-controller. Plain names of exported services, each steered to its derived Service.\n";

/// The snippet for these services and the names of their derived Services, in that order.
pub fn render<'a>(steered: impl IntoIterator<Item = (&'a ServiceKey, String)>, cluster_domain: &str) -> String {
    let mut text = String::from(HEADER);
    for (service, derived) in steered {
        // `answer auto` gives the client the name it asked for.
        let _ = write!(
            text,
            "rewrite stop {{\n    name exact {} {derived}.{SYSTEM_NAMESPACE}.svc.{cluster_domain} answer auto\n}}\n",
            plain(service, cluster_domain)
        );
    }
    text
}

/// True when the snippet steers that service's plain name.
#[must_use]
pub fn contains(text: &str, service: &ServiceKey, cluster_domain: &str) -> bool {
    let start = format!("name exact {} ", plain(service, cluster_domain));
    text.lines().any(|line| line.trim_start().starts_with(&start))
}

fn plain(service: &ServiceKey, cluster_domain: &str) -> String {
    format!("{}.{}.svc.{cluster_domain}", service.name(), service.namespace())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn one_exact_rewrite_a_service() {
        let service = ServiceKey::parse("ml-production/model-server").unwrap();
        let other = ServiceKey::parse("ml-production/model").unwrap();
        let text = render([(&service, "strait-abcdefghij".to_owned())], "cluster.local");
        assert!(text.contains(
            "rewrite stop {\n    name exact model-server.ml-production.svc.cluster.local \
             strait-abcdefghij.strait-system.svc.cluster.local answer auto\n}\n"
        ));
        assert!(contains(&text, &service, "cluster.local"));
        assert!(!contains(&text, &other, "cluster.local"));
        assert!(!contains(&text, &service, "example.org"));
        assert!(!contains("", &service, "cluster.local"));
    }

    #[test]
    fn nothing_steered_is_a_comment_alone() {
        let text = render([], "cluster.local");
        assert!(text.lines().all(|line| line.starts_with('#')), "{text}");
    }
}
