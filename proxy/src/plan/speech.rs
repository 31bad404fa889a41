//! What a port speaks, by what its Service says of it.

use super::Speech;

/// First parts of port names, as Istio and others read them.
const HTTP_NAMES: [&str; 4] = ["http", "http1", "ws", "grpcweb"];
const H2C_NAMES: [&str; 3] = ["grpc", "http2", "h2c"];
const RAW_NAMES: [&str; 26] = [
    "tcp",
    "tls",
    "ssl",
    "https",
    "wss",
    "mysql",
    "mariadb",
    "postgres",
    "postgresql",
    "pg",
    "mssql",
    "mongo",
    "mongodb",
    "redis",
    "memcached",
    "cassandra",
    "amqp",
    "kafka",
    "nats",
    "mqtt",
    "ldap",
    "smtp",
    "imap",
    "ftp",
    "ssh",
    "zookeeper",
];

/// `appProtocol` decides (`kubernetes.io/…` prefixes are those of KEP-3726; one that is not known here is relayed byte by
/// byte, since whoever set it meant something), else the port name's first part, else the connection itself.
pub(crate) fn speech(name: &str, app_protocol: &str) -> Speech {
    let app = app_protocol.trim().to_ascii_lowercase();
    match app.trim_start_matches("kubernetes.io/") {
        "http2" | "h2c" | "grpc" => Speech::H2c,
        "http" | "http/1.1" | "ws" | "grpc-web" => Speech::Http,
        "" => by_name(name),
        _ => Speech::Raw,
    }
}

fn by_name(name: &str) -> Speech {
    let name = name.to_ascii_lowercase();
    if name.starts_with("grpc-web") {
        return Speech::Http;
    }
    let first = name.split('-').next().unwrap_or_default();
    let among = |names: &[&str]| names.contains(&first);
    if among(&HTTP_NAMES) {
        Speech::Http
    } else if among(&H2C_NAMES) {
        Speech::H2c
    } else if among(&RAW_NAMES) {
        Speech::Raw
    } else {
        Speech::Detect
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_protocol_then_by_name_else_by_the_connection() {
        for (name, app, expected) in [
            ("", "", Speech::Detect),
            ("web", "", Speech::Detect),
            ("metrics", "", Speech::Detect),
            ("httpish", "", Speech::Detect),
            ("http", "", Speech::Http),
            ("http-admin", "", Speech::Http),
            ("HTTP-api", "", Speech::Http),
            ("ws-chat", "", Speech::Http),
            ("tcp-db", "", Speech::Raw),
            ("tls-in", "", Speech::Raw),
            ("https", "", Speech::Raw),
            ("https-web", "", Speech::Raw),
            ("postgres", "", Speech::Raw),
            ("postgres-primary", "", Speech::Raw),
            ("mysql", "", Speech::Raw),
            ("mongo-rs0", "", Speech::Raw),
            ("redis", "", Speech::Raw),
            ("grpc-api", "", Speech::H2c),
            ("grpc", "", Speech::H2c),
            ("http2-api", "", Speech::H2c),
            ("h2c", "", Speech::H2c),
            ("grpc-web", "", Speech::Http),
            ("grpc-web-ui", "", Speech::Http),
            ("tcp-db", "http", Speech::Http),
            ("http", "tcp", Speech::Raw),
            ("http", "https", Speech::Raw),
            ("http", "tls", Speech::Raw),
            ("", "kubernetes.io/h2c", Speech::H2c),
            ("", "kubernetes.io/ws", Speech::Http),
            ("", "kubernetes.io/wss", Speech::Raw),
            ("http", "example.com/own", Speech::Raw),
            ("", "postgresql", Speech::Raw),
            ("", "mysql", Speech::Raw),
            ("", "GRPC", Speech::H2c),
            ("grpc", "grpc-web", Speech::Http),
        ] {
            assert_eq!(speech(name, app), expected, "{name:?} {app:?}");
        }
    }
}
