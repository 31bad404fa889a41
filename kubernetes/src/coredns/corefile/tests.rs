use proptest::prelude::*;

use super::*;

/// As kubeadm writes it.
const KUBEADM: &str = ".:53 {
    errors
    health {
       lameduck 5s
    }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    prometheus :9153
    forward . /etc/resolv.conf {
       max_concurrent 1000
    }
    cache 30
    loop
    reload
    loadbalance
}
";

/// Without a forwarder, as in a cluster that resolves nothing else.
const CLOSED: &str = ".:53 {
    errors
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    cache 30
    reload
}
";

/// Several blocks, a snippet, tabs, comments with braces, and no line end.
const SEVERAL: &str = "(logs) {\n\terrors\n\tlog . {\n\t\tclass denial\n\t}\n}\n\n# the office { not a brace\ncorp.example.org:53, internal.example.org {\n\timport logs\n\tforward . 10.0.0.53\n}\nCluster.Local:53 in-addr.arpa:53 {\n\timport logs\n\tkubernetes cluster.local. in-addr.arpa {\n\t\tpods disabled\n\t}\n\ttemplate ANY ANY {\n\t\tanswer \"{{ .Name }} 60 IN A 1.2.3.4 { }\"\n\t}\n}\n.:53 {\n\timport logs\n\tforward . {$UPSTREAM}\n}";

fn connect_default(text: &str) -> Result<String, CorefileError> {
    connect(text, "cluster.local", "clusterset.local", "10.96.7.7")
}

#[test]
fn kubeadms_gets_an_import_and_a_stub_zone() {
    let after = connect_default(KUBEADM).unwrap();
    assert!(after.starts_with(".:53 {\n    # strait: begin (`strait coredns remove` takes this out)\n    import /etc/coredns/strait/*.conf\n    # strait: end\n    errors\n"), "{after}");
    assert!(
        after.ends_with("clusterset.local:53 {\n    errors\n    cache 5 {\n        serve_stale 1m\n    }\n    forward . 10.96.7.7\n}\n# strait: end\n"),
        "{after}"
    );
    assert!(connected(&after) && !connected(KUBEADM));
    assert!(reloads(KUBEADM) && !reloads(SEVERAL));
}

#[test]
fn what_was_there_comes_back_byte_by_byte() {
    for text in [KUBEADM, CLOSED, SEVERAL, KUBEADM.trim_end(), &KUBEADM.replace('\n', "\r\n")] {
        let after = connect_default(text).unwrap();
        assert_ne!(after, text);
        assert_eq!(disconnect(&after), text);
        assert_eq!(connect_default(&after).unwrap(), after, "a second time changes nothing");
    }
}

#[test]
fn a_new_address_replaces_the_old() {
    let after = connect_default(KUBEADM).unwrap();
    let moved = connect(&after, "cluster.local", "clusterset.local", "10.96.9.9").unwrap();
    assert!(moved.contains("10.96.9.9") && !moved.contains("10.96.7.7"));
    assert_eq!(disconnect(&moved), KUBEADM);
}

#[test]
fn of_several_blocks_the_one_that_answers_for_services_is_chosen() {
    let after = connect_default(SEVERAL).unwrap();
    assert!(after.contains("Cluster.Local:53 in-addr.arpa:53 {\n\t# strait: begin"), "{after}");
    let two = format!("cluster.local {{\n    kubernetes cluster.local\n}}\n{KUBEADM}");
    let after = connect_default(&two).unwrap();
    assert!(after.contains(".:53 {\n    # strait: begin"), "the block for everything comes first: {after}");
}

#[test]
fn what_cannot_be_connected_is_told() {
    assert_eq!(
        connect_default(".:53 {\n    forward . 1.1.1.1\n}\n"),
        Err(CorefileError::NoKubernetes { domain: "cluster.local".into() })
    );
    assert!(matches!(
        connect(KUBEADM, "example.org", "clusterset.local", "1"),
        Err(CorefileError::NoKubernetes { .. })
    ));
    let taken = format!("{KUBEADM}clusterset.local:53 {{\n    forward . 10.1.1.1\n}}\n");
    assert_eq!(connect_default(&taken), Err(CorefileError::ZoneTaken { zone: "clusterset.local".into(), line: 21 }));
    assert_eq!(connect_default(".:53 {\n    kubernetes cluster.local\n"), Err(CorefileError::Braces { line: 2 }));
    assert_eq!(connect_default("}\n"), Err(CorefileError::Braces { line: 1 }));
    assert!(matches!(connect_default(""), Err(CorefileError::NoKubernetes { .. })));
}

#[test]
fn keys_name_their_zone() {
    for (key, zone) in
        [(".:53", "."), (".", "."), ("dns://Example.org.:1053", "example.org"), ("a.b", "a.b"), ("::1/128", "::1/128")]
    {
        assert_eq!(zone_of(key), zone, "{key}");
    }
}

#[test]
fn edits_of_a_person_after_the_installation_survive_its_removal() {
    let after = connect_default(KUBEADM).unwrap().replace("cache 30", "cache 60");
    assert_eq!(disconnect(&after), KUBEADM.replace("cache 30", "cache 60"));
}

proptest! {
    #[test]
    fn taking_out_undoes_putting_in(
        lines in proptest::collection::vec("[ \t]{0,4}[a-z:#\".]{0,12}( [a-z.0-9]{1,8}){0,2}", 0..8),
        end in any::<bool>(),
    ) {
        let mut text = format!("{}\n.:53 {{\n  kubernetes cluster.local\n}}", lines.join("\n"));
        if end { text.push('\n'); }
        if let Ok(after) = connect_default(&text) {
            prop_assert_eq!(disconnect(&after), text);
        }
    }

    #[test]
    fn any_text_is_read_without_a_panic(text in "\\PC{0,200}") {
        let _ = connect_default(&text);
        let _ = disconnect(&text);
    }
}
